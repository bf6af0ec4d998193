# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Measures the reliability of a tracker's states and confidence, and how quickly it recovers.

A frame is *claimed* if the state is TRACKING or UNCERTAIN, *given up* if it is LOST or SEARCHING. A claimed box
is *on target* if its overlap with the reference is at least 0.1. Where the reference is absent (NaN), so is the target:
no box is on target, and giving up is right. The given first frame is never counted.

Precision, recall and F follow the VOT long-term challenge: Lukezic et al., "Performance Evaluation Methodology for
Long-Term Single-Object Tracking", IEEE Transactions on Cybernetics, 2020.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

ON_TARGET = 0.1  # overlap from which a box is on the target
CORRECT = 0.5  # overlap above which a confident tracker is right
SOON = 30  # frames within which a target should be re-detected
BINS = 10  # of the confidence, of equal width
THRESHOLDS = np.arange(101) / 100  # of the confidence


@dataclass(frozen=True)
class Said:
    """A tracker's output in N frames, and the ground truth.

    Attributes:
        overlaps: (N,) of its box with the reference, NaN where the target is absent.
        claimed: (N,) bool, TRACKING or UNCERTAIN.
        confidences: (N,) 0..1, NaN for a tracker without confidence.
    """

    overlaps: np.ndarray
    claimed: np.ndarray
    confidences: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """(N,) bool: the target is in view."""
        return ~np.isnan(self.overlaps)

    @property
    def touching(self) -> np.ndarray:
        """(N,) bool: the box, claimed or not, is on the target."""
        return np.nan_to_num(self.overlaps) >= ON_TARGET

    @property
    def on_target(self) -> np.ndarray:
        """(N,) bool: claimed and on target."""
        return self.claimed & self.touching


def measure_states(said: Said) -> dict[str, float]:
    """Figures of one run, NaN if there is no such frame, and the numbers of frames or events that they count.

    Returns:
        silent_error: of all frames (`later_frames`), those claimed and not on target;
        false_loss: of the frames with the target in view (`present_frames`), those given up;
        loss_noticed: of the frames with no target or a box off it (`off_frames`), those given up;
        returns_30: of the target's returns after an absence (`returns`), those after which it is on target within 30
        frames; losses_30: the same of losses in view (`losses`); events in which the target leaves earlier are
        undecided and not counted; recovery_frames: mean number of frames until it is on target again, over all such
        events (`recoveries`), or until the target leaves or the sequence ends; wrong_take_ups: of the absences
        (`absences`), those in which it claims a target after having given up.
    """
    off = ~said.touching
    bad_returns, bad_losses = _events(said)
    absences = _stretches(~said.present)
    taken_up = [(np.diff(said.claimed[a:b].astype(int)) == 1).any() for a, b in absences]
    returns, losses = _decided(bad_returns), _decided(bad_losses)
    events = [*bad_returns, *bad_losses]
    return {
        "silent_error": _share(said.claimed & off),
        "later_frames": len(off),
        "false_loss": _share(~said.claimed[said.present]),
        "present_frames": int(said.present.sum()),
        "loss_noticed": _share(~said.claimed[off]),
        "off_frames": int(off.sum()),
        "returns_30": _share(returns),
        "returns": len(returns),
        "losses_30": _share(losses),
        "losses": len(losses),
        "recovery_frames": float(np.mean([event.frames for event in events])) if events else np.nan,
        "recoveries": len(events),
        "wrong_take_ups": _share(taken_up),
        "absences": len(absences),
    }


class _Event(NamedTuple):
    frames: int  # until it is on target again, the target leaves, or the sequence ends
    recovered: bool


def _events(said: Said) -> tuple[list[_Event], list[_Event]]:
    """Returns after an absence, including immediate ones, and losses while the target was in view."""
    returns, losses = [], []
    for start, end in _stretches(said.present):
        bad = _stretches(~said.on_target[start:end])
        if start > 0:  # the target was absent before
            first = bad.pop(0) if bad and bad[0][0] == 0 else (0, 0)
            returns.append(_Event(first[1], first[1] < end - start))
        losses += [_Event(b - a, b < end - start) for a, b in bad]
    return returns, losses


def _decided(events: Iterable[_Event]) -> list[bool]:
    """Whether each event ended in time; events with too little time are left out."""
    return [e.recovered and e.frames <= SOON for e in events if e.recovered or e.frames > SOON]


def _stretches(chosen: np.ndarray) -> list[tuple[int, int]]:
    """First and last + 1 index of each run of consecutive True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(int)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _share(values: np.ndarray | list[bool]) -> float:
    return float(np.mean(values)) if len(values) else np.nan


def calibration_bins(said: Said) -> np.ndarray:
    """(BINS, 3) of the claimed frames by confidence: their number, sum of confidences, number with overlap > 0.5."""
    known = said.claimed & ~np.isnan(said.confidences)
    confidences = said.confidences[known].clip(0, 1)
    correct = np.nan_to_num(said.overlaps[known]) > CORRECT
    index = np.minimum((confidences * BINS).astype(int), BINS - 1)
    columns = (None, confidences, correct)
    return np.stack([np.bincount(index, weights, minlength=BINS) for weights in columns], axis=1).astype(float)


def calibration_error(bins: np.ndarray) -> float:
    """Expected calibration error of bins (BINS, 3): mean |confidence - share correct|, by frames; NaN of none."""
    total = bins[:, 0].sum()
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / total) if total else np.nan


def precision_recall(said: Said) -> np.ndarray:
    """Precision and recall (2, 101) over THRESHOLDS.

    Precision is the mean overlap of the claims of at least this confidence, counted as 0 if the target is absent;
    recall is the sum of their overlaps over the number of frames with a target. NaN if there are no claims or no
    target. A tracker without confidence claims with confidence 1.
    """
    overlaps = np.nan_to_num(said.overlaps)
    confidences = np.where(np.isnan(said.confidences), 1.0, said.confidences.clip(0, 1))
    counted = said.claimed & (confidences >= THRESHOLDS[:, None])
    sums, counts, present = (counted * overlaps).sum(1), counted.sum(1), int(said.present.sum())
    precision = np.divide(sums, counts, out=np.full(len(THRESHOLDS), np.nan), where=counts > 0)
    return np.stack((precision, sums / present if present else np.full(len(THRESHOLDS), np.nan)))


def f_scores(curves: np.ndarray) -> np.ndarray:
    """(101,) harmonic means of precision and recall (2, 101); 0 where there are no claims."""
    precision, recall = np.nan_to_num(curves)
    total = precision + recall
    return np.divide(2 * precision * recall, total, out=np.zeros(len(total)), where=total > 0)


def best_f(curves: np.ndarray) -> dict[str, float]:
    """The highest F over the thresholds, with its precision, recall and threshold; NaN if there is no recall."""
    if np.isnan(curves[1]).all():
        return dict.fromkeys(("f_score", "lt_precision", "lt_recall", "f_threshold"), np.nan)
    scores = f_scores(curves)
    best = int(scores.argmax())
    return {
        "f_score": float(scores[best]),
        "lt_precision": float(np.nan_to_num(curves[0, best])),
        "lt_recall": float(curves[1, best]),
        "f_threshold": float(THRESHOLDS[best]),
    }


def mean_curves(curves: Iterable[np.ndarray]) -> np.ndarray:
    """(2, 101) mean over sequences with equal weights; of precision over those that have claims."""
    stacked = np.array(list(curves))
    known = ~np.isnan(stacked)
    sums, counts = np.where(known, stacked, 0).sum(0), known.sum(0)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
