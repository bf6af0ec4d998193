# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The worker's report on each target in one frame, before it becomes a message."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from atom_core.boxes import Box
from atom_core.result import TrackResult, TrackState
from atom_ros.frame_buffer import Frame
from atom_tracker.msg import Track


class Status(IntEnum):
    """The status of a Track message."""

    IDLE = Track.IDLE
    TRACKING = Track.TRACKING
    UNCERTAIN = Track.UNCERTAIN
    LOST = Track.LOST
    SEARCHING = Track.SEARCHING


_STATUS = {state: Status[state.name] for state in TrackState}


@dataclass(frozen=True)
class Report:
    """One target in one frame. Without a target, or with a lost one, there is no box: the last known place is stale."""

    frame: Frame
    target_id: int
    status: Status = Status.IDLE
    box: Box | None = None
    confidence: float = math.nan
    iou: float = math.nan
    score: float = math.nan  # the classifier's
    processing_ms: float = 0.0  # the tracker's computing time for the frame, for all targets together

    @classmethod
    def of_result(cls, frame: Frame, target_id: int, result: TrackResult, processing_ms: float) -> Report:
        """The report of a tracked frame."""
        status = _STATUS[result.state]
        is_visible = result.state.is_visible
        return cls(
            frame,
            target_id,
            status,
            box=result.box if is_visible else None,
            confidence=result.confidence,
            iou=result.iou if is_visible else math.nan,
            score=result.score,
            processing_ms=processing_ms,
        )

    @classmethod
    def of_given_box(cls, frame: Frame, target_id: int, box: Box, processing_ms: float) -> Report:
        """The report of the frame in which the target was set: the box is correct by definition."""
        return cls(frame, target_id, Status.TRACKING, box, 1.0, 1.0, 1.0, processing_ms)
