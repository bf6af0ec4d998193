# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The tracker's vocabulary: the states of a target, and the result of a frame."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

from atom_core.boxes import Box
from atom_core.confidence import Calibration


class TrackState(enum.Enum):
    """The state of the target in a frame."""

    TRACKING = "tracking"
    UNCERTAIN = "uncertain"  # visible together with a similar object: nothing is learned from the frame
    LOST = "lost"  # not visible near its last place: the box is the last known place, not an observation
    SEARCHING = "searching"  # lost, and searched for in the whole image: the box is the last known place, too

    @property
    def is_visible(self) -> bool:
        """Whether the target is visible, so that the box is an observation."""
        return self in (TrackState.TRACKING, TrackState.UNCERTAIN)


@dataclass(frozen=True)
class TrackResult:
    """The result of one frame.

    Attributes:
        box: (x, y, width, height) in image px; an observation where `state.is_visible`, else the last known place.
        score: the classifier's peak, about 0..1; its training target is 1 on the object and 0 elsewhere.
        iou: predicted overlap of the box with the object, 0..1; 0 if the target is not visible.
        state: of the target.
        hard_negative: a distractor was visible, and the classifier was trained against it at once.
        confidence: probability, 0..1, that the box overlaps the target by more than half, see `atom_core.confidence`; 0
            if the target is not visible. The score, clipped to 0..1, if the network has no calibration.
    """

    box: Box
    score: float
    iou: float
    state: TrackState
    hard_negative: bool = False
    confidence: float = math.nan  # NaN: unknown, replaced by the score

    def __post_init__(self) -> None:
        if math.isnan(self.confidence):
            stand_in = min(max(self.score, 0.0), 1.0) if self.state.is_visible else 0.0
            object.__setattr__(self, "confidence", stand_in)

    def calibrated(self, calibration: Calibration | None) -> TrackResult:
        """The result with a calibration's confidence; unchanged if there is none or the target is not visible."""
        if calibration is None or not self.state.is_visible:
            return self
        return replace(self, confidence=calibration.confidence(self.score, self.iou))
