# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The tracker's vocabulary: the states of a target, and the result of a frame."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from atom_core.boxes import Box


class TrackState(enum.Enum):
    """What the tracker knows of the target in a frame."""

    TRACKING = "tracking"
    UNCERTAIN = "uncertain"  # seen, but so is something much like it: nothing is learned from the frame
    LOST = "lost"  # not seen where it was last: the box is the last known place, not an observation
    SEARCHING = "searching"  # lost, and searched for in the whole image; the box is no observation either

    @property
    def is_visible(self) -> bool:
        """Whether the target is seen, so that the box is an observation."""
        return self in (TrackState.TRACKING, TrackState.UNCERTAIN)


@dataclass(frozen=True)
class TrackResult:
    """What one frame yields.

    Attributes:
        box: (x, y, width, height) in image px; an observation where `state.is_visible`, else the last known place.
        score: the classifier's peak, about 0..1; its training target is 1 on the object and 0 elsewhere.
        iou: predicted overlap of the box with the object, 0..1; 0 where the target is not visible.
        state: of the target.
        hard_negative: a distractor was seen, and the classifier was trained against it at once.
    """

    box: Box
    score: float
    iou: float
    state: TrackState
    hard_negative: bool = False
