# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the tracker: commands first, then the newest frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger

from atom_core.tracker import AtomTracker
from atom_ros.diagnostics import Statistics
from atom_ros.frame_buffer import NANOSECONDS, Frame, FrameBuffer
from atom_ros.images import check, to_rgb
from atom_ros.mailbox import Mailbox
from atom_ros.parameters import Settings
from atom_ros.report import Box, Report

_LOG_INTERVAL = 5.0  # s between two messages about the same trouble


@dataclass(frozen=True)
class _Command:
    """Something to do between two frames, and where its result or its exception goes."""

    action: Callable[[], object]
    future: Future

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.action())
        except Exception as error:  # the boundary: whoever asked is told, and the worker goes on
            self.future.set_exception(error)


class Worker:
    """Runs the tracker in its own thread, from construction to `stop`.

    The public methods may be called from any thread and return at once. Frames are reported in the order of their
    arrival and each at most once.
    """

    def __init__(
        self,
        tracker: AtomTracker,
        buffer: FrameBuffer,
        statistics: Statistics,
        settings: Settings,
        logger: RcutilsLogger,
        publish: Callable[[Report, np.ndarray | None], None],
        wants_image: Callable[[], bool],
        last_target_id: int = 0,
    ) -> None:
        """Starts the thread.

        Args:
            tracker: nobody else may use it until `stop` has returned.
            buffer: holds every frame that is put here, and older ones.
            statistics: told of every frame.
            settings: the node's parameters.
            logger: of the node.
            publish: called in the worker's thread with each report and the frame's RGB image. The image is None
                where nobody needed it.
            wants_image: whether `publish` needs the image even while there is no target.
            last_target_id: the first target gets the next number.
        """
        self._tracker = tracker
        self._buffer = buffer
        self._statistics = statistics
        self._settings = settings
        self._logger = logger
        self._publish = publish
        self._wants_image = wants_image
        self._mailbox: Mailbox[Frame, _Command] = Mailbox()
        self._target_id = last_target_id
        self._seen = 0  # sequence number of the frame that the tracker saw last
        self._reported = 0  # the highest sequence number that was dealt with; higher than _seen while catching up
        self._catch_up_until: float | None = None  # time.perf_counter(); None while not catching up
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)
        self._thread.start()

    def put_frame(self, frame: Frame) -> None:
        """Offers the newest frame."""
        self._mailbox.put_frame(frame)

    def set_target(self, box: Box, stamp: int) -> Future[int]:
        """Starts on a new target.

        Args:
            box: x, y, width, height in image px.
            stamp: nanoseconds, of the image that the box was drawn on; 0 for the newest.

        Returns:
            The future number of the target. It fails with LookupError where there is no such image, and with
            ValueError where image or box cannot be used; the worker then goes on as before.
        """
        return self._submit(lambda: self._set_target(box, stamp))

    def clear_target(self) -> Future[bool]:
        """Drops the target; the future result says whether there was one."""
        return self._submit(self._clear_target)

    def configure(self, settings: Settings) -> Future[None]:
        """Changes what can be changed while running."""
        return self._submit(lambda: self._configure(settings))

    @property
    def target_id(self) -> int:
        """Number of the last target that was set, 0 before the first."""
        return self._target_id

    def stop(self) -> None:
        """Ends the thread, waiting for what it is doing; commands that it has not begun are cancelled."""
        for command in self._mailbox.close():
            command.future.cancel()
        self._thread.join()

    def _submit(self, action: Callable[[], object]) -> Future:
        command = _Command(action, Future())
        try:
            self._mailbox.put_command(command)
        except RuntimeError:
            command.future.cancel()
        return command.future

    def _run(self) -> None:
        while self._mailbox.wait(block=self._catch_up_until is None):
            command = self._mailbox.take_command()
            if command is not None:
                command.run()
                continue
            frame = self._next_frame()
            if frame is not None:
                self._process(frame)

    def _next_frame(self) -> Frame | None:
        """The next of the older frames while catching up, otherwise the newest frame."""
        if self._catch_up_until is not None:
            frame = self._buffer.after(self._seen)
            if frame is not None and time.perf_counter() < self._catch_up_until:
                return frame
            self._catch_up_until = None
        frame = self._mailbox.take_frame()
        return frame if frame is not None and frame.sequence > self._seen else None

    def _process(self, frame: Frame) -> None:
        self._seen = frame.sequence
        try:
            image, report = self._follow(frame)
        except Exception as error:  # the boundary: no image can end the node
            self._fail(frame, error)
        else:
            self._report(report, image)

    def _follow(self, frame: Frame) -> tuple[np.ndarray | None, Report]:
        if not self._tracker.is_initialized:
            check(frame.message)
            image = to_rgb(frame.message) if self._wants_image() else None
            return image, Report(frame, self._target_id)
        image = to_rgb(frame.message)
        start = time.perf_counter()
        result = self._tracker.track(image)
        return image, Report.of_result(frame, self._target_id, result, _milliseconds_since(start))

    def _report(self, report: Report, image: np.ndarray | None) -> None:
        """Publishes a report, unless the frame had its report before the target was set on an older one."""
        sequence = report.frame.sequence
        if sequence <= self._reported:
            return
        self._statistics.count_processed(sequence - self._reported - 1, report.processing_ms)
        self._reported = sequence
        try:
            self._publish(report, image)
        except Exception as error:  # the boundary: nor can what was found in it
            self._fail(report.frame, error)

    def _fail(self, frame: Frame, error: Exception) -> None:
        self._statistics.count_failed(max(0, frame.sequence - self._reported - 1), str(error))
        self._reported = max(self._reported, frame.sequence)
        if isinstance(error, ValueError):
            self._logger.warning(f"Image refused: {error}", throttle_duration_sec=_LOG_INTERVAL)
        else:
            self._logger.error(
                f"Image not processed: {type(error).__name__}: {error}", throttle_duration_sec=_LOG_INTERVAL
            )

    def _set_target(self, box: Box, stamp: int) -> int:
        tolerance = round(self._settings.stamp_tolerance * NANOSECONDS)
        frame = self._buffer.at(stamp, tolerance) if stamp else self._buffer.newest()
        image = to_rgb(frame.message)
        start = time.perf_counter()
        self._tracker.initialize(image, box)  # keeps the old target where it raises
        self._target_id += 1
        self._seen = frame.sequence
        self._report(Report.of_given_box(frame, self._target_id, box, _milliseconds_since(start)), image)
        self._catch_up_until = time.perf_counter() + self._settings.catch_up_seconds
        return self._target_id

    def _clear_target(self) -> bool:
        had_target = self._tracker.is_initialized
        self._tracker.reset()
        self._catch_up_until = None
        return had_target

    def _configure(self, settings: Settings) -> None:
        self._tracker.config = settings.tracker
        self._settings = settings


def _milliseconds_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000.0
