# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Success and precision plots as SVG that takes its text colour from the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from atom_core.data import sequences
from atom_core.evaluation import metrics, state_measures
from atom_core.evaluation.runner import Run, scored_boxes, what_was_said
from atom_core.evaluation.state_measures import Said

# Each has a contrast of 3:1 with white and with near-black.
COLORS = ("#2f80ed", "#e8590c", "#2b9a66", "#c2408f", "#a07c00", "#7a5af5", "#0c8599", "#868e96")
_DASHES = ("-", "--", ":", "-.")
_INK = "#010203"  # placeholder for the page's text colour until the SVG is written


@dataclass(frozen=True)
class TrackerCurves:
    """The curves of one tracker: means over sequences, of each seed."""

    tracker: str
    success: np.ndarray  # (seeds, 21)
    precision: np.ndarray  # (seeds, 51)
    normalized_precision: np.ndarray  # (seeds, 51)


@dataclass(frozen=True)
class Plot:
    """The content of one plot: a field of TrackerCurves over its thresholds."""

    field: str
    title: str
    x_label: str
    thresholds: np.ndarray
    legend: str  # which number the legend shows
    ranking: int | None  # index of the threshold of that number; None: the mean over all


@dataclass(frozen=True)
class ConfidenceCurves:
    """Calibration of one tracker's confidence over all its runs.

    Attributes:
        tracker: its name.
        bins: (10, 3), see `state_measures.calibration_bins`.
        f_scores: (101,) over `state_measures.THRESHOLDS`.
    """

    tracker: str
    bins: np.ndarray
    f_scores: np.ndarray


PLOTS = (
    Plot("success", "Success", "overlap", metrics.SUCCESS_THRESHOLDS, "AUC", None),
    Plot("precision", "Precision", "centre distance (px)", metrics.PRECISION_THRESHOLDS, "at 20 px", 20),
    Plot(
        "normalized_precision",
        "Normalised precision",
        "centre distance / target size",
        metrics.NORMALIZED_THRESHOLDS,
        "at 0.2",
        20,
    ),
)


def average_curves(
    runs: Iterable[Run], of: Iterable[sequences.Sequence], lost_is_miss: bool = False
) -> list[TrackerCurves]:
    """The curves of each tracker, in the order of the runs; sequences without ground truth are left out."""
    by_name = {sequence.name: sequence for sequence in of if sequence.has_ground_truth}
    found: dict[str, dict[int, list[metrics.Curves]]] = {}
    for run in runs:
        if run.sequence in by_name:
            curves = metrics.curves(scored_boxes(run, lost_is_miss), by_name[run.sequence].boxes)
            found.setdefault(run.tracker, {}).setdefault(run.seed, []).append(curves)
    return [
        TrackerCurves(
            tracker,
            *(
                np.array([np.mean([getattr(curves, plot.field) for curves in of_seed], axis=0) for of_seed in by_seed])
                for plot in PLOTS
            ),
        )
        for tracker, by_seed in ((tracker, by_seed.values()) for tracker, by_seed in found.items())
    ]


def confidence_curves(runs: Iterable[Run], of: Iterable[sequences.Sequence]) -> list[ConfidenceCurves]:
    """The curves of each tracker, in the order of the runs; sequences without ground truth are left out."""
    by_name = {sequence.name: sequence for sequence in of if sequence.has_ground_truth}
    found: dict[str, list[Said]] = {}
    for run in runs:
        if run.sequence in by_name:
            found.setdefault(run.tracker, []).append(what_was_said(run, by_name[run.sequence]))
    return [
        ConfidenceCurves(
            tracker,
            np.sum([state_measures.calibration_bins(said) for said in all_said], axis=0),
            state_measures.f_scores(
                state_measures.mean_curves(state_measures.precision_recall(said) for said in all_said)
            ),
        )
        for tracker, all_said in found.items()
    ]


def draw(plot: Plot, trackers: Sequence[TrackerCurves]) -> str:
    """One plot as an <svg> element: a line for each tracker, the best first, within a band over the seeds."""

    def lines(axes: matplotlib.axes.Axes) -> None:
        for index, tracker in _best_first(plot, trackers):
            values = getattr(tracker, plot.field)
            label = f"{tracker.tracker} [{_rank(plot, tracker):.3f}]"
            axes.plot(plot.thresholds, values.mean(axis=0), label=label, **_line(index))
            axes.fill_between(
                plot.thresholds, values.min(axis=0), values.max(axis=0), color=color(index), alpha=0.2, lw=0
            )
        _decorate(axes, plot.x_label, "share of frames", plot.thresholds[-1])

    return _svg(plot.field, lines, len(trackers), f"[{plot.legend}]")


def draw_reliability(trackers: Sequence[ConfidenceCurves]) -> str:
    """Share of claimed frames with an overlap above 0.5 against their mean confidence, for each tenth, as <svg>."""

    def lines(axes: matplotlib.axes.Axes) -> None:
        axes.plot((0, 1), (0, 1), color=_INK, linewidth=1, alpha=0.5)
        for index, tracker in enumerate(trackers):
            bins = tracker.bins[tracker.bins[:, 0] > 0]
            error = state_measures.calibration_error(tracker.bins)
            label = f"{tracker.tracker} [{error:.3f}]"
            axes.plot(bins[:, 1] / bins[:, 0], bins[:, 2] / bins[:, 0], marker="o", label=label, **_line(index))
        _decorate(axes, "confidence", "share with overlap > 0.5", 1.0)

    return _svg("reliability", lines, len(trackers), "[ECE]")


def draw_f_scores(trackers: Sequence[ConfidenceCurves]) -> str:
    """F against the confidence's threshold, as <svg>."""

    def lines(axes: matplotlib.axes.Axes) -> None:
        for index, tracker in enumerate(trackers):
            label = f"{tracker.tracker} [{tracker.f_scores.max():.3f}]"
            axes.plot(state_measures.THRESHOLDS, tracker.f_scores, label=label, **_line(index))
        _decorate(axes, "threshold of the confidence", "F", 1.0)

    return _svg("f_scores", lines, len(trackers), "[highest F]")


def _line(index: int) -> dict[str, Any]:
    return {"color": color(index), "linestyle": _DASHES[index // len(COLORS) % len(_DASHES)], "linewidth": 2}


def _svg(name: str, lines: Callable[[matplotlib.axes.Axes], None], count: int, legend_title: str) -> str:
    """A plot of a number of lines as an <svg> element whose identifiers begin with a name."""
    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}
    settings["text.parse_math"] = False  # keep a $ in a name
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(5.2, 4.2 + 0.2 * count), layout="constrained")
        lines(figure.add_subplot())
        legend = figure.legend(loc="outside lower left", frameon=False, labelcolor=_INK, title=legend_title)
        legend.get_title().set_color(_INK)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _embeddable(text.getvalue(), name)


def color(index: int) -> str:
    """The colour of the tracker at this index, in every picture of the page."""
    return COLORS[index % len(COLORS)]


def _rank(plot: Plot, tracker: TrackerCurves) -> float:
    curve = getattr(tracker, plot.field).mean(axis=0)
    return float(curve.mean() if plot.ranking is None else curve[plot.ranking])


def _best_first(plot: Plot, trackers: Sequence[TrackerCurves]) -> list[tuple[int, TrackerCurves]]:
    return sorted(enumerate(trackers), key=lambda item: -_rank(plot, item[1]))


def _decorate(axes: matplotlib.axes.Axes, x_label: str, y_label: str, highest: float) -> None:
    axes.set(xlabel=x_label, ylabel=y_label, ylim=(0, 1.02), xlim=(0, highest))
    axes.grid(color=_INK, alpha=0.15)
    axes.tick_params(colors=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.spines[:].set_color(_INK)
    axes.spines[["top", "right"]].set_visible(False)


def _embeddable(svg: str, prefix: str) -> str:
    """The <svg> element alone, with the page's text colour, unique identifiers, and a flexible width."""
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    return re.sub(r'^<svg([^>]*?) width="[^"]*"|^<svg([^>]*?) height="[^"]*"', r"<svg\1\2", svg)
