# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
from sensor_msgs.msg import Image

from atom_core.result import TrackResult, TrackState
from atom_ros.frame_buffer import Frame
from atom_ros.outputs import messages
from atom_ros.outputs.messages import detections_message, track_message
from atom_ros.report import Report, Status
from atom_tracker.msg import Track

BOX = (10.0, 20.0, 30.0, 40.0)


def _frame() -> Frame:
    message = Image()
    message.header.frame_id = "camera_optical"
    message.header.stamp.sec, message.header.stamp.nanosec = 100, 900_000_000
    return Frame(1, message)


def _report(state: TrackState) -> Report:
    return Report.of_result(_frame(), 7, TrackResult(BOX, 1.25, 0.5, state, False, 0.75), processing_ms=31.25)


@pytest.mark.parametrize(
    ("state", "status"), [(TrackState.TRACKING, Track.TRACKING), (TrackState.UNCERTAIN, Track.UNCERTAIN)]
)
def test_track_of_a_target_that_is_seen(state: TrackState, status: int) -> None:
    track = track_message(_report(state), now=101_000_000_000)
    assert track.header == _frame().message.header
    assert (track.target_id, track.status) == (7, status)
    assert (track.x, track.y, track.width, track.height) == BOX
    assert (track.confidence, track.iou, track.score, track.processing_time) == (0.75, 0.5, 1.25, 0.03125)
    assert (track.latency.sec, track.latency.nanosec) == (0, 100_000_000)


@pytest.mark.parametrize(("state", "status"), [(TrackState.LOST, Track.LOST), (TrackState.SEARCHING, Track.SEARCHING)])
def test_track_of_a_lost_target_has_no_box(state: TrackState, status: int) -> None:
    track = track_message(_report(state), now=0)
    assert track.status == status
    assert all(math.isnan(value) for value in (track.x, track.y, track.width, track.height, track.iou))
    assert (track.confidence, track.score) == (0.75, 1.25)


def test_track_without_a_target() -> None:
    track = track_message(Report(_frame(), 7), now=0)
    assert (track.status, track.target_id, track.processing_time) == (Track.IDLE, 7, 0.0)
    assert all(
        math.isnan(v) for v in (track.x, track.y, track.width, track.height, track.iou, track.confidence, track.score)
    )


def test_latency_of_an_image_from_before_1970_is_the_longest_there_is() -> None:
    frame = _frame()
    frame.message.header.stamp.sec = -(2**31)
    latency = track_message(Report(frame, 0), now=1_764_000_000_000_000_000).latency
    assert (latency.sec, latency.nanosec) == (2**31 - 1, 0)


def test_latency_is_negative_where_the_camera_is_ahead() -> None:
    latency = track_message(Report(_frame(), 0), now=100_800_000_000).latency
    assert latency.sec + latency.nanosec / 1e9 == pytest.approx(-0.1)


@pytest.mark.skipif(messages.Detection2DArray is None, reason="vision_msgs is not installed")
def test_detections() -> None:
    message = detections_message([_report(TrackState.TRACKING)], {})
    assert message.header == _frame().message.header
    (detection,) = message.detections
    assert detection.id == "7"
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (25.0, 40.0)
    assert (detection.bbox.size_x, detection.bbox.size_y) == (30.0, 40.0)
    assert detection.results[0].hypothesis.class_id == "target"
    assert detection.results[0].hypothesis.score == 1.0  # the Track's confidence is 1.25
    assert len(detections_message([_report(TrackState.LOST)], {}).detections) == 0
    assert len(detections_message([Report(_frame(), 7)], {}).detections) == 0


@pytest.mark.skipif(messages.Detection2DArray is None, reason="vision_msgs is not installed")
def test_detections_of_several_targets_are_those_that_are_seen() -> None:
    reports = [
        Report.of_result(_frame(), number, TrackResult(BOX, 0.9, 0.5, state, False), 1.0)
        for number, state in ((2, TrackState.UNCERTAIN), (3, TrackState.SEARCHING), (5, TrackState.TRACKING))
    ]
    message = detections_message(reports, {})
    assert [detection.id for detection in message.detections] == ["2", "5"]


class _Fields:
    """A message of vision_msgs, which need not be installed: it has whichever fields are set or looked at."""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(results=[], detections=[], **fields)

    def __getattr__(self, name: str) -> "_Fields":
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__.setdefault(name, _Fields())


@pytest.mark.parametrize(("confidence", "score"), [(1.25, 1.0), (0.4, 0.4), (-0.01, 0.0)])
def test_a_detection_has_the_detectors_class_and_a_score_within_0_and_1(monkeypatch, confidence, score) -> None:
    for name in ("Detection2D", "Detection2DArray", "ObjectHypothesisWithPose"):
        monkeypatch.setattr(messages, name, _Fields, raising=False)
    reports = [Report(_frame(), number, Status.TRACKING, BOX, confidence, 0.5) for number in (7, 8)]
    first, second = (d.results[0].hypothesis for d in detections_message(reports, {7: "person"}).detections)
    assert (first.class_id, second.class_id) == ("person", "target")
    assert first.score == pytest.approx(score)
