# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The worker's order of work, with a tracker whose answers are known: each image's first pixel tells its number."""

import array
import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError

import numpy as np
import pytest
import torch
from number_tracker import BOX, OUT_OF_MEMORY, NumberTracker
from rclpy.logging import get_logger
from robot import wait_until
from sensor_msgs.msg import CompressedImage, Image

from atom_core import TrackState
from atom_ros.frame_buffer import NANOSECONDS, FrameBuffer
from atom_ros.outputs.diagnostics import Statistics
from atom_ros.parameters import TABLE, Settings
from atom_ros.report import Report, Status
from atom_ros.worker import Worker


def image_of(number: int, encoding: str = "mono8") -> Image:
    """The image of this number: its first pixel's value, and its stamp in seconds."""
    message = Image(height=2, width=2, step=2, encoding=encoding, data=array.array("B", [number] * 4))
    message.header.stamp.sec = number
    return message


class Rig:
    """A worker and what goes in and comes out."""

    def __init__(
        self, tracker: NumberTracker | None = None, on_cpu: NumberTracker | None = None, **changes: object
    ) -> None:
        values = {spec.name: spec.default for spec in TABLE} | {"relearn_overlap": 1.0} | changes
        self.settings = Settings.from_values(values)
        self.tracker = tracker or NumberTracker()
        self.reasons: list[str] = []  # for which the GPU was left
        self.on_cpu = on_cpu
        self.buffer = FrameBuffer(60.0, 10**6)
        self.statistics = Statistics()
        self.frames: list[Sequence[Report]] = []  # the reports of each frame
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
            leave_gpu=self._leave_gpu,
            set_class=lambda number, name: self.classes.append((number, name, len(self.frames))),
        )
        self.classes: list[tuple[int, str, int]] = []  # number, class, and the frames reported before
        self.count = 0

    def put(self, encoding: str = "mono8") -> int:
        """Sends the next image; its stamp is its number in seconds."""
        self.count += 1
        self.worker.put_image(image_of(self.count, encoding))
        return self.count

    def show(self, count: int = 1) -> None:
        """Sends images, one by one, and waits for their reports."""
        for _ in range(count):
            number = self.put()
            wait_until(lambda number=number: self.reported() and self.reported()[-1] == number, f"report {number}")

    def _leave_gpu(self, reason: str) -> NumberTracker | None:
        self.reasons.append(reason)
        return self.on_cpu

    @property
    def reports(self) -> list[Report]:
        """The first report of each frame."""
        return [reports[0] for reports in self.frames]

    def reported(self) -> list[int]:
        return [report.frame.sequence for report in self.reports]

    def _publish(self, reports: Sequence[Report], image: np.ndarray | None) -> None:
        if self.publish_failure is not None:
            raise self.publish_failure
        self.images.append(image)
        self.frames.append(reports)


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


def test_an_image_is_new_unless_it_is_a_duplicate_or_out_of_order(rig: Rig) -> None:
    assert [rig.worker.put_image(image_of(number)) for number in (5, 5, 4, 6)] == [True, False, False, True]
    assert rig.worker.put_image(image_of(4)), "two seconds back: the camera was restarted"
    counts = rig.statistics.snapshot()
    assert (counts.received, counts.duplicates, counts.out_of_order) == (5, 1, 1)


def test_what_a_frame_leaves_to_learn_is_learned_when_its_report_is_out(rig: Rig) -> None:
    rig.show()
    _result(rig.worker.set_target(BOX, 0))
    finished = []
    rig.tracker.on_finish = lambda: finished.append((rig.tracker.tracked[-1], rig.reported()[-1]))
    rig.show(3)
    wait_until(lambda: len(finished) == 3, "the end of the third frame")
    assert finished == [(2, 2), (3, 3), (4, 4)]


def test_an_image_that_comes_meanwhile_waits_and_is_told_how_long(rig: Rig) -> None:
    rig.show()
    _result(rig.worker.set_target(BOX, 0))
    learning, learned = threading.Event(), threading.Event()

    def learn() -> None:
        rig.tracker.on_finish = lambda: None
        learning.set()
        assert learned.wait(60)

    rig.tracker.on_finish = learn
    rig.put()
    assert learning.wait(60)
    rig.put()
    time.sleep(0.2)
    learned.set()
    wait_until(lambda: rig.reported()[-1] == 3, "the report of the image that waited")
    rig.show()
    waits = [report.processing_ms >= 200 for report in rig.reports[-3:]]
    assert waits == [False, True, False]


def test_a_failure_in_it_is_counted_and_the_next_image_is_processed(rig: Rig) -> None:
    rig.show()
    _result(rig.worker.set_target(BOX, 0))

    def fail() -> None:
        rig.tracker.on_finish = lambda: None
        raise RuntimeError("learning failed")

    rig.tracker.on_finish = fail
    rig.show(2)
    assert rig.reported() == [1, 2, 3]
    assert rig.statistics.snapshot().failed == 1


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
    assert rig.tracker.added_on == [2]
    assert rig.tracker.tracked == list(range(3, 13)), "every image since, in order"
    rig.show()
    assert rig.reported() == list(range(1, 14)), "one report for each image"
    assert rig.reports[-1].score == 13.0 and rig.reports[-1].target_id == 1


def test_a_target_on_an_image_that_was_compressed_since_is_caught_up_with(rig: Rig) -> None:
    for number in range(1, 6):  # of one grey value each, which a JPEG keeps exactly
        message = Image(height=48, width=64, step=64, encoding="mono8", data=array.array("B", [number] * 64 * 48))
        message.header.stamp.sec = number
        rig.worker.put_image(message)
        wait_until(lambda number=number: rig.reported()[-1:] == [number], f"report {number}")
    wait_until(lambda: isinstance(rig.buffer.at(3 * NANOSECONDS, 0).message, CompressedImage), "the compression")
    assert _result(rig.worker.set_target(BOX, 2 * NANOSECONDS)) == 1
    wait_until(lambda: rig.tracker.tracked[-1:] == [5], "the newest image")
    assert (rig.tracker.added_on, rig.tracker.tracked) == ([2], [3, 4, 5])
    rig.worker.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "compressor" and thread.is_alive()]


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
        _result(rig.worker.set_target(BOX, NANOSECONDS // 2))
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
    assert rig.worker.clear_targets() == 0
    _result(rig.worker.set_target(BOX, 0))
    rig.show()
    assert rig.worker.clear_targets() == 1
    rig.show()
    assert (rig.reports[-1].status, rig.reports[-1].target_id) == (Status.IDLE, 1)
    assert rig.tracker.target_ids == ()


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
    for future in (begun, rig.worker.set_target(BOX, 0)):
        with pytest.raises(CancelledError):  # nothing follows what was learned
            _result(future)


def test_a_request_that_cannot_be_met_is_refused_while_the_tracker_is_busy(rig: Rig) -> None:
    rig.show()
    rig.tracker.gate.clear()
    learning = rig.worker.set_target(BOX, 0)
    assert rig.tracker.busy.wait(60)
    for box, stamp, target_id, error, words in (
        (BOX, NANOSECONDS // 2, 0, LookupError, "no image within"),
        ((0.0, 0.0, math.nan, 1.0), 0, 0, ValueError, "not finite"),
        ((9.0, 9.0, 3.0, 3.0), 0, 0, ValueError, "outside the image of 2 x 2"),
        (BOX, 0, 9, LookupError, "there is no target 9; followed now: none"),
    ):
        refused = rig.worker.set_target(box, stamp, target_id)
        assert refused.done(), "at once"
        with pytest.raises(error, match=words):
            refused.result()
    rig.tracker.gate.set()
    assert _result(learning) == 1


def test_of_requests_for_one_target_the_newest_is_learned_and_the_others_are_answered(rig: Rig) -> None:
    rig.show()
    rig.tracker.gate.clear()
    learning = rig.worker.set_target(BOX, 0)
    assert rig.tracker.busy.wait(60)
    older = [rig.worker.set_target(BOX, 0) for _ in range(50)]
    newest = rig.worker.set_target(BOX, 0)
    for future in older:
        assert future.done(), "at once"
        with pytest.raises(LookupError, match="newer request for the same target"):
            future.result()
    rig.tracker.gate.set()
    assert (_result(learning), _result(newest)) == (1, 2)
    assert len(rig.tracker.added_on) == 2


def test_requests_for_different_targets_do_not_replace_each_other(wide_rig: Rig) -> None:
    wide_rig.show()
    assert _result(wide_rig.worker.set_target(BOX, 0)) == 1
    wide_rig.tracker.gate.clear()
    wide_rig.put()
    assert wide_rig.tracker.busy.wait(60)
    again = [wide_rig.worker.set_target(BOX, 0, target_id=1) for _ in range(2)]
    new = [wide_rig.worker.set_target(BOX, 0) for _ in range(2)]
    wide_rig.tracker.gate.set()
    with pytest.raises(LookupError, match="newer request"):
        _result(again[0])
    assert [_result(future) for future in (again[1], *new)] == [1, 2, 3]


@pytest.mark.parametrize("target_id", [0, 1])
def test_between_two_learnings_of_a_target_it_is_followed(target_id: int) -> None:
    """A detector that is faster than the learning: each learned box finds the next one waiting."""
    rig = Rig(max_targets=1 if target_id == 0 else 3)
    try:
        rig.show()
        _result(rig.worker.set_target(BOX, 0))
        order: list[str] = []
        futures = []
        add, track = rig.tracker.add, rig.tracker.track

        def slow_add(image: np.ndarray, box: tuple[float, ...], number: int) -> int:
            order.append("add")
            if len(futures) < 6:
                rig.put()
                futures.append(rig.worker.set_target(BOX, 0, target_id))
            return add(image, box, number)

        def counted_track(image: np.ndarray, numbers: Sequence[int]) -> dict:
            order.append("track")
            return track(image, numbers)

        rig.tracker.add, rig.tracker.track = slow_add, counted_track
        futures.append(rig.worker.set_target(BOX, 0, target_id))
        for i in range(6):
            wait_until(lambda i=i: len(futures) > i, "the next request")
            _result(futures[i])
        assert order.count("add") == 6
        assert "add add" not in " ".join(order)
        assert rig.reported() == sorted(set(rig.reported())) and rig.reported()[-1] == rig.count
    finally:
        rig.worker.stop()


def test_five_new_targets_are_learned_one_after_the_other(wide_rig: Rig) -> None:
    wide_rig.show()
    wide_rig.tracker.gate.clear()
    futures = [wide_rig.worker.set_target(BOX, 0) for _ in range(3)]
    wide_rig.put()
    wide_rig.tracker.gate.set()
    assert [_result(future) for future in futures] == [1, 2, 3]
    assert wide_rig.tracker.tracked_ids[:1] in ([], [(1, 2, 3)]), "no image comes in between"


def _moved(x: float) -> tuple[float, ...]:
    return (BOX[0] + x, *BOX[1:])


def test_a_box_where_the_tracker_has_its_target_is_not_learned() -> None:
    rig = Rig(relearn_overlap=0.8)  # the box, 3 wide and shifted by x, overlaps by (3 - x) / (3 + x)
    try:
        rig.show()
        assert _result(rig.worker.set_target(BOX, 0)) == 1
        rig.show(3)
        assert _result(rig.worker.set_target(_moved(0.3), 0)) == 1, "0.82"
        assert _result(rig.worker.set_target(BOX, 3 * NANOSECONDS)) == 1, "on an older image, too"
        assert rig.tracker.added_on == [1]
        assert _result(rig.worker.set_target(_moved(0.4), 0)) == 2, "0.76"
        rig.show(2)
        assert _result(rig.worker.set_target(BOX, 4 * NANOSECONDS)) == 3, "before its own image it has no place"
    finally:
        rig.worker.stop()


def test_a_box_on_an_image_that_waits_is_compared_with_where_the_target_is_there() -> None:
    rig = Rig(relearn_overlap=0.8)
    try:
        rig.show()
        _result(rig.worker.set_target(BOX, 0))
        rig.tracker.gate.clear()
        rig.put()  # 2: begun, and held up
        assert rig.tracker.busy.wait(60)
        rig.put()  # 3: waits in the mailbox
        future = rig.worker.set_target(BOX, 3 * NANOSECONDS)
        rig.tracker.gate.set()
        assert _result(future) == 1
        assert rig.tracker.tracked == [2, 3] and rig.tracker.added_on == [1]
        rig.show()
        assert rig.reported() == [1, 2, 3, 4]
    finally:
        rig.worker.stop()


def test_a_target_that_is_not_tracking_is_learned_anew_wherever_its_box_is() -> None:
    rig = Rig(relearn_overlap=0.8)
    try:
        rig.show()
        _result(rig.worker.set_target(BOX, 0))
        rig.show()
        rig.tracker.state = TrackState.UNCERTAIN
        rig.show()
        assert _result(rig.worker.set_target(BOX, 2 * NANOSECONDS)) == 2
    finally:
        rig.worker.stop()


def test_a_request_that_is_ahead_of_its_image_waits_for_it(rig: Rig) -> None:
    rig.show(2)
    future = rig.worker.set_target(BOX, 3 * NANOSECONDS)
    rig.worker.expire()
    assert not future.done()
    rig.put()
    assert _result(future) == 1
    assert rig.tracker.added_on == [3]


def test_a_request_before_the_first_image_waits_for_it(rig: Rig) -> None:
    future = rig.worker.set_target(BOX, 0)
    rig.worker.expire()
    assert not future.done()
    rig.put()
    assert _result(future) == 1
    assert rig.tracker.added_on == [1]


def test_an_image_that_is_nearly_as_old_is_not_taken_for_one_that_may_still_come() -> None:
    rig = Rig(stamp_tolerance=1.0)
    try:
        rig.show(2)
        future = rig.worker.set_target(BOX, 3 * NANOSECONDS)
        rig.put()
        _result(future)
        assert rig.tracker.added_on == [3], "not 2, which is within the tolerance"
        rounded = rig.worker.set_target(BOX, 3 * NANOSECONDS + 200)
        assert _result(rounded) == 2 and rig.tracker.added_on == [3, 3], "at once"
    finally:
        rig.worker.stop()


def test_an_image_that_does_not_come_is_not_waited_for_longer_than_said() -> None:
    rig = Rig(stamp_wait=0.1)
    try:
        first = rig.worker.set_target(BOX, 3 * NANOSECONDS)  # before the first image, too
        rig.show(2)
        second = rig.worker.set_target(BOX, 9 * NANOSECONDS)
        assert not second.done()
        wait_until(lambda: rig.worker.expire() or second.done(), "the refusal", timeout=60)
        for future in (first, second):
            with pytest.raises(LookupError, match=r"no image within 0\.05 s.*from 1\.000000000 to 2\.000000000"):
                _result(future)
    finally:
        rig.worker.stop()


def test_requests_that_wait_for_images_are_bounded_and_cancelled(rig: Rig) -> None:
    waiting = [rig.worker.set_target(BOX, NANOSECONDS) for _ in range(101)]
    with pytest.raises(LookupError, match="100 requests wait"):
        waiting.pop().result(timeout=0)
    assert not any(future.done() for future in waiting)
    rig.worker.stop()
    assert all(future.cancelled() for future in waiting)


def test_a_new_target_replaces_the_only_one(rig: Rig) -> None:
    rig.show()
    assert [_result(rig.worker.set_target(BOX, 0)) for _ in range(3)] == [1, 2, 3]
    rig.show()
    assert [report.target_id for report in rig.frames[-1]] == [3]
    assert rig.tracker.target_ids == rig.worker.target_ids == (3,)


@pytest.fixture
def wide_rig() -> Iterator[Rig]:
    """A worker with room for three targets."""
    rig = Rig(catch_up_seconds=10.0, max_targets=3)
    yield rig
    rig.tracker.gate.set()
    rig.worker.stop()


def _ids(reports: Sequence[Report]) -> list[int]:
    return [report.target_id for report in reports]


def test_targets_are_added_up_to_their_number(wide_rig: Rig) -> None:
    wide_rig.show()
    assert [_result(wide_rig.worker.set_target(BOX, 0)) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ValueError, match=r"3 targets are followed.*max_targets is 3.*\(1, 2, 3\)"):
        _result(wide_rig.worker.set_target(BOX, 0))
    wide_rig.show()
    assert _ids(wide_rig.frames[-1]) == [1, 2, 3], "one report for each target, of one frame"
    assert len({report.processing_ms for report in wide_rig.frames[-1]}) == 1

    assert wide_rig.worker.remove_target(2) and not wide_rig.worker.remove_target(2)
    wide_rig.show()
    assert _ids(wide_rig.frames[-1]) == [1, 3]
    assert wide_rig.tracker.target_ids == (1, 3)
    assert _result(wide_rig.worker.set_target(BOX, 0)) == 4, "numbers are not given twice"
    assert wide_rig.worker.clear_targets() == 3
    wide_rig.show()
    assert [report.status for report in wide_rig.frames[-1]] == [Status.IDLE]


def test_the_first_report_comes_after_the_class_is_known() -> None:
    rig = Rig(relearn_overlap=0.8)
    try:
        rig.put()
        assert _result(rig.worker.set_target(BOX, 0, class_id="dog")) == 1
        rig.show()
        first = next(i for i, reports in enumerate(rig.frames) if reports[0].status is Status.TRACKING)
        assert rig.classes == [(1, "dog", first)]
        assert _result(rig.worker.set_target(BOX, 0, class_id="cat")) == 1, "followed there, so it is not learned again"
        assert _result(rig.worker.set_target(BOX, 0)) == 1
        assert rig.classes[1:] == [(1, "cat", len(rig.frames))], "without a class it keeps the one it has"
    finally:
        rig.worker.stop()


def test_a_target_can_be_learned_anew_under_its_number(wide_rig: Rig) -> None:
    wide_rig.show()
    for _ in range(2):
        _result(wide_rig.worker.set_target(BOX, 0))
    assert _result(wide_rig.worker.set_target(BOX, 0, target_id=1)) == 1
    with pytest.raises(LookupError, match="no target 7; followed now: 1, 2"):
        _result(wide_rig.worker.set_target(BOX, 0, target_id=7))
    wide_rig.show()
    assert _ids(wide_rig.frames[-1]) == [1, 2]


def test_a_target_on_an_older_image_catches_up_alone(wide_rig: Rig) -> None:
    wide_rig.show(4)
    _result(wide_rig.worker.set_target(BOX, 0))  # target 1 on image 4
    wide_rig.show(4)  # 5 to 8
    del wide_rig.tracker.tracked[:], wide_rig.tracker.tracked_ids[:]
    wide_rig.tracker.gate.clear()
    future = wide_rig.worker.set_target(BOX, 6 * NANOSECONDS)  # target 2 on image 6
    assert wide_rig.tracker.busy.wait(60)
    for _ in range(2):
        wide_rig.put()  # 9 and 10, while it is learned
    wide_rig.tracker.gate.set()
    assert _result(future) == 2
    wait_until(lambda: wide_rig.reported()[-1] == 10, "the newest image")
    assert wide_rig.tracker.tracked == [7, 8, 9, 10]
    assert wide_rig.tracker.tracked_ids == [(2,), (2,), (1, 2), (1, 2)]
    assert wide_rig.reported() == list(range(1, 11)), "each image once"
    assert _ids(wide_rig.frames[7]) == [1] and _ids(wide_rig.frames[8]) == [1, 2]


def test_a_target_on_an_unreported_image_is_reported_with_the_others(wide_rig: Rig) -> None:
    wide_rig.show()
    _result(wide_rig.worker.set_target(BOX, 0))
    wide_rig.tracker.gate.clear()
    wide_rig.put()  # 2: begun, and held up
    assert wide_rig.tracker.busy.wait(60)
    wide_rig.put()  # 3: waits in the mailbox
    future = wide_rig.worker.set_target(BOX, 0)  # target 2 on 3
    wide_rig.tracker.gate.set()
    assert _result(future) == 2
    wide_rig.show()
    assert wide_rig.reported() == [1, 2, 3, 4]
    assert wide_rig.tracker.tracked_ids == [(1,), (1,), (1, 2)]
    first, second = wide_rig.frames[2]
    assert (first.target_id, first.score) == (1, 3.0)
    assert (second.target_id, second.confidence, second.box) == (2, 1.0, BOX), "the given box"


def test_removing_does_not_wait_for_the_tracker(wide_rig: Rig) -> None:
    wide_rig.show()
    for _ in range(2):
        _result(wide_rig.worker.set_target(BOX, 0))
    wide_rig.tracker.gate.clear()
    wide_rig.put()  # 2: begun, and held up
    assert wide_rig.tracker.busy.wait(60)
    learning = wide_rig.worker.set_target(BOX, 0)
    again = wide_rig.worker.set_target(BOX, 0, target_id=2)
    assert wide_rig.worker.remove_target(1) and wide_rig.worker.remove_target(2)
    assert wide_rig.worker.target_ids == ()
    assert wide_rig.worker.clear_targets() == 1, "the one that was asked for"
    wide_rig.tracker.gate.set()
    for future in (learning, again):
        with pytest.raises(LookupError, match="removed by another request"):
            _result(future)
    wide_rig.show()
    assert [report.status for report in wide_rig.reports] == [Status.IDLE] * 3, "not even the image that was held up"
    assert wide_rig.tracker.target_ids == ()


def test_a_target_removed_while_it_is_learned_is_not_followed(wide_rig: Rig) -> None:
    wide_rig.show()
    wide_rig.tracker.gate.clear()
    learning = wide_rig.worker.set_target(BOX, 0)
    assert wide_rig.tracker.busy.wait(60)
    assert wide_rig.worker.clear_targets() == 1
    wide_rig.tracker.gate.set()
    with pytest.raises(LookupError, match="removed by another request"):
        _result(learning)
    wide_rig.show()
    assert wide_rig.reports[-1].status is Status.IDLE and wide_rig.tracker.target_ids == ()


def test_with_less_room_the_targets_stay_and_new_ones_are_refused(wide_rig: Rig) -> None:
    wide_rig.show()
    for _ in range(3):
        _result(wide_rig.worker.set_target(BOX, 0))
    values = {spec.name: spec.default for spec in TABLE} | {"max_targets": 2}
    _result(wide_rig.worker.configure(Settings.from_values(values)))
    with pytest.raises(ValueError, match="max_targets is 2"):
        _result(wide_rig.worker.set_target(BOX, 0))
    wide_rig.show()
    assert _ids(wide_rig.frames[-1]) == [1, 2, 3]


@pytest.fixture
def gpu_rig(wide_rig: Rig) -> Rig:
    """Two targets on a GPU: target 1 is sure on image 3 last, target 2 was set there."""
    wide_rig.tracker.device = torch.device("cuda")
    wide_rig.show()
    _result(wide_rig.worker.set_target(BOX, 0))
    wide_rig.show(2)
    _result(wide_rig.worker.set_target(BOX, 0))
    return wide_rig


def test_out_of_gpu_memory_the_targets_go_on_on_the_cpu(gpu_rig: Rig) -> None:
    gpu_rig.on_cpu = NumberTracker()
    gpu_rig.tracker.failure = OUT_OF_MEMORY
    gpu_rig.show()
    assert gpu_rig.reasons == ["OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB."]
    assert gpu_rig.tracker.target_ids == (), "the GPU's memory is free"
    assert gpu_rig.on_cpu.added_on == [3, 3] and gpu_rig.on_cpu.target_ids == (1, 2)
    assert gpu_rig.on_cpu.tracked == [4], "the image in which it failed is not lost"
    assert _ids(gpu_rig.frames[-1]) == [1, 2]
    gpu_rig.show()
    assert gpu_rig.reported() == [1, 2, 3, 4, 5]
    assert gpu_rig.statistics.snapshot().failed == 0


def test_out_of_gpu_memory_a_new_target_is_learned_on_the_cpu(gpu_rig: Rig) -> None:
    gpu_rig.on_cpu = NumberTracker()
    gpu_rig.tracker.failure = OUT_OF_MEMORY
    assert _result(gpu_rig.worker.set_target(BOX, 0)) == 3
    gpu_rig.show()
    assert _ids(gpu_rig.frames[-1]) == [1, 2, 3]


def test_a_target_that_the_cpu_cannot_learn_is_removed(gpu_rig: Rig) -> None:
    class Forgetful(NumberTracker):
        def add(self, image: np.ndarray, box: tuple[float, ...], target_id: int) -> int:
            if target_id == 1:
                raise ValueError("nothing to be seen")
            return super().add(image, box, target_id)

    gpu_rig.on_cpu = Forgetful()
    gpu_rig.tracker.failure = OUT_OF_MEMORY
    gpu_rig.show()
    assert _ids(gpu_rig.frames[-1]) == [2]


@pytest.mark.parametrize("failure", [None, ValueError("no graphs here"), OUT_OF_MEMORY])
def test_what_was_captured_elsewhere_is_recorded_in_the_worker_s_thread_first(failure: Exception | None) -> None:
    tracker, on_cpu = NumberTracker(device="cuda"), NumberTracker()
    tracker.is_ready, tracker.failure = False, failure
    rig = Rig(tracker, on_cpu)
    try:
        rig.show()
        assert rig.reports[-1].status is Status.IDLE, "it goes on in any case"
        assert tracker.warmed_in == ("tracker" if failure is None else "")
        assert on_cpu.warmed_in == ("tracker" if failure is OUT_OF_MEMORY else "")
    finally:
        rig.worker.stop()


def test_without_a_tracker_for_the_cpu_nothing_is_tracked_any_more(gpu_rig: Rig) -> None:
    gpu_rig.tracker.failure = OUT_OF_MEMORY
    gpu_rig.put()
    wait_until(lambda: gpu_rig.statistics.snapshot().failed == 1, "the count of the failure")
    assert gpu_rig.worker.target_ids == ()
    with pytest.raises(RuntimeError, match="the GPU has failed"):
        _result(gpu_rig.worker.set_target(BOX, 0))
    assert len(gpu_rig.reasons) == 1
    gpu_rig.show()
    assert gpu_rig.reports[-1].status is Status.IDLE


def test_out_of_memory_on_the_cpu_is_a_failure_like_any_other(rig: Rig) -> None:
    rig.show()
    _result(rig.worker.set_target(BOX, 0))
    rig.tracker.failure = OUT_OF_MEMORY
    rig.put()
    wait_until(lambda: rig.statistics.snapshot().failed == 1, "the count of the failure")
    rig.tracker.failure = None
    rig.show()
    assert rig.reports[-1].status is Status.TRACKING and rig.reasons == []
