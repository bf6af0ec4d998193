# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import math

from sensor_msgs.msg import Image

from atom_ros.frame_buffer import Frame
from atom_ros.outputs.events import StateLog, summary
from atom_ros.report import Report, Status


def _report(target_id: int, status: Status, confidence: float = math.nan) -> Report:
    message = Image()
    message.header.stamp.sec = 7
    return Report(Frame(1, message), target_id, status, confidence=confidence)


def test_a_line_for_each_change_and_none_for_an_image() -> None:
    lines: list[str] = []
    log = StateLog(lines.append)
    log.update([_report(0, Status.IDLE)])
    assert lines == []
    for _ in range(3):
        log.update([_report(1, Status.TRACKING, 0.9)])
    assert lines == ["Target 1: new -> TRACKING (confidence 0.90) at stamp 7.000000000"]
    for _ in range(2):
        log.update([_report(1, Status.LOST, 0.125), _report(2, Status.TRACKING, 0.8)])
    assert lines[1:] == [
        "Target 1: TRACKING -> LOST (confidence 0.12) at stamp 7.000000000",
        "Target 2: new -> TRACKING (confidence 0.80) at stamp 7.000000000",
    ]
    assert log.states == {1: Status.LOST, 2: Status.TRACKING}
    log.update([_report(2, Status.IDLE)])
    assert lines[3:] == ["Target 1: LOST -> removed", "Target 2: TRACKING -> removed"]
    assert log.states == {}


def test_a_request_removes_at_once() -> None:
    lines: list[str] = []
    log = StateLog(lines.append)
    log.update([_report(number, Status.TRACKING) for number in (1, 2, 3)])
    log.forget(2)
    log.forget(9)
    assert log.states == {1: Status.TRACKING, 3: Status.TRACKING}
    log.forget()
    assert lines[3:] == [f"Target {number}: TRACKING -> removed" for number in (2, 1, 3)]
    assert log.states == {}


def test_a_flickering_state_does_not_fill_the_log() -> None:
    lines: list[str] = []
    now = [100.0]
    log = StateLog(lines.append, lambda: now[0])
    log.update([_report(1, Status.TRACKING)])
    for i in range(300):  # ten seconds of 30 images
        log.update([_report(1, Status.LOST if i % 2 == 0 else Status.TRACKING)])
        now[0] += 1 / 30.01
    assert len(lines) == 10, "1 and 9 of 300"
    assert log.states == {1: Status.TRACKING}
    log.update([_report(1, Status.LOST)])
    assert lines[10:] == [], "9.997 s since the first line"
    now[0] += 0.1
    log.update([_report(1, Status.LOST)])
    assert lines[10:] == ["292 changes of state are not shown; now LOST"]
    now[0] += 20.0
    log.update([_report(1, Status.TRACKING)])
    assert lines[11:] == ["Target 1: LOST -> TRACKING at stamp 7.000000000"]


def test_the_states_in_words() -> None:
    assert summary({}) == "IDLE"
    assert summary({4: Status.SEARCHING}) == "SEARCHING"
    assert summary({4: Status.LOST, 2: Status.TRACKING}) == "2: TRACKING, 4: LOST"
