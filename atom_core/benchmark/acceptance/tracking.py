# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Sequences tracked in each mode: boxes and AUC compared with the CPU's."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence as Listed
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atom_core.benchmark.acceptance.modes import CAPTURES, Mode, Settings, build_reference
from atom_core.benchmark.acceptance.sheet import Sheet, Status
from atom_core.data.sequences import Sequence, read_sequences
from atom_core.evaluation import metrics
from atom_core.evaluation.runner import Run, run_sequence
from atom_core.tracker import AtomTracker, choose_device

STREET = Path(__file__).resolve().parents[3] / "demo" / "street"
# Rounding moves a box slightly, and so the next search region: two runs differ like two seeds.
AUC_DIFFERENCE = 0.03  # of the means over the sequences
LEAST_OVERLAP = {"float32": 0.9, "bfloat16": 0.75, "float16": 0.85}  # median over the frames of both runs' boxes


class Agreement(NamedTuple):
    """Two runs of the same sequences.

    Attributes:
        auc, cpu_auc: means over the sequences with reference boxes.
        overlap: median over all frames but the first of the overlap of the two runs' boxes.
        same_state: share of the frames in which the target is visible in both or in neither.
        farthest: the largest distance between two boxes' centres, image px.
    """

    auc: float
    cpu_auc: float
    overlap: float
    same_state: float
    farthest: float


def read(folder: Path | None, frames: int | None) -> list[Sequence]:
    """The sequences of a folder, or the street clip, each cut to `frames` frames.

    Raises:
        ValueError, OSError: if there is none.
    """
    if folder is None and not STREET.is_dir():
        raise ValueError(f"this installation has no {STREET}; give a folder of sequences")
    return [cut(sequence, frames) for sequence in read_sequences(folder or STREET)]


def cut(sequence: Sequence, frames: int | None) -> Sequence:
    """The sequence's first frames; all if `frames` is None."""
    if frames is None or frames >= len(sequence):
        return sequence
    images = list(itertools.islice(sequence.frames, frames))
    return dataclasses.replace(sequence, frames=images, boxes=sequence.boxes[:frames])


def track_reference(sheet: Sheet, settings: Settings, folder: Path | None, frames: int | None, output: Path) -> None:
    """Adds the CPU's results on the sequences, and writes its runs for `track_modes`."""
    tracker, sequences = build_reference(settings), read(folder, frames)
    runs = [run_sequence("CPU", tracker, sequence) for sequence in sequences]
    save(runs, output)
    for run, sequence in zip(runs, sequences, strict=True):
        milliseconds = float(np.median(run.seconds[1:]) * 1e3)
        sheet.add(
            run.sequence,
            Status.TOLD,
            f"AUC {_auc(run, sequence):.3f}, {len(sequence)} frames, {milliseconds:.1f} ms, {tracker.engine}",
            auc=_auc(run, sequence),
            ms=milliseconds,
        )


def track_modes(
    sheet: Sheet, settings: Settings, precision: str, folder: Path | None, frames: int | None, reference: Path
) -> None:
    """Adds a line for each mode of a precision.

    Raises:
        OSError: if `track_reference` wrote no runs.
    """
    sequences, device = read(folder, frames), choose_device(settings.device)
    expected = load(reference)
    for mode in (Mode(precision, capture) for capture in CAPTURES):
        if reason := mode.why_not(device):
            sheet.add(mode.name, Status.SKIPPED, reason)
            continue
        with sheet.attempt(mode.name):
            tracker = _warm(mode, settings)
            runs = [run_sequence(mode.name, tracker, sequence) for sequence in sequences]
            judge(sheet, mode, agree(runs, expected, sequences))


def _warm(mode: Mode, settings: Settings) -> AtomTracker:
    """A warmed-up tracker; raises RuntimeError if the mode is captured and capturing fails."""
    tracker = mode.build(settings)
    tracker.warm_up()
    if mode.capture != "off" and tracker.execution != "captured":
        raise RuntimeError(f"not captured: {tracker.execution}")
    return tracker


def agree(runs: Listed[Run], expected: Listed[Run], sequences: Listed[Sequence]) -> Agreement:
    """Compares runs with the CPU's; both of all sequences, in order.

    Raises:
        ValueError: if they are of different sequences.
    """
    names = [[run.sequence for run in both] for both in (runs, expected)]
    if names[0] != names[1]:
        raise ValueError(f"the CPU tracked {', '.join(names[1])}, and not {', '.join(names[0])}")
    boxes, others = (np.concatenate([run.boxes[1:] for run in both]) for both in (runs, expected))
    seen, others_seen = (np.concatenate([~run.lost[1:] for run in both]) for both in (runs, expected))
    known = [i for i, sequence in enumerate(sequences) if sequence.has_ground_truth]
    aucs = [[_auc(both[i], sequences[i]) for i in known] or [np.nan] for both in (runs, expected)]
    return Agreement(
        float(np.mean(aucs[0])),
        float(np.mean(aucs[1])),
        float(np.median(metrics.overlap(boxes, others))),
        float((seen == others_seen).mean()),
        float(metrics.center_distance(boxes, others).max()),
    )


def judge(sheet: Sheet, mode: Mode, found: Agreement) -> None:
    """Adds the line of a mode: passed if overlap and AUC are within their bounds."""
    difference, least = found.auc - found.cpu_auc, LEAST_OVERLAP[mode.precision]
    known = not np.isnan(difference)
    is_right = found.overlap >= least and (not known or abs(difference) <= AUC_DIFFERENCE)
    text = (
        f"AUC {found.auc:.3f}, the CPU's {found.cpu_auc:.3f} (within {AUC_DIFFERENCE}); "
        if known
        else "no reference boxes; "
    )
    text += (
        f"boxes overlap the CPU's by {found.overlap:.3f} (median, at least {least}), the same state in "
        f"{found.same_state:.1%} of the frames, centres at most {found.farthest:.1f} px apart"
    )
    sheet.check(mode.name, is_right, text, **{k: v for k, v in found._asdict().items() if np.isfinite(v)})


def save(runs: Listed[Run], path: Path) -> None:
    """Saves the boxes and states of runs."""
    trees = [{"sequence": run.sequence, "boxes": run.boxes.tolist(), "states": run.states} for run in runs]
    path.write_text(json.dumps(trees), encoding="utf-8")


def load(path: Path) -> list[Run]:
    """The runs that `save` wrote; scores and times are NaN.

    Raises:
        OSError: if the file cannot be read.
    """
    runs = []
    for tree in json.loads(path.read_text(encoding="utf-8")):
        unknown = np.full(len(tree["boxes"]), np.nan)
        boxes, states = np.array(tree["boxes"]), tuple(tree["states"])
        runs.append(Run("CPU", tree["sequence"], boxes, unknown, unknown, states, unknown))
    return runs


def _auc(run: Run, sequence: Sequence) -> float:
    return metrics.score(run.boxes, sequence.boxes, sequence.image_size).auc
