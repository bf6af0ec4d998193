# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of many runs: for each tracker and sequence the mean over the seeds and its spread, as tree and table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from atom_core.data.sequences import Sequence
from atom_core.evaluation.runner import Run, summarize

Figures = dict[str, float | None]  # None: there is no such figure. JSON has no NaN


@dataclass(frozen=True)
class Column:
    """A figure as a table shows it."""

    key: str
    heading: str
    digits: int  # behind the point
    meaning: str
    printed: bool = True  # in the table on the terminal


ACCURACY = (
    Column("auc", "AUC", 3, "area under the success plot"),
    Column("mean_overlap", "overlap", 3, "mean overlap (intersection over union) with the reference", False),
    Column("success_50", ">0.5", 3, "share of frames with an overlap above 0.5"),
    Column("precision_20", "<=20px", 3, "share of frames whose centre is at most 20 px off"),
    Column("normalized_precision_20", "Pnorm", 3, "the same for at most 0.2 of the target's size"),
    Column("ao", "AO", 3, "mean overlap by GOT-10k's rules: all frames but the given one, of all sequences together"),
    Column("sr_50", "SR.50", 3, "share of those with an overlap above 0.5"),
    Column("sr_75", "SR.75", 3, "share of those with an overlap above 0.75"),
)
HONESTY = (
    Column("lost_share", "LOST", 3, "share of frames in which the tracker says that it has lost the target"),
    Column("tracking_overlap", "in TRACKING", 3, "mean overlap in the frames in which it says TRACKING", False),
    Column("tracking_lies", "lies", 3, "of the frames said TRACKING, those with an overlap below 0.1 or no target"),
    Column("lost_truths", "truths", 3, "of the frames said LOST, those whose last known box is off the target", False),
)
SPEED = (
    Column("initialize_seconds", "init s", 2, "seconds to learn the first frame"),
    Column("median_ms", "median ms", 1, "median time of a later frame"),
    Column("mean_ms", "mean ms", 1, "mean time of a later frame", False),
    Column("p95_ms", "p95 ms", 1, "time that 95 % of the later frames stay below"),
)
_PRINTED = tuple(column for column in (*ACCURACY, *HONESTY, *SPEED) if column.printed)
_POOLED = ("ao", "sr_50", "sr_75")  # GOT-10k weighs frames alike, not sequences


def summarize_all(
    runs: Iterable[Run], sequences: Iterable[Sequence], lost_is_miss: bool = False
) -> dict[str, dict[str, Any]]:
    """The figures of all runs, ready for JSON.

    Returns:
        {tracker: {"mean": figures, "spread": figures, "seeds": [...], "sequences": {sequence: {"figures": figures,
        "spread": figures, "runs": {seed: figures}}}}}. A sequence's figures are means over the seeds. The tracker's
        mean is over sequences, each weighing the same, as in OTB; for AO and SR, each frame does. A spread is the
        sample standard deviation over the seeds; the tracker's is that of its means, over the seeds that have all
        sequences. None: not defined.
    """
    by_name = {sequence.name: sequence for sequence in sequences}
    rows: dict[str, dict[str, dict[str, Figures]]] = {}
    for run in runs:
        figures = summarize(run, by_name[run.sequence], lost_is_miss)
        of_sequence = rows.setdefault(run.tracker, {}).setdefault(run.sequence, {})
        of_sequence[str(run.seed)] = {key: _number(value) for key, value in figures.items()}
    return {tracker: _summarize_tracker(by_sequence) for tracker, by_sequence in rows.items()}


def _summarize_tracker(by_sequence: dict[str, dict[str, Figures]]) -> dict[str, Any]:
    sequences = {
        name: {"figures": mean(by_seed.values()), "spread": spread(by_seed.values()), "runs": by_seed}
        for name, by_seed in sorted(by_sequence.items())
    }
    seeds = sorted({seed for by_seed in by_sequence.values() for seed in by_seed}, key=int)
    complete = [seed for seed in seeds if all(seed in by_seed for by_seed in by_sequence.values())]
    means = [_mean_of_sequences([by_seed[seed] for by_seed in by_sequence.values()]) for seed in complete]
    return {
        "mean": _mean_of_sequences([entry["figures"] for entry in sequences.values()]),
        "spread": spread(means),
        "seeds": [int(seed) for seed in seeds],
        "sequences": sequences,
    }


def _mean_of_sequences(rows: list[Figures]) -> Figures:
    known = [row for row in rows if row["ao"] is not None]
    weights = [row["ao_frames"] for row in known]
    pooled = {key: _number(np.average([row[key] for row in known], weights=weights)) for key in _POOLED if known}
    return mean(rows) | pooled


def mean(rows: Iterable[Figures]) -> Figures:
    """The mean of each figure over the rows that have it."""
    rows = list(rows)
    return {key: _number(np.mean(values)) if (values := _column(rows, key)) else None for key in rows[0]}


def spread(rows: Iterable[Figures]) -> Figures:
    """The sample standard deviation of each figure; None where fewer than two rows have it."""
    rows = list(rows)
    return {
        key: _number(np.std(values, ddof=1)) if len(values := _column(rows, key)) > 1 else None
        for key in (rows[0] if rows else ())
    }


def _column(rows: list[Figures], key: str) -> list[float]:
    return [row[key] for row in rows if row[key] is not None]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def table(trackers: dict[str, dict[str, Any]]) -> str:
    """The figures of `summarize_all` as text: a line for each tracker and sequence, and for each tracker's mean.

    Behind a figure of accuracy stands its spread over the seeds, if there are several.
    """
    lines = [["tracker", "sequence", *(column.heading for column in _PRINTED)]]
    for tracker, entry in trackers.items():
        rows = [(name, of["figures"], of["spread"]) for name, of in entry["sequences"].items()]
        for name, figures, spreads in [*rows, ("mean", entry["mean"], entry["spread"])]:
            cells = (format_figure(c, figures, spreads if c in ACCURACY else {}) for c in _PRINTED)
            lines.append([tracker, name, *cells])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    text = ["  ".join(_aligned(line, widths)) for line in lines]
    text.insert(1, "-" * len(text[0]))
    for index in reversed(range(2, len(lines))):  # a blank line between two trackers
        if lines[index][0] != lines[index - 1][0]:
            text.insert(index + 1, "")
    return "\n".join(text)


def _aligned(line: list[str], widths: list[int]) -> list[str]:
    names, figures = zip(line[:2], widths[:2], strict=True), zip(line[2:], widths[2:], strict=True)
    return [*(cell.ljust(width) for cell, width in names), *(cell.rjust(width) for cell, width in figures)]


def format_figure(column: Column, figures: Figures, spreads: Figures) -> str:
    """A figure and, where there is one, its spread: `0.654±0.022`; `-` where it is not defined."""
    value, deviation = figures.get(column.key), spreads.get(column.key)
    if value is None:
        return "-"
    return f"{value:.{column.digits}f}" + ("" if deviation is None else f"±{deviation:.{column.digits}f}")
