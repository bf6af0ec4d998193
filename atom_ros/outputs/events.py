# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Logs the targets' state changes: one line for each change, not for each image.

An unstable state, or a detector that sets a new target many times a second, does not fill the log: beyond ten lines in
ten seconds, changes are only counted, and the states are logged once when the limit allows it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from atom_ros.report import Report, Status

_LINES, _SECONDS = 10, 10.0  # at most 10 lines in 10 s


class StateLog:
    """Keeps each target's state and logs its changes. Thread-safe."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """Args: `write` takes one line; `clock` gives seconds and never goes back."""
        self._write_line = write
        self._clock = clock
        self._written_at: deque[float] = deque(maxlen=_LINES)
        self._left_out = 0  # changes since the last line
        self._states: dict[int, Status] = {}
        self._lock = threading.Lock()

    @property
    def states(self) -> dict[int, Status]:
        """The targets' last reported states by number; empty without a target."""
        with self._lock:
            return dict(self._states)

    def update(self, reports: Sequence[Report]) -> None:
        """Updates the states from all reports of one frame."""
        reports = [report for report in reports if report.status is not Status.IDLE]
        with self._lock:
            for target_id in self._states.keys() - {report.target_id for report in reports}:
                self._write(f"Target {target_id}: {self._states.pop(target_id).name} -> removed")
            for report in reports:
                before = self._states.get(report.target_id)
                if report.status is not before:
                    self._states[report.target_id] = report.status
                    self._write(f"Target {report.target_id}: {_change(before, report)}")
            if self._left_out and self._has_room():
                count, self._left_out = self._left_out, 0
                self._write(f"{count} changes of state are not shown; now {summary(self._states)}")

    def forget(self, target_id: int | None = None) -> None:
        """Logs the removal of a target, or of all, without waiting for the next image."""
        with self._lock:
            gone = list(self._states) if target_id is None else self._states.keys() & {target_id}
            for number in gone:
                self._write(f"Target {number}: {self._states.pop(number).name} -> removed")

    def clear(self) -> None:
        """Forgets all targets, after a deactivation."""
        with self._lock:
            self._states.clear()
            self._left_out = 0

    def _write(self, line: str) -> None:
        if self._left_out or not self._has_room():
            self._left_out += 1
            return
        self._written_at.append(self._clock())
        self._write_line(line)

    def _has_room(self) -> bool:
        return len(self._written_at) < _LINES or self._clock() - self._written_at[0] >= _SECONDS


def _change(before: Status | None, report: Report) -> str:
    confidence = "" if math.isnan(report.confidence) else f" (confidence {report.confidence:.2f})"
    stamp = report.frame.message.header.stamp
    name = "new" if before is None else before.name
    return f"{name} -> {report.status.name}{confidence} at stamp {stamp.sec}.{stamp.nanosec:09d}"


def summary(states: dict[int, Status]) -> str:
    """The states in words: IDLE, TRACKING, or for several targets "1: TRACKING, 3: LOST"."""
    if len(states) > 1:
        return ", ".join(f"{number}: {status.name}" for number, status in sorted(states.items()))
    return next((status.name for status in states.values()), Status.IDLE.name)
