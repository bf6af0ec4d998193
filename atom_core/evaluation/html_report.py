# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The results as one self-contained HTML page: no other file, no script, no network."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from atom_core.config import TrackerConfig
from atom_core.data import sequences
from atom_core.evaluation import plots
from atom_core.evaluation.contact_sheet import AnnotatedFrame, Failures, worst_failures
from atom_core.evaluation.html_page import grid, section, text_cell, whole_page
from atom_core.evaluation.runner import Run
from atom_core.evaluation.summary import ACCURACY, CONFIDENCE, SPEED, STATES, Column, format_figure

_AUC = ACCURACY[0]


def build_page(title: str, results: dict[str, Any], runs: Sequence[Run], of: Sequence[sequences.Sequence]) -> str:
    """The page.

    Args:
        title: names the data.
        results: what `results.json` holds.
        runs: all of `results`.
        of: the sequences.

    Returns:
        HTML; all external text is escaped.

    Raises:
        ValueError, OSError: if a frame for the contact sheet cannot be read.
    """
    trackers = results["trackers"]
    names = list(trackers)
    lost_is_miss = results["settings"]["lost_is_miss"]
    failures = worst_failures(runs, of, names)
    sections = [
        _overview(results, of),
        _plots(plots.average_curves(runs, of, lost_is_miss)),
        _sequences(trackers),
        _states(trackers),
        _confidence(results, plots.confidence_curves(runs, of)),
        _contact_sheet(failures, names),
        _speed(results),
        _settings(results),
    ]
    return whole_page(f"Trackers on {title}", sections)


def _overview(results: dict[str, Any], of: Sequence[sequences.Sequence]) -> str:
    trackers = results["trackers"]
    frames = sum(len(sequence) for sequence in of)
    seeds = max(len(entry["seeds"]) for entry in trackers.values())
    text = [f"{len(of)} sequences, {frames} frames, one pass: only the first box is given."]
    if seeds > 1:
        text.append(f"Up to {seeds} seeds; ± is the standard error of their mean.")
    if results["settings"]["lost_is_miss"]:
        text.append("Frames reported LOST count as misses.")
    failed = "".join(f"<li>{escape(one['run'])}: {escape(one['reason'])}</li>" for one in results["failures"])
    warning = (
        f"<p><strong>Runs that failed and are missing from all figures:</strong></p><ul>{failed}</ul>" if failed else ""
    )
    table = _table("Means over the sequences", ACCURACY, _means(trackers))
    return section("Overall", f"<p>{' '.join(text)}</p>{warning}{table}{_meanings(ACCURACY)}")


def _means(trackers: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    return [(name, entry["mean"], entry["error"]) for name, entry in trackers.items()]


def _table(caption: str, columns: Sequence[Column], rows: Iterable[tuple[str, dict[str, Any], dict[str, Any]]]) -> str:
    """A table with one row of figures for each name."""
    cells = [
        (name, [_cell(format_figure(column, figures, spreads)) for column in columns])
        for name, figures, spreads in rows
    ]
    return grid(caption, ["tracker", *(column.heading for column in columns)], cells)


def _cell(figure: str, bold: bool = False) -> str:
    value, plus_minus, deviation = figure.partition("±")
    value = f"<b>{value}</b>" if bold else value
    return f"<td>{value}{f' <small>±{deviation}</small>' if plus_minus else ''}</td>"


def _meanings(columns: Iterable[Column]) -> str:
    entries = "".join(f"<dt>{escape(column.heading)}</dt><dd>{escape(column.meaning)}</dd>" for column in columns)
    return f"<details><summary>What the columns mean</summary><dl>{entries}</dl></details>"


def _plots(curves: Sequence[plots.TrackerCurves]) -> str:
    if not curves:
        return ""
    figures = "".join(
        f'<figure role="img" aria-label="{plot.title} of each tracker; the tables hold the figures">'
        f"{plots.draw(plot, curves)}<figcaption>{plot.title}: mean of the sequences' curves; after each name "
        f"its value ({plot.legend}). The band is the range over the seeds.</figcaption></figure>"
        for plot in plots.PLOTS
    )
    return section("Success and precision", f'<div class="plots">{figures}</div>')


def _sequences(trackers: dict[str, Any]) -> str:
    """AUC of all trackers side by side, and all figures of each in a collapsible section."""
    names = list(dict.fromkeys(name for entry in trackers.values() for name in entry["sequences"]))
    entries = [(name, [entry["sequences"].get(name) for entry in trackers.values()]) for name in names]
    rows = [
        (name, _best_bold([(of["figures"], of["error"]) if of else ({}, {}) for of in row])) for name, row in entries
    ]
    rows.append(("mean", _best_bold([(entry["mean"], entry["error"]) for entry in trackers.values()])))
    parts = [grid("AUC; the best of each row is bold", ["sequence", *trackers], rows)]
    for tracker, entry in trackers.items():
        columns = (*ACCURACY, *STATES, *CONFIDENCE, *SPEED)
        figures = [(name, of["figures"], of["error"]) for name, of in entry["sequences"].items()]
        table = _table(f"All figures of {tracker}", columns, [*figures, ("mean", entry["mean"], entry["error"])])
        parts.append(f"<details><summary>All figures of {escape(tracker)}</summary>{table}</details>")
    return section("Sequences", "".join(parts))


def _best_bold(row: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
    known = [figures["auc"] for figures, _ in row if figures.get("auc") is not None]
    best = max(known) if len(row) > 1 and known else None
    return [_cell(format_figure(_AUC, *of), bold=best is not None and of[0].get("auc") == best) for of in row]


def _states(trackers: dict[str, Any]) -> str:
    table = _table("Reported states and ground truth", STATES, _means(trackers))
    return section("Does it know when it has lost the target?", table + _meanings(STATES))


def _confidence(results: dict[str, Any], curves: Sequence[plots.ConfidenceCurves]) -> str:
    if not curves:
        return ""
    drawn = (
        (
            "Reliability",
            plots.draw_reliability(curves),
            "on the diagonal, the confidence is calibrated",
        ),
        ("F over the threshold", plots.draw_f_scores(curves), "of the confidence; after each name its highest value"),
    )
    figures = "".join(
        f'<figure role="img" aria-label="{title} of each tracker; the table holds the figures">{svg}'
        f"<figcaption>{title}: {text}.</figcaption></figure>"
        for title, svg, text in drawn
    )
    table = _table("Confidence", CONFIDENCE, _means(results["trackers"]))
    return section("Is its confidence right?", f'{table}{_meanings(CONFIDENCE)}<div class="plots">{figures}</div>')


def _contact_sheet(failures: Sequence[Failures], names: Sequence[str]) -> str:
    if not failures:
        return ""
    keys = "".join(
        f'<span class="key"><i style="color:{plots.color(index)}"></i>{index + 1} {escape(name)}</span>'
        for index, name in enumerate(names)
    )
    intro = (
        f"<p>The sequences of lowest overlap of {escape(names[0])}: its longest failures, and the frames of lowest "
        f"overlap. White is the reference.</p><p>{keys}</p>"
    )
    parts = [
        f"<h3>{escape(one.sequence)} <small>mean overlap {one.mean_overlap:.3f}, seed {one.seed}</small></h3>"
        f'<div class="frames">{"".join(_figure(one.sequence, picture) for picture in one.pictures)}</div>'
        for one in failures
    ]
    return section("Worst failures", intro + "".join(parts))


def _figure(sequence: str, picture: AnnotatedFrame) -> str:
    said = "; ".join(
        f"{tracker} {'no target' if overlap is None else f'{overlap:.2f}'} {state}"
        for tracker, overlap, state in picture.said
    )
    data = base64.b64encode(picture.jpeg).decode()
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" loading="lazy" width="480" height="360" '
        f'alt="{escape(sequence)}, frame {picture.frame}, with the boxes of the reference and of each tracker">'
        f"<figcaption>Frame {picture.frame}. Overlap: {escape(said)}</figcaption></figure>"
    )


def _speed(results: dict[str, Any]) -> str:
    settings = results["settings"]
    beside = f" {settings['jobs']} runs were made in parallel, which makes each slower." if settings["jobs"] > 1 else ""
    machine = f"{settings['cpu']}, {settings['cpu_cores']} cores; threads of each run: {settings['cpu_threads']}"
    text = (
        f"<p>{escape(machine)}; GPU: {escape(str(settings['gpu']))}. Reading the images is not counted. "
        f"A tracker's value is the mean over its runs.{beside}</p>"
    )
    table = _table("Time", SPEED, _means(results["trackers"]))
    return section("Speed", text + table + _meanings(SPEED))


def _settings(results: dict[str, Any]) -> str:
    machine = [(key, [text_cell(value)]) for key, value in results["settings"].items()]
    parts = [grid("This evaluation", ["setting", "value"], machine)]
    defaults = dataclasses.asdict(TrackerConfig())
    for name, entry in results["trackers"].items():
        settings = {key: value for key, value in entry["settings"].items() if key != "config"}
        config = entry["settings"].get("config", {})
        changed = {key: value for key, value in config.items() if defaults.get(key) != value and key != "seed"}
        changes = ", ".join(f"{key}={value}" for key, value in changed.items()) or "all as by default"
        rows = {
            "seeds": ", ".join(map(str, entry["seeds"])),
            **settings,
            **({"TrackerConfig": changes} if config else {}),
        }
        parts.append(grid(name, ["setting", "value"], [(key, [text_cell(value)]) for key, value in rows.items()]))
    return section("Settings", "".join(parts))
