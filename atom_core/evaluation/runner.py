# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""One-pass evaluation: give the first box, follow to the end, never help (OPE of the OTB protocol)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from atom_core.evaluation import metrics
from atom_core.evaluation.sequences import Sequence
from atom_core.tracker import TrackResult, TrackState

GIVEN = "GIVEN"  # the state of the first frame, whose box is given


class Tracker(Protocol):
    """Anything that can be evaluated; images are (H, W, 3), uint8, RGB, boxes (x, y, width, height) in image px."""

    def initialize(self, image: np.ndarray, box: tuple[float, float, float, float]) -> object:
        """Starts anew with `box` on `image`."""

    def track(self, image: np.ndarray) -> TrackResult:
        """Follows the target into `image`."""


@dataclass(frozen=True)
class Run:
    """What one tracker said on one sequence of N frames. Row 0 is the given box; its time is that of initialize."""

    tracker: str
    sequence: str
    boxes: np.ndarray  # (N, 4)
    scores: np.ndarray  # (N,), NaN in the first frame
    ious: np.ndarray  # (N,), predicted IoU, NaN in the first frame
    states: tuple[str, ...]  # N names of states, GIVEN first
    seconds: np.ndarray  # (N,), the tracker's own time, reading the image excluded

    @property
    def lost(self) -> np.ndarray:
        """(N,) bool: the tracker said LOST."""
        return np.array(self.states) == TrackState.LOST.name


def run_sequence(name: str, tracker: Tracker, sequence: Sequence, on_frame: Callable[[], object] = lambda: None) -> Run:
    """Follows the target of one sequence from its first box to its end.

    Args:
        name: the tracker's name, for the record.
        tracker: is initialised anew.
        sequence: two frames or more.
        on_frame: called after each frame, to show progress.
    """
    boxes, scores, ious, states, seconds = [], [], [], [], []
    for index, image in enumerate(sequence.frames):
        if index == 0:
            box = tuple(float(value) for value in sequence.boxes[0])
            started = time.perf_counter()
            tracker.initialize(image, box)
            seconds.append(time.perf_counter() - started)
            boxes.append(box), scores.append(np.nan), ious.append(np.nan), states.append(GIVEN)
        else:
            started = time.perf_counter()
            result = tracker.track(image)
            seconds.append(time.perf_counter() - started)
            boxes.append(result.box), scores.append(result.score), ious.append(result.iou)
            states.append(result.state.name)
        on_frame()
    return Run(name, sequence.name, *map(np.array, (boxes, scores, ious)), tuple(states), np.array(seconds))


def summarize(run: Run, sequence: Sequence, lost_is_miss: bool = False) -> dict[str, float]:
    """The figures of one run.

    Args:
        run: of this sequence.
        sequence: holds the reference boxes.
        lost_is_miss: count frames on which the tracker says LOST as misses. The protocol, and the default, scores
            the box of every frame alike, the last known place too.
    """
    boxes = run.boxes.copy()
    if lost_is_miss:
        boxes[run.lost] = np.nan
    return {
        **dataclasses.asdict(metrics.score(boxes, sequence.boxes)),
        "lost_share": float(run.lost.mean()),
        "initialize_seconds": float(run.seconds[0]),
        "median_ms": float(np.median(run.seconds[1:]) * 1e3),
        "p95_ms": float(np.percentile(run.seconds[1:], 95) * 1e3),
    }


def report(runs: Iterable[Run], sequences: Iterable[Sequence], lost_is_miss: bool = False) -> dict[str, Any]:
    """Figures and per-frame records of all runs, ready for JSON.

    Returns:
        {tracker: {"mean": figures, "sequences": {sequence: {"figures": figures, "frames": columns}}}}; the mean is
        over sequences, each weighing the same, as in OTB.
    """
    by_name = {sequence.name: sequence for sequence in sequences}
    trackers: dict[str, Any] = {}
    for run in runs:
        figures = summarize(run, by_name[run.sequence], lost_is_miss)
        entry = trackers.setdefault(run.tracker, {"mean": {}, "sequences": {}})
        entry["sequences"][run.sequence] = {"figures": figures, "frames": _columns(run)}
    for entry in trackers.values():
        rows = [sequence["figures"] for sequence in entry["sequences"].values()]
        entry["mean"] = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return trackers


def table(trackers: dict[str, Any]) -> str:
    """The figures of `report` as text: one line for each tracker and sequence, and each tracker's mean."""
    width = max([len("sequence"), *(len(name) for entry in trackers.values() for name in entry["sequences"])])
    head = f"{'tracker':<10} {'sequence':<{width}}    AUC  overlap   >0.5  <=20px   lost  init s  ms/frame  p95 ms"
    lines = [head, "-" * len(head)]
    for tracker, entry in trackers.items():
        rows = [(name, sequence["figures"]) for name, sequence in entry["sequences"].items()]
        for name, row in [*rows, ("mean", entry["mean"])]:
            lines.append(
                f"{tracker:<10} {name:<{width}}  {row['auc']:.3f}    {row['mean_overlap']:.3f}  {row['success_50']:.3f}"
                f"   {row['precision_20']:.3f}  {row['lost_share']:.3f}  {row['initialize_seconds']:6.2f}"
                f"  {row['median_ms']:8.1f}  {row['p95_ms']:6.1f}"
            )
        lines.append("")
    return "\n".join(lines)


def _columns(run: Run) -> dict[str, list[Any]]:
    """The run's columns, with None for NaN: JSON has no NaN."""
    return {
        "box": [[round(float(value), 2) for value in box] for box in run.boxes],
        "score": [None if np.isnan(value) else round(float(value), 4) for value in run.scores],
        "iou": [None if np.isnan(value) else round(float(value), 4) for value in run.ious],
        "state": list(run.states),
        "seconds": [round(float(value), 5) for value in run.seconds],
    }
