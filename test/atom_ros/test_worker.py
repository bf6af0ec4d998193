# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The worker's order of work, with a tracker whose answers are known: each image's first pixel tells its number."""

import array
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import numpy as np
import pytest
from rclpy.logging import get_logger
from robot import wait_until
from sensor_msgs.msg import Image

from atom_core.config import TrackerConfig
from atom_core.tracker import TrackResult, TrackState
from atom_ros.diagnostics import Statistics
from atom_ros.frame_buffer import NANOSECONDS, Frame, FrameBuffer
from atom_ros.parameters import TABLE, Settings
from atom_ros.report import Report, Status
from atom_ros.worker import Worker

BOX = (1.0, 2.0, 3.0, 4.0)


class NumberTracker:
    """Returns each image's number as its score. A gate stands for slow computing."""

    def __init__(self) -> None:
        self.config = TrackerConfig()
        self.is_initialized = False
        self.initialized_on: list[int] = []
        self.tracked: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.failure: Exception | None = None

    def initialize(self, image: np.ndarray, box: tuple[float, ...]) -> None:
        self._wait()
        self.initialized_on.append(int(image[0, 0, 0]))
        self.is_initialized = True

    def track(self, image: np.ndarray) -> TrackResult:
        self._wait()
        number = int(image[0, 0, 0])
        self.tracked.append(number)
        return TrackResult(BOX, float(number), 0.5, TrackState.TRACKING, hard_negative=False)

    def reset(self) -> None:
        self.is_initialized = False

    def _wait(self) -> None:
        self.busy.set()
        assert self.gate.wait(60)
        self.busy.clear()
        if self.failure is not None:
            raise self.failure


class Rig:
    """A worker and what goes in and comes out."""

    def __init__(self, **changes: object) -> None:
        values = {spec.name: spec.default for spec in TABLE} | changes
        self.settings = Settings.from_values(values)
        self.tracker = NumberTracker()
        self.buffer = FrameBuffer(60.0, 10**6)
        self.statistics = Statistics()
        self.reports: list[Report] = []
        self.images: list[np.ndarray | None] = []
        self.publish_failure: Exception | None = None
        self.worker = Worker(
            self.tracker,
            self.buffer,
            self.statistics,
            self.settings,
            get_logger("test_worker"),
            publish=self._publish,
            wants_image=lambda: False,
        )
        self.count = 0

    def put(self, encoding: str = "mono8") -> int:
        """Sends the next image; its stamp is its number in seconds."""
        self.count += 1
        self.statistics.count_received()
        message = Image(height=2, width=2, step=2, encoding=encoding, data=array.array("B", [self.count] * 4))
        message.header.stamp.sec = self.count
        frame = Frame(self.count, message)
        self.buffer.add(frame)
        self.worker.put_frame(frame)
        return self.count

    def show(self, count: int = 1) -> None:
        """Sends images, one by one, and waits for their reports."""
        for _ in range(count):
            number = self.put()
            wait_until(lambda number=number: self.reported() and self.reported()[-1] == number, f"report {number}")

    def reported(self) -> list[int]:
        return [report.frame.sequence for report in self.reports]

    def _publish(self, report: Report, image: np.ndarray | None) -> None:
        if self.publish_failure is not None:
            raise self.publish_failure
        self.images.append(image)
        self.reports.append(report)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(catch_up_seconds=10.0)
    yield rig
    rig.tracker.gate.set()
    rig.worker.stop()


def _result(future):
    return future.result(timeout=60)


def test_idle_reports_have_no_box_and_cost_no_decoding(rig: Rig) -> None:
    rig.show(2)
    assert [report.status for report in rig.reports] == [Status.IDLE] * 2
    assert rig.reports[0].box is None and rig.reports[0].target_id == 0
    assert rig.images == [None, None]
    assert rig.tracker.tracked == []


def test_the_newest_image_wins_and_the_others_are_counted(rig: Rig) -> None:
    rig.show()
    _result(rig.worker.set_target(BOX, 0))
    rig.tracker.gate.clear()
    rig.put()  # 2: begun, and held up
    assert rig.tracker.busy.wait(60)
    for _ in range(5):
        rig.put()  # 3 to 7
    rig.tracker.gate.set()
    wait_until(lambda: rig.reported()[-1] == 7, "the newest image")
    assert rig.tracker.tracked == [2, 7]
    assert rig.reported() == [1, 2, 7]
    snapshot = rig.statistics.snapshot()
    assert (snapshot.received, snapshot.processed, snapshot.dropped, snapshot.failed) == (7, 3, 4, 0)


def test_a_target_on_an_older_image_is_caught_up_with(rig: Rig) -> None:
    rig.show(12)
    assert _result(rig.worker.set_target(BOX, 2 * NANOSECONDS)) == 1
    wait_until(lambda: rig.tracker.tracked[-1:] == [12], "the newest image")
    assert rig.tracker.initialized_on == [2]
    assert rig.tracker.tracked == list(range(3, 13)), "every image since, in order"
    rig.show()
    assert rig.reported() == list(range(1, 14)), "one report for each image"
    assert rig.reports[-1].confidence == 13.0 and rig.reports[-1].target_id == 1


def test_images_that_arrive_while_a_target_is_learned_are_followed_and_reported(rig: Rig) -> None:
    rig.show(3)
    rig.tracker.gate.clear()
    future = rig.worker.set_target(BOX, 0)
    assert rig.tracker.busy.wait(60)
    for _ in range(4):
        rig.put()  # 4 to 7
    rig.tracker.gate.set()
    assert _result(future) == 1
    wait_until(lambda: rig.reported()[-1] == 7, "the newest image")
    assert rig.tracker.tracked == [4, 5, 6, 7]
    assert rig.reported() == [1, 2, 3, 4, 5, 6, 7]
    assert rig.statistics.snapshot().dropped == 0


def test_catching_up_ends_with_its_time() -> None:
    rig = Rig(catch_up_seconds=0.0)
    try:
        rig.show(12)
        _result(rig.worker.set_target(BOX, 2 * NANOSECONDS))
        rig.show()
        assert rig.tracker.tracked == [13], "the tracker jumped to the newest image"
    finally:
        rig.worker.stop()


def test_a_target_set_on_an_unreported_image_reports_the_given_box(rig: Rig) -> None:
    rig.show()
    _result(rig.worker.set_target(BOX, 0))
    rig.tracker.gate.clear()
    rig.put()  # 2: begun, and held up
    assert rig.tracker.busy.wait(60)
    rig.put()  # 3: waits in the mailbox
    future = rig.worker.set_target(BOX, 0)  # on 3; a command goes before the image
    rig.tracker.gate.set()
    assert _result(future) == 2
    rig.show()
    assert rig.reported() == [1, 2, 3, 4]
    report = rig.reports[2]
    assert (report.status, report.target_id, report.box) == (Status.TRACKING, 2, BOX)
    assert (report.confidence, report.iou) == (1.0, 1.0)
    assert rig.tracker.tracked == [2, 4], "the image of the box is not tracked through again"


def test_wrong_stamps_and_wrong_images_are_refused_and_the_target_is_kept(rig: Rig) -> None:
    rig.show(2)
    assert _result(rig.worker.set_target(BOX, 0)) == 1
    with pytest.raises(LookupError, match=r"2 images from 1\.000000000 to 2\.000000000"):
        _result(rig.worker.set_target(BOX, 50 * NANOSECONDS))
    rig.tracker.failure = ValueError("the box is odd")
    with pytest.raises(ValueError, match="the box is odd"):
        _result(rig.worker.set_target(BOX, 0))
    rig.tracker.failure = None
    rig.show()
    assert (rig.reports[-1].status, rig.reports[-1].target_id) == (Status.TRACKING, 1)


def test_a_tracker_that_fails_to_learn_goes_on_as_before(rig: Rig) -> None:
    rig.show(2)
    _result(rig.worker.set_target(BOX, 0))
    rig.tracker.failure = MemoryError("no memory")
    with pytest.raises(MemoryError):
        _result(rig.worker.set_target(BOX, 0))
    rig.tracker.failure = None
    rig.show()
    assert (rig.reports[-1].status, rig.reports[-1].target_id) == (Status.TRACKING, 1)


@pytest.mark.parametrize("failure", [ValueError("odd"), RuntimeError("device lost"), ZeroDivisionError("1/0")])
def test_no_failure_ends_the_worker(rig: Rig, failure: Exception) -> None:
    rig.show()
    _result(rig.worker.set_target(BOX, 0))
    rig.tracker.failure = failure
    rig.put()
    wait_until(lambda: rig.statistics.snapshot().failed == 1, "the count of the failure")
    assert rig.statistics.snapshot().last_error == str(failure)
    rig.tracker.failure = None
    rig.show()
    assert rig.reported() == [1, 3]
    assert rig.reports[-1].status is Status.TRACKING


def test_a_report_that_cannot_be_published_costs_only_itself(rig: Rig) -> None:
    rig.show()
    rig.publish_failure = OverflowError("too large")
    rig.put()
    wait_until(lambda: rig.statistics.snapshot().failed == 1, "the count of the failure")
    rig.put()
    assert _result(rig.worker.set_target(BOX, 0)) == 1, "the target is set all the same"
    rig.publish_failure = None
    rig.show()
    assert rig.reports[-1].target_id == 1


def test_an_image_that_contradicts_itself_is_refused_even_without_a_target(rig: Rig) -> None:
    rig.put(encoding="rgb8")  # its data would be too short
    wait_until(lambda: rig.statistics.snapshot().failed == 1, "the count of the failure")
    rig.show()
    assert rig.reported() == [2]


def test_clearing(rig: Rig) -> None:
    rig.show()
    assert _result(rig.worker.clear_target()) is False
    _result(rig.worker.set_target(BOX, 0))
    rig.show()
    assert _result(rig.worker.clear_target()) is True
    rig.show()
    assert (rig.reports[-1].status, rig.reports[-1].target_id) == (Status.IDLE, 1)


def test_the_configuration_changes_between_two_images(rig: Rig) -> None:
    values = {spec.name: spec.default for spec in TABLE} | {"tracker.not_found_threshold": 0.9}
    _result(rig.worker.configure(Settings.from_values(values)))
    assert rig.tracker.config.not_found_threshold == 0.9


def test_stopping_cancels_what_was_not_begun(rig: Rig) -> None:
    rig.show()
    rig.tracker.gate.clear()
    begun = rig.worker.set_target(BOX, 0)
    assert rig.tracker.busy.wait(60)
    waiting = rig.worker.set_target(BOX, 0)
    stopping = threading.Thread(target=rig.worker.stop)
    stopping.start()
    wait_until(waiting.cancelled, "the cancellation")
    rig.tracker.gate.set()
    stopping.join(60)
    assert _result(begun) == 1
    with pytest.raises(CancelledError):
        _result(rig.worker.clear_target())
