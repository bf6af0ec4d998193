# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that owns the tracker: it first learns requested targets, then tracks in the newest frame.

A learned target is tracked before it is learned again, so there are Tracks however often a detector sends it. Of
several requests for one target the newest is learned; the others are answered as replaced. A request whose box agrees
with the tracker's is not learned.

All targets are tracked together. A target set on an older image is behind the others: it alone is tracked through the
buffered images until it has caught up, while the others wait. Then all continue through the images that arrived in the
meantime, for up to `catch_up_seconds`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import Image

from atom_core import boxes
from atom_core.boxes import Box
from atom_core.data.images import PixelRange
from atom_core.result import TrackState
from atom_core.tracker import MultiTracker, check_box
from atom_ros.frame_buffer import NANOSECONDS, Arrival, Frame, FrameBuffer, NotArrivedError
from atom_ros.gpu import GPU_ERRORS, describe
from atom_ros.images import ImageMessage, check, to_rgb
from atom_ros.mailbox import Mailbox
from atom_ros.outputs.diagnostics import Statistics
from atom_ros.parameters import Settings
from atom_ros.report import Report
from atom_ros.targets import FollowedTarget, Order, Targets

T = TypeVar("T")

_LOG_INTERVAL = 5.0  # s between two messages about the same problem
_MOST_WAITING = 100  # requests that wait for their images
_COMPRESSION_PERIOD = 0.1  # s


@dataclass(frozen=True)
class _Request:
    """A target whose image may still arrive."""

    box: Box
    stamp: int  # ns, of the image
    target_id: int
    until: float  # time.monotonic(), s
    future: Future
    class_id: str


@dataclass(frozen=True)
class _Command:
    """A command to run between two frames, and the future of its result."""

    action: Callable[[], object]
    future: Future

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.action())
        except Exception as error:  # the boundary: the caller gets the reason, and the worker continues
            self.future.set_exception(error)


class Worker:
    """Runs the tracker in its own thread, from construction to `stop`.

    The public methods may be called from any thread and return at once. Frames are reported in order of arrival, each
    at most once.
    """

    def __init__(
        self,
        tracker: MultiTracker,
        buffer: FrameBuffer,
        statistics: Statistics,
        settings: Settings,
        logger: RcutilsLogger,
        publish: Callable[[Sequence[Report], np.ndarray | None], None],
        wants_image: Callable[[], bool],
        leave_gpu: Callable[[str], MultiTracker | None],
        last_target_id: int = 0,
        set_class: Callable[[int, str], None] = lambda target_id, class_id: None,
    ) -> None:
        """Starts the thread.

        Args:
            tracker: used by this worker alone until `stop` has returned.
            buffer: of the recent images.
            statistics: counts every image.
            settings: the node's parameters.
            logger: of the node.
            publish: called in the worker's thread with each frame's reports, one for each target or a single IDLE one,
                and its RGB image, which is None if it was not needed.
            wants_image: whether `publish` needs the image even while there is no target.
            leave_gpu: called in the worker's thread with the reason when the GPU has failed and its tracker is dropped;
                returns a tracker on the CPU, or None if the worker must stop.
            last_target_id: the highest number used so far.
            set_class: called in the worker's thread with the number of a target and its class, before it is reported.
        """
        self._tracker: MultiTracker | None = tracker  # None after the GPU has failed, until the worker stops
        tracker.config = settings.tracker  # it may have changed since the tracker was loaded
        self._learned_ids = set(tracker.target_ids)  # the tracker's targets
        self._buffer = buffer
        self._statistics = statistics
        self._settings = settings
        self._logger = logger
        self._publish = publish
        self._wants_image = wants_image
        self._leave_gpu = leave_gpu
        self._set_class = set_class
        self._pixel_range = PixelRange(settings.pixel_range)
        self._mailbox: Mailbox[Frame, _Command] = Mailbox()
        self._targets = Targets(last_target_id)
        self._waiting: list[_Request] = []  # for their images
        self._waiting_lock = threading.Lock()
        self._is_stopping = False
        self._is_paused = False
        self._fresh: set[int] = set()  # targets learned after the last frame
        self._processed = 0  # the highest sequence number handled
        self._catch_up_until: float | None = None  # time.perf_counter(); None while not catching up
        self._learned = 0.0, 0.0  # time.perf_counter() when learning after a frame began, and when it ended
        self._has_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)
        self._compressor = threading.Thread(target=self._compress_old_images, name="compressor", daemon=True)
        self._thread.start()
        self._compressor.start()

    def put_image(self, message: ImageMessage) -> bool:
        """Offers the newest image; returns whether it is new, see `frame_buffer`."""
        arrival, frame = self._buffer.add(message)
        self._statistics.count_received(arrival)
        if arrival is Arrival.RESTART:
            self._logger.info(
                "The images' stamps jumped back: older images forgotten", throttle_duration_sec=_LOG_INTERVAL
            )
        if frame is None:
            return False
        self._mailbox.put_frame(frame)
        self.expire(frame.stamp)
        return True

    def expire(self, newest_stamp: int | None = None) -> None:
        """Continues requests whose images have arrived or are overdue; call it periodically.

        Args:
            newest_stamp: ns, of a frame that has just arrived; None without one.
        """
        if not self._waiting:
            return
        now = time.monotonic()
        with self._waiting_lock:
            ready = [
                r for r in self._waiting if r.until <= now or (newest_stamp is not None and r.stamp <= newest_stamp)
            ]
            self._waiting = [r for r in self._waiting if r not in ready]
        for request in ready:
            self._begin(request)

    def set_target(self, box: Box, stamp: int, target_id: int = 0, class_id: str = "") -> Future[int]:
        """Requests a target. Invalid requests are refused at once; learning happens in the tracker's thread.

        Args:
            box: x, y, width, height in image px.
            stamp: nanoseconds, of the image that the box was drawn on; 0 for the newest.
            target_id: 0, or the number of the target to learn again.
            class_id: from a detector; "" keeps the target's class.

        Returns:
            A future of the target's number. It fails with LookupError if there is no such image or target, or if
            another request removed or replaced the target in the meantime, with ValueError if image or box cannot be
            used or there is no room, and with CancelledError if the worker is stopped; after a failure the worker
            continues as before. If the stamp is newer than all images, or there is none yet, the request waits for
            its image for up to `stamp_wait`.
        """
        until = time.monotonic() + self._settings.stamp_wait
        request = _Request(box, stamp, target_id, until, Future(), class_id)
        try:
            if stamp or not len(self._buffer):
                self._buffer.expect(stamp)
        except NotArrivedError as error:
            self._wait_for_image(request, error)
        else:
            self._begin(request)
        return request.future

    def _wait_for_image(self, request: _Request, error: NotArrivedError) -> None:
        with self._waiting_lock:
            if len(self._waiting) < _MOST_WAITING and not self._is_stopping:
                self._waiting.append(request)
                return
        request.future.set_exception(LookupError(f"{error}, and {_MOST_WAITING} requests wait for theirs"))

    def _begin(self, request: _Request) -> None:
        """Orders the target, or completes the request's future with the reason of the failure."""
        try:
            self._order(request)
        except CancelledError:
            request.future.cancel()
        except (LookupError, ValueError) as error:
            request.future.set_exception(error)
        else:
            self._mailbox.wake()

    def remove_target(self, target_id: int) -> bool:
        """Drops a target at once; returns whether there was one."""
        removed = self._targets.remove(target_id)
        self._submit(self._drop_removed)
        return removed

    def clear_targets(self) -> int:
        """Drops all targets at once, including those being learned; returns how many there were."""
        count = self._targets.clear()
        self._submit(self._drop_removed)
        return count

    def pause(self, is_paused: bool) -> None:
        """Pauses or resumes tracking. Targets are kept, and can be set and removed during the pause."""
        self._is_paused = is_paused
        self._mailbox.wake()

    @property
    def is_paused(self) -> bool:
        """Whether tracking is paused."""
        return self._is_paused

    def configure(self, settings: Settings) -> Future[None]:
        """Applies the live parameters."""
        return self._submit(lambda: self._configure(settings))

    @property
    def target_ids(self) -> tuple[int, ...]:
        """Numbers of the targets that are followed, the oldest first."""
        return self._targets.ids

    def newest_reports(self) -> list[Report]:
        """The newest report of each tracked target, the oldest target first."""
        reports = (target.newest or target.given for target in self._targets.followed().values())
        return [report for report in reports if report is not None]

    @property
    def last_target_id(self) -> int:
        """Number of the last target, 0 before the first."""
        return self._targets.last_id

    def stop(self) -> None:
        """Ends the thread after its current step; cancels waiting commands."""
        with self._waiting_lock:
            self._is_stopping = True
            waiting, self._waiting = self._waiting, []
        for request in waiting:
            request.future.cancel()
        self._targets.close()
        for command in self._mailbox.close():
            command.future.cancel()
        self._has_stopped.set()
        self._thread.join()
        self._compressor.join()

    def _compress_old_images(self) -> None:
        """The compressor's thread: neither the images' callback nor the tracker waits for it."""
        while not self._has_stopped.wait(_COMPRESSION_PERIOD):
            while not self._has_stopped.is_set() and self._buffer.compress_next():
                pass

    def _submit(self, action: Callable[[], object]) -> Future:
        command = _Command(action, Future())
        try:
            self._mailbox.put_command(command)
        except RuntimeError:
            command.future.cancel()
        return command.future

    def _order(self, request: _Request) -> Order:
        """Checks a request without the tracker; raises LookupError or ValueError."""
        settings = self._settings
        tolerance = round(settings.stamp_tolerance * NANOSECONDS)
        frame = self._buffer.at(request.stamp, tolerance) if request.stamp else self._buffer.newest()
        check(frame.message)
        if isinstance(frame.message, Image):  # a compressed image's size is not known yet
            check_box(request.box, frame.message.width, frame.message.height, settings.tracker.min_box_side)
        return self._targets.order(
            frame, request.box, request.target_id, settings.max_targets, request.future, request.class_id
        )

    # In the worker's thread

    def _run(self) -> None:
        self._get_ready()
        while self._mailbox.wait(block=self._catch_up_until is None and not self._targets.has_orders):
            command = self._mailbox.take_command()
            if command is not None:
                command.run()
                continue
            order = self._targets.begin(self._fresh, self._settings.max_targets)
            if order is not None:
                self._take(order)
                continue
            frame = None if self._is_paused else self._next_frame()
            if frame is not None:
                self._process(frame)
                self._finish(frame)
            if self._is_paused:
                self._pass_over()
            if self._catch_up_until is None:
                self._fresh.clear()

    def _get_ready(self) -> None:
        """Records what was captured during configuration again for this thread."""
        if self._tracker is not None and not self._tracker.is_ready:
            try:
                self._use_tracker(lambda tracker: tracker.warm_up())
            except Exception as error:  # the boundary: tracking may still work, or will report the fault
                self._logger.error(f"Not warmed up: {type(error).__name__}: {error}")

    def _next_frame(self) -> Frame | None:
        """While catching up, the next of the older frames, otherwise the newest frame."""
        if self._catch_up_until is not None:
            seen = min((target.seen for target in self._targets.followed().values()), default=self._processed)
            frame = self._buffer.after(seen)
            if frame is not None and time.perf_counter() < self._catch_up_until:
                return frame
            self._catch_up_until = None
        frame = self._mailbox.take_frame()
        return frame if frame is not None and frame.sequence > self._processed else None

    def _pass_over(self) -> None:
        """Skips images during a pause, without catching up afterwards."""
        self._catch_up_until = None
        frame = self._mailbox.take_frame()
        if frame is None:
            return
        self._statistics.count_paused(max(0, frame.sequence - self._processed))
        self._processed = max(self._processed, frame.sequence)
        for target in self._targets.followed().values():
            target.seen = max(target.seen, frame.sequence)

    def _process(self, frame: Frame) -> None:
        """Tracks the targets not yet tracked in this frame, and reports on all, if it was not reported before."""
        self._drop_removed()
        targets = self._targets.followed()
        behind = {number: target for number, target in targets.items() if target.seen < frame.sequence}
        for target in behind.values():
            target.seen = frame.sequence
        try:
            image, reports = self._follow(frame, behind)
        except Exception as error:  # the boundary: no image can end the node
            self._fail(frame, error)
            return
        for number, report in reports.items():
            targets[number].newest, targets[number].given = report, None
        for number in targets.keys() - behind.keys():
            given = targets[number].given
            if given is not None and given.frame is frame:
                reports[number] = given
        self._report(frame, reports, image)

    def _finish(self, frame: Frame) -> None:
        """Runs the tracker's pending updates after the reports are published."""
        start = time.perf_counter()
        try:
            if self._tracker is not None:
                self._use_tracker(lambda tracker: tracker.finish_frame())
        except Exception as error:  # the boundary, as above
            self._fail(frame, error)
        self._learned = start, time.perf_counter()

    def _waited_for_learning(self, frame: Frame) -> float:
        """Time in ms that the frame waited for learning; it counts as the tracker's time."""
        begin, end = self._learned
        return 1000.0 * max(0.0, end - max(begin, frame.received))

    def _follow(self, frame: Frame, targets: dict[int, FollowedTarget]) -> tuple[np.ndarray | None, dict[int, Report]]:
        if not targets:
            check(frame.message)
            return (self._decode(frame) if self._wants_image() else None), {}
        image = self._decode(frame)
        start = time.perf_counter()
        # Those that the tracker still has: a move to the CPU may lose one.
        results = self._use_tracker(lambda t: t.track(image, [n for n in targets if n in self._learned_ids]))
        elapsed = _milliseconds_since(start) + self._waited_for_learning(frame)
        for number, result in results.items():
            target = targets[number]
            target.is_tracking = result.state is TrackState.TRACKING
            if target.is_tracking:
                target.sure = (frame, result.box) if self._may_move else None
                target.trail.append((frame.sequence, result.box))
        return image, {n: Report.of_result(frame, n, result, elapsed) for n, result in results.items()}

    def _decode(self, frame: Frame) -> np.ndarray:
        is_first = self._pixel_range.last is None
        image = to_rgb(frame.message, self._pixel_range)
        if is_first and self._pixel_range.last is not None:
            self._logger.info(
                f"Pixels of more than 8 bits: {self._pixel_range} in this image; the parameter pixel_range sets others"
            )
        return image

    def _report(self, frame: Frame, reports: dict[int, Report], image: np.ndarray | None) -> None:
        """Publishes the reports, unless the frame was reported before a target was set on an older one."""
        if frame.sequence <= self._processed or self._is_paused:
            return
        listed = self._targets.ids
        current = [reports[number] for number in listed if number in reports]
        current = current or [Report(frame, self._targets.last_id)]
        processing = max(report.processing_ms for report in current)
        self._statistics.count_processed(frame.sequence - self._processed - 1, processing)
        self._processed = frame.sequence
        try:
            self._publish(current, image)
        except Exception as error:  # the boundary: its results cannot end the node either
            self._fail(frame, error)

    def _fail(self, frame: Frame, error: Exception) -> None:
        self._statistics.count_failed(max(0, frame.sequence - self._processed - 1), str(error))
        self._processed = max(self._processed, frame.sequence)
        if isinstance(error, ValueError):
            self._logger.warning(f"Image refused: {error}", throttle_duration_sec=_LOG_INTERVAL)
        else:
            self._logger.error(
                f"Image not processed: {type(error).__name__}: {error}", throttle_duration_sec=_LOG_INTERVAL
            )

    def _take(self, order: Order) -> None:
        """Learns an order's target, unless it is already tracked there; completes the order."""
        try:
            number = self._followed_there(order)
            if number is None:
                number = self._learn(order)
            elif order.class_id:
                self._set_class(number, order.class_id)
            order.future.set_result(number)
        except Exception as error:  # the boundary: the caller gets the reason, and the worker continues
            order.future.set_exception(error)
        finally:
            self._targets.give_up(order)
            self._drop_removed()

    def _followed_there(self, order: Order) -> int | None:
        """The number of the order's target if it is already tracked at the order's box; None if it must be learned."""
        followed, least = self._targets.followed(), self._settings.relearn_overlap
        number = order.target_id or (next(iter(followed), 0) if self._settings.max_targets == 1 else 0)
        if number not in followed or least >= 1.0:
            return None
        target = followed[number]
        if order.frame.sequence > target.seen and self._catch_up_until is None and not self._is_paused:
            self._process(order.frame)
            self._finish(order.frame)
        place = target.place(order.frame.sequence)
        if place is None or not target.is_tracking or _overlap(place, order.box) < least:
            return None
        self._logger.info(
            f"Target {number} is followed where it was set again: not learned again (relearn_overlap is {least:g})",
            throttle_duration_sec=_LOG_INTERVAL,
        )
        return number

    def _learn(self, order: Order) -> int:
        target_id = self._targets.next_id(order)
        image = self._decode(order.frame)
        start = time.perf_counter()
        self._use_tracker(lambda t: t.add(image, order.box, target_id))  # if it raises, nothing is lost
        self._learned_ids.add(target_id)
        report = Report.of_given_box(order.frame, target_id, order.box, _milliseconds_since(start))
        self._targets.learned(order, target_id, report, self._settings.max_targets, self._may_move)
        if order.class_id:
            self._set_class(target_id, order.class_id)
        self._drop_removed()
        self._fresh.add(target_id)
        if self._targets.ids == (
            target_id,
        ):  # otherwise the frame is reported after the other targets were tracked in it, too
            self._report(order.frame, {target_id: report}, image)
        self._catch_up_until = time.perf_counter() + self._settings.catch_up_seconds
        return target_id

    def _use_tracker(self, action: Callable[[MultiTracker], T]) -> T:
        """Calls a function with the tracker; if the GPU fails, again on the CPU, if allowed."""
        if self._tracker is None:
            raise RuntimeError("the GPU has failed; activate the node again")
        try:
            return action(self._tracker)
        except GPU_ERRORS as error:
            if self._tracker.device.type == "cpu":
                raise
            reason = describe(error)
        # Outside the handler, where the exception, and with it the failed step's tensors, is freed.
        self._move_to_cpu(reason)
        return action(self._tracker)

    def _move_to_cpu(self, reason: str) -> None:
        """Relearns all targets in their last TRACKING frame. Raises RuntimeError if the worker must stop."""
        if self._tracker is not None:
            self._tracker.clear()
        self._tracker = None  # frees the memory of its networks
        self._learned_ids.clear()
        tracker = self._leave_gpu(reason)
        if tracker is None:
            self._targets.clear()
            raise RuntimeError(f"the GPU failed, and the node stops tracking: {reason}")
        self._tracker = tracker
        for target_id, target in self._targets.followed().items():
            assert target.sure is not None, "kept while the tracker is not on the CPU"
            frame, box = target.sure
            try:
                tracker.add(self._decode(frame), box, target_id)
                self._learned_ids.add(target_id)
            except Exception as error:  # the boundary: the other targets continue
                self._targets.remove(target_id)
                self._logger.error(f"Target {target_id} is removed; it cannot be relearned on the CPU: {error}")

    @property
    def _may_move(self) -> bool:
        """Whether the targets may have to be learned again on the CPU."""
        return self._tracker is not None and self._tracker.device.type != "cpu"

    def _drop_removed(self) -> None:
        """Removes targets from the tracker that are no longer listed."""
        if self._tracker is None:
            return
        for target_id in self._learned_ids.difference(self._targets.ids):
            self._tracker.remove(target_id)
            self._learned_ids.remove(target_id)

    def _configure(self, settings: Settings) -> None:
        if self._tracker is not None:
            self._tracker.config = settings.tracker
        if settings.pixel_range != self._settings.pixel_range:
            self._pixel_range = PixelRange(settings.pixel_range)
        self._settings = settings


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    return float(boxes.iou(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)))


def _milliseconds_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000.0
