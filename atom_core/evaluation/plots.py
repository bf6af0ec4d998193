# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Success and precision plots as SVG that takes its text colour from the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from atom_core.data import sequences
from atom_core.evaluation import metrics
from atom_core.evaluation.runner import Run, scored_boxes

# Each stands out (3:1) from white and from near-black.
COLORS = ("#2f80ed", "#e8590c", "#2b9a66", "#c2408f", "#a07c00", "#7a5af5", "#0c8599", "#868e96")
_DASHES = ("-", "--", ":", "-.")
_INK = "#010203"  # stands for the page's text colour until the SVG is written


@dataclass(frozen=True)
class TrackerCurves:
    """The curves of one tracker: means over sequences, of each seed."""

    tracker: str
    success: np.ndarray  # (seeds, 21)
    precision: np.ndarray  # (seeds, 51)
    normalized_precision: np.ndarray  # (seeds, 51)


@dataclass(frozen=True)
class Plot:
    """What one plot shows: a field of TrackerCurves over its thresholds."""

    field: str
    title: str
    x_label: str
    thresholds: np.ndarray
    legend: str  # says which number the legend holds
    ranking: int | None  # index of the threshold whose share it is; None: the mean over all


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


def draw(plot: Plot, trackers: Sequence[TrackerCurves]) -> str:
    """One plot as an <svg> element: a line for each tracker, the best first, about it the range over the seeds."""
    settings = {"svg.fonttype": "none", "svg.hashsalt": plot.field, "font.family": "sans-serif"}
    with matplotlib.rc_context({**settings, "text.parse_math": False}):  # a $ in a name is a $
        figure = Figure(figsize=(5.2, 4.2 + 0.2 * len(trackers)), layout="constrained")
        axes = figure.add_subplot()
        for index, tracker in _best_first(plot, trackers):
            values = getattr(tracker, plot.field)
            style = {"color": color(index), "linestyle": _DASHES[index // len(COLORS) % len(_DASHES)], "linewidth": 2}
            axes.plot(
                plot.thresholds, values.mean(axis=0), label=f"{tracker.tracker} [{_rank(plot, tracker):.3f}]", **style
            )
            axes.fill_between(
                plot.thresholds, values.min(axis=0), values.max(axis=0), color=color(index), alpha=0.2, lw=0
            )
        _decorate(axes, plot)
        legend = figure.legend(loc="outside lower left", frameon=False, labelcolor=_INK, title=f"[{plot.legend}]")
        legend.get_title().set_color(_INK)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _embeddable(text.getvalue(), plot.field)


def color(index: int) -> str:
    """The colour of the tracker at this place of the list, in every picture of the page."""
    return COLORS[index % len(COLORS)]


def _rank(plot: Plot, tracker: TrackerCurves) -> float:
    curve = getattr(tracker, plot.field).mean(axis=0)
    return float(curve.mean() if plot.ranking is None else curve[plot.ranking])


def _best_first(plot: Plot, trackers: Sequence[TrackerCurves]) -> list[tuple[int, TrackerCurves]]:
    return sorted(enumerate(trackers), key=lambda item: -_rank(plot, item[1]))


def _decorate(axes: matplotlib.axes.Axes, plot: Plot) -> None:
    axes.set(xlabel=plot.x_label, ylabel="share of frames", ylim=(0, 1.02), xlim=(0, plot.thresholds[-1]))
    axes.grid(color=_INK, alpha=0.15)
    axes.tick_params(colors=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.spines[:].set_color(_INK)
    axes.spines[["top", "right"]].set_visible(False)


def _embeddable(svg: str, prefix: str) -> str:
    """The <svg> element alone, with the page's text colour, identifiers of its own, and a width that fits."""
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    return re.sub(r'^<svg([^>]*?) width="[^"]*"|^<svg([^>]*?) height="[^"]*"', r"<svg\1\2", svg)
