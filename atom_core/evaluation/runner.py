# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""One-pass evaluation (OPE of the OTB protocol): gives only the first box and tracks to the end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from atom_core.boxes import Box, as_box
from atom_core.data.sequences import Sequence
from atom_core.evaluation import metrics, state_measures
from atom_core.evaluation.state_measures import Said
from atom_core.result import TrackResult, TrackState

GIVEN = "GIVEN"  # the state of the first frame, whose box is given


class Tracker(Protocol):
    """Anything that can be evaluated; images are (H, W, 3), uint8, RGB, boxes (x, y, width, height) in image px."""

    def initialize(self, image: np.ndarray, box: tuple[float, float, float, float]) -> object:
        """Initialises the tracker with `box` on `image`."""

    def track(self, image: np.ndarray) -> TrackResult:
        """Tracks the target in `image`."""


@dataclass(frozen=True)
class Run:
    """Output of one tracker on one sequence of N frames. Row 0 is the given box; its time is that of initialize."""

    tracker: str
    sequence: str
    boxes: np.ndarray  # (N, 4)
    scores: np.ndarray  # (N,), NaN in the first frame
    ious: np.ndarray  # (N,), predicted IoU, NaN in the first frame
    states: tuple[str, ...]  # N names of states, GIVEN first
    seconds: np.ndarray  # (N,), the tracker's time, without reading the image
    seed: int = 0
    confidences: np.ndarray | None = None  # (N,) 0..1, NaN in the first frame; None: `scores` are used

    @property
    def lost(self) -> np.ndarray:
        """(N,) bool: the state is LOST or SEARCHING."""
        return self.said(TrackState.LOST) | self.said(TrackState.SEARCHING)

    @property
    def confidence(self) -> np.ndarray:
        """(N,) in 0..1, NaN if the tracker has none."""
        return (self.scores if self.confidences is None else self.confidences).clip(0, 1)

    def said(self, state: TrackState) -> np.ndarray:
        """(N,) bool: the tracker was in this state."""
        return np.array(self.states) == state.name


def run_sequence(
    name: str, tracker: Tracker, sequence: Sequence, on_frame: Callable[[], object] = lambda: None, seed: int = 0
) -> Run:
    """Tracks the target of one sequence from its first box to its end.

    Args:
        name: the tracker's name, for the record.
        tracker: initialised by this call.
        sequence: two frames or more.
        on_frame: called after each frame, to show progress.
        seed: the tracker's, for the record.

    Raises:
        ValueError: if the sequence has one frame only.
    """
    if len(sequence) < 2:
        raise ValueError(f"sequence {sequence.name} has {len(sequence)} frame; expected two or more")
    rows: list[tuple[Box, float, float, str, float]] = []
    seconds: list[float] = []
    for index, image in enumerate(sequence.frames):
        if index == 0:
            box = as_box(map(float, sequence.boxes[0]))
            started = time.perf_counter()
            tracker.initialize(image, box)
            seconds.append(time.perf_counter() - started)
            rows.append((box, np.nan, np.nan, GIVEN, np.nan))
        else:
            started = time.perf_counter()
            result = tracker.track(image)
            seconds.append(time.perf_counter() - started)
            confidence = getattr(result, "confidence", result.score)  # trackers without a confidence
            rows.append((result.box, result.score, result.iou, result.state.name, confidence))
        on_frame()
    boxes, scores, ious, states, confidences = zip(*rows, strict=True)
    return Run(
        name,
        sequence.name,
        np.array(boxes),
        np.array(scores),
        np.array(ious),
        states,
        np.array(seconds),
        seed,
        np.array(confidences),
    )


def summarize(run: Run, sequence: Sequence, lost_is_miss: bool = False) -> dict[str, float]:
    """The figures of one run; NaN where a figure does not exist.

    Args:
        run: of this sequence.
        sequence: with the reference boxes; without ground truth, there are no accuracy figures.
        lost_is_miss: count frames with the state LOST as misses. The protocol, and the default, scores the box of every
            frame, even if it is the last known one.
    """
    boxes = scored_boxes(run, lost_is_miss)
    scores = dataclasses.asdict(metrics.score(boxes, sequence.boxes, sequence.image_size))
    scores["center_drift"], scores["size_drift"] = metrics.drift(boxes, sequence.boxes)
    if not sequence.has_ground_truth:
        scores = dict.fromkeys(scores, np.nan)
    return {
        **scores,
        **measure_believability(run, sequence),
        "initialize_seconds": float(run.seconds[0]),
        "median_ms": float(np.median(run.seconds[1:]) * 1e3),
        "mean_ms": float(np.mean(run.seconds[1:]) * 1e3),
        "p95_ms": float(np.percentile(run.seconds[1:], 95) * 1e3),
    }


def scored_boxes(run: Run, lost_is_miss: bool) -> np.ndarray:
    """The run's boxes (N, 4), with NaN (a miss) for frames in state LOST if `lost_is_miss`."""
    boxes = run.boxes.copy()
    if lost_is_miss:
        boxes[run.lost] = np.nan
    return boxes


def what_was_said(run: Run, sequence: Sequence) -> Said:
    """The run's frames, without the first, for `state_measures`."""
    overlaps = metrics.overlap(run.boxes, sequence.boxes)
    return Said(overlaps[1:], ~run.lost[1:], run.confidence[1:])


def measure_believability(run: Run, sequence: Sequence) -> dict[str, float]:
    """Reliability of the tracker's state and confidence; NaN if there is no such frame or no reference.

    If the reference box is absent, the target is absent, and no box is right.

    Returns:
        lost_share: of all frames, those in state LOST or SEARCHING;
        tracking_overlap: mean overlap in the frames in state TRACKING in which the target is present;
        false_tracking_rate: of the frames in state TRACKING, those whose overlap is below 0.1 or without a target;
        true_loss_rate: of the frames given up, those whose box, the last known one, is not on the target;
        and the figures of `state_measures`: `measure_states`, `calibration_error`, `best_f`.
    """
    overlaps = metrics.overlap(run.boxes, sequence.boxes)
    touching = np.nan_to_num(overlaps)  # no box is on an absent target
    tracking = run.said(TrackState.TRACKING)
    known = sequence.has_ground_truth
    said = what_was_said(run, sequence)
    figures = {
        **state_measures.measure_states(said),
        "calibration_error": state_measures.calibration_error(state_measures.calibration_bins(said)),
        **state_measures.best_f(state_measures.precision_recall(said)),
    }
    return {
        "lost_share": float(run.lost.mean()),
        "tracking_overlap": _mean_where(tracking & ~np.isnan(overlaps) & known, overlaps),
        "false_tracking_rate": _mean_where(tracking & known, touching < state_measures.ON_TARGET),
        "true_loss_rate": _mean_where(run.lost & known, touching == 0),
        **(figures if known else dict.fromkeys(figures, np.nan)),
    }


def _mean_where(chosen: np.ndarray, values: np.ndarray) -> float:
    return float(values[chosen].mean()) if chosen.any() else np.nan
