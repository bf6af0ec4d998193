# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
from sensor_msgs.msg import Image

from atom_core.result import TrackResult, TrackState
from atom_ros.frame_buffer import Frame
from atom_ros.report import Report, Status
from atom_tracker.msg import Track

BOX = (1.0, 2.0, 3.0, 4.0)
FRAME = Frame(1, Image())


@pytest.mark.parametrize("state", [TrackState.TRACKING, TrackState.UNCERTAIN])
def test_a_seen_target_has_its_box(state: TrackState) -> None:
    report = Report.of_result(FRAME, 7, TrackResult(BOX, 0.75, 0.5, state, confidence=0.25), 12.5)
    assert report == Report(FRAME, 7, Status[state.name], BOX, 0.25, 0.5, 0.75, 12.5)


@pytest.mark.parametrize("state", [TrackState.LOST, TrackState.SEARCHING])
def test_a_lost_target_has_neither_box_nor_iou(state: TrackState) -> None:
    report = Report.of_result(FRAME, 7, TrackResult(BOX, 0.125, 0.5, state), 12.5)
    assert (report.status, report.box, report.confidence, report.score) == (Status[state.name], None, 0.0, 0.125)
    assert math.isnan(report.iou)


def test_a_given_box_is_certain() -> None:
    assert Report.of_given_box(FRAME, 7, BOX, 3.0) == Report(FRAME, 7, Status.TRACKING, BOX, 1.0, 1.0, 1.0, 3.0)


def test_the_status_is_the_message_s() -> None:
    assert [status.value for status in Status] == [
        Track.IDLE,
        Track.TRACKING,
        Track.UNCERTAIN,
        Track.LOST,
        Track.SEARCHING,
    ]
