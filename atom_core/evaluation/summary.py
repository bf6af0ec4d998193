# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of many runs: mean and spread over the seeds for each tracker and sequence, as tree and table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from atom_core.data.sequences import Sequence
from atom_core.evaluation import state_measures
from atom_core.evaluation.runner import Run, summarize, what_was_said

Figures = dict[str, float | None]  # None: not defined. JSON has no NaN


@dataclass(frozen=True)
class Column:
    """A column of a table of figures."""

    key: str
    heading: str
    digits: int  # after the decimal point
    meaning: str
    printed: bool = True  # in the table on the terminal


ACCURACY = (
    Column("auc", "AUC", 3, "area under the success plot"),
    Column("mean_overlap", "overlap", 3, "mean overlap (intersection over union) with the reference", False),
    Column("success_50", ">0.5", 3, "share of frames with an overlap above 0.5"),
    Column("precision_20", "<=20px", 3, "share of frames whose centre is at most 20 px off"),
    Column("normalized_precision_20", "Pnorm", 3, "the same for at most 0.2 of the target's size"),
    Column(
        "ao", "AO", 3, "mean overlap by GOT-10k's rules: over all frames but the given one, of all sequences together"
    ),
    Column("sr_50", "SR.50", 3, "share of those with an overlap above 0.5"),
    Column("sr_75", "SR.75", 3, "share of those with an overlap above 0.75"),
    Column("center_drift", "drift", 4, "of the centre per frame, over the target's side; meaningful for short clips"),
    Column("size_drift", "size drift", 4, "of the box's side per frame, in powers of 2; meaningful for short clips"),
)
STATES = (
    Column("silent_error", "silent", 3, "share of all frames reported TRACKING or UNCERTAIN with an overlap below 0.1"),
    Column("false_loss", "false loss", 3, "share of the frames with the target in view reported LOST or SEARCHING"),
    Column(
        "loss_noticed", "noticed", 3, "share of the frames with no target or a box off it reported LOST or SEARCHING"
    ),
    Column("returns_30", "returns", 3, "share of the target's returns after which it is tracked within 30 frames"),
    Column(
        "losses_30",
        "losses recovered",
        3,
        "share of the losses in view after which it is tracked within 30 frames",
        False,
    ),
    Column("recovery_frames", "recovery", 1, "mean frames until it is tracked again after an absence or a loss"),
    Column(
        "wrong_take_ups", "false re-detections", 3, "share of the absences in which another object is tracked", False
    ),
    Column("lost_share", "LOST", 3, "share of frames reported LOST or SEARCHING", False),
    Column("tracking_overlap", "in TRACKING", 3, "mean overlap in the frames reported TRACKING", False),
    Column(
        "false_tracking_rate", "false tracking", 3, "share of the frames reported TRACKING that are off target", False
    ),
    Column(
        "true_loss_rate", "true loss", 3, "share of the frames reported LOST whose last known box is off target", False
    ),
)
CONFIDENCE = (
    Column("calibration_error", "ECE", 3, "expected calibration error of the confidence, against an overlap above 0.5"),
    Column("f_score", "F", 3, "VOT long-term: highest F over the confidence's threshold"),
    Column("lt_precision", "Pr", 3, "mean overlap of the boxes claimed at that threshold, 0 without a target", False),
    Column("lt_recall", "Re", 3, "the sum of their overlaps over the number of frames with a target", False),
    Column("f_threshold", "threshold", 2, "of the confidence, at that F", False),
)
SPEED = (
    Column("initialize_seconds", "init s", 2, "seconds to learn the first frame"),
    Column("median_ms", "median ms", 1, "median time of a later frame"),
    Column("mean_ms", "mean ms", 1, "mean time of a later frame", False),
    Column("p95_ms", "p95 ms", 1, "95th percentile of the time of a later frame"),
)
_PRINTED = tuple(column for column in (*ACCURACY, *STATES, *CONFIDENCE, *SPEED) if column.printed)
# Means with equal weights for frames or events, not sequences, and their counts. GOT-10k defines AO and SR so.
_POOLED = {
    **dict.fromkeys(("ao", "sr_50", "sr_75"), "ao_frames"),
    "silent_error": "later_frames",
    "false_loss": "present_frames",
    "loss_noticed": "off_frames",
    "returns_30": "returns",
    "losses_30": "losses",
    "recovery_frames": "recoveries",
    "wrong_take_ups": "absences",
}


@dataclass(frozen=True)
class _Row:
    """One run's figures, and the data for figures over several sequences; None without ground truth."""

    figures: Figures
    bins: np.ndarray | None
    curves: np.ndarray | None


def summarize_all(
    runs: Iterable[Run], sequences: Iterable[Sequence], lost_is_miss: bool = False
) -> dict[str, dict[str, Any]]:
    """The figures of all runs, ready for JSON.

    Returns:
        {tracker: {"mean": figures, "spread": figures, "error": figures, "seeds": [...], "calibration": bins,
        "sequences": {sequence: {"figures": figures, "spread": figures, "error": figures, "runs": {seed: figures}}}}}.
        A sequence's figures are means over the seeds. The tracker's mean is over sequences with equal weights, as in
        OTB; AO, SR and the shares of frames and events weight each frame or event equally. Calibration error and F over
        several sequences are those of all their frames and of their mean curves. A spread is the sample standard
        deviation over the seeds, the error the standard error of their mean; the tracker's are of its means, over the
        seeds that have all sequences. None: not defined. `calibration` has a row for each tenth of the confidence:
        number of frames, sum of their confidences, number with an overlap above 0.5, over all seeds.
    """
    by_name = {sequence.name: sequence for sequence in sequences}
    rows: dict[str, dict[str, dict[str, _Row]]] = {}
    for run in runs:
        row = _summarize_run(run, by_name[run.sequence], lost_is_miss)
        rows.setdefault(run.tracker, {}).setdefault(run.sequence, {})[str(run.seed)] = row
    return {tracker: _summarize_tracker(by_sequence) for tracker, by_sequence in rows.items()}


def _summarize_run(run: Run, sequence: Sequence, lost_is_miss: bool) -> _Row:
    figures = {key: _number(value) for key, value in summarize(run, sequence, lost_is_miss).items()}
    if not sequence.has_ground_truth:
        return _Row(figures, None, None)
    said = what_was_said(run, sequence)
    return _Row(figures, state_measures.calibration_bins(said), state_measures.precision_recall(said))


def _summarize_tracker(by_sequence: dict[str, dict[str, _Row]]) -> dict[str, Any]:
    sequences: dict[str, dict[str, Any]] = {}
    for name, by_seed in sorted(by_sequence.items()):
        of_seeds = {seed: row.figures for seed, row in by_seed.items()}
        sequences[name] = {"figures": mean(of_seeds.values()), **_deviations(of_seeds.values()), "runs": of_seeds}
    seeds = sorted({seed for by_seed in by_sequence.values() for seed in by_seed}, key=int)
    complete = [seed for seed in seeds if all(seed in by_seed for by_seed in by_sequence.values())]
    means = [_mean_of_sequences([by_seed[seed] for by_seed in by_sequence.values()]) for seed in complete]
    of_each = [[by_seed[seed] for by_seed in by_sequence.values() if seed in by_seed] for seed in seeds]
    overall = _mean_of_sequences([_Row(of["figures"], None, None) for of in sequences.values()])
    pooled = [_pooled(rows) for rows in of_each]
    bins = [row.bins for rows in of_each for row in rows if row.bins is not None]
    return {
        "mean": overall | mean([one for one in pooled if one]),
        **_deviations(means),
        "seeds": [int(seed) for seed in seeds],
        "calibration": np.sum(bins, axis=0).tolist() if bins else None,
        "sequences": sequences,
    }


def _mean_of_sequences(rows: list[_Row]) -> Figures:
    figures = [row.figures for row in rows]
    weighted = {}
    for key, number in _POOLED.items():
        known = [(value, count) for row in figures if (value := row[key]) is not None and (count := row[number])]
        if known:
            values, counts = zip(*known, strict=True)
            weighted[key] = _number(np.average(values, weights=counts))
    return mean(figures) | weighted | _pooled(rows)


def _pooled(rows: list[_Row]) -> Figures:
    """Calibration error and F over the sequences of one seed; empty without ground truth."""
    bins = [row.bins for row in rows if row.bins is not None]
    curves = [row.curves for row in rows if row.curves is not None]
    if not bins:
        return {}
    error = state_measures.calibration_error(np.sum(bins, axis=0))
    best = state_measures.best_f(state_measures.mean_curves(curves))
    return {key: _number(value) for key, value in {"calibration_error": error, **best}.items()}


def _deviations(rows: Iterable[Figures]) -> dict[str, Figures]:
    """Standard deviation of each figure over the seeds, and standard error of its mean."""
    rows = list(rows)
    spreads = spread(rows)
    counts = {key: len(_column(rows, key)) for key in spreads}
    errors = {key: None if value is None else value / np.sqrt(counts[key]) for key, value in spreads.items()}
    return {"spread": spreads, "error": errors}


def mean(rows: Iterable[Figures]) -> Figures:
    """The mean of each figure over the rows that have it."""
    rows = list(rows)
    keys = rows[0] if rows else ()
    return {key: _number(np.mean(values)) if (values := _column(rows, key)) else None for key in keys}


def spread(rows: Iterable[Figures]) -> Figures:
    """The sample standard deviation of each figure; None if fewer than two rows have it."""
    rows = list(rows)
    return {
        key: _number(np.std(values, ddof=1)) if len(values := _column(rows, key)) > 1 else None
        for key in (rows[0] if rows else ())
    }


def _column(rows: list[Figures], key: str) -> list[float]:
    return [value for row in rows if (value := row[key]) is not None]


def _number(value: float | np.floating) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def table(trackers: dict[str, dict[str, Any]]) -> str:
    """The figures of `summarize_all` as text: a line for each tracker and sequence, and for each tracker's mean.

    Figures other than times have the standard error of their mean over the seeds, if there are several.
    """
    lines = [["tracker", "sequence", *(column.heading for column in _PRINTED)]]
    for tracker, entry in trackers.items():
        rows = [(name, of["figures"], of["error"]) for name, of in entry["sequences"].items()]
        for name, figures, errors in [*rows, ("mean", entry["mean"], entry["error"])]:
            cells = (format_figure(c, figures, {} if c in SPEED else errors) for c in _PRINTED)
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


def format_figure(column: Column, figures: Figures, errors: Figures) -> str:
    """A figure and its standard error, if any: `0.654±0.022`; `-` if it is not defined."""
    value, error = figures.get(column.key), errors.get(column.key)
    if value is None:
        return "-"
    return f"{value:.{column.digits}f}" + ("" if error is None else f"±{error:.{column.digits}f}")
