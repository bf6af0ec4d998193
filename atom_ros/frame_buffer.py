# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The node's memory of recent images, so that a box may be drawn on one that is already a few seconds old."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from builtin_interfaces.msg import Time

from atom_ros.images import ImageMessage

NANOSECONDS = 1_000_000_000  # in a second
_JUMP_BACK = NANOSECONDS  # a stamp this far behind the newest means a restarted clock, not images out of order


@dataclass(frozen=True)
class Frame:
    """One image message as it arrived."""

    sequence: int  # 1 for the first image that the node received
    message: ImageMessage

    @property
    def stamp(self) -> int:
        """The message's stamp in nanoseconds."""
        return to_nanoseconds(self.message.header.stamp)


class FrameBuffer:
    """Recent frames in the order of their arrival, bounded in age and in bytes. Safe to use from several threads.

    The newest frame is kept whatever the bounds.
    """

    def __init__(self, max_age: float, max_bytes: int) -> None:
        """Args: `max_age` in seconds between a frame's stamp and the newest one's; `max_bytes` of image data."""
        self._max_age = round(max_age * NANOSECONDS)
        self._max_bytes = max_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, frame: Frame) -> bool:
        """Adds the newest frame; returns True if the stamps jumped back, upon which the older frames are forgotten."""
        with self._lock:
            jumped = bool(self._frames) and frame.stamp < self._frames[-1].stamp - _JUMP_BACK
            if jumped:
                self._clear()
            self._frames.append(frame)
            self._bytes += len(frame.message.data)
            while len(self._frames) > 1 and self._is_over_full():
                self._bytes -= len(self._frames.popleft().message.data)
            return jumped

    def clear(self) -> None:
        """Forgets every frame."""
        with self._lock:
            self._clear()

    def newest(self) -> Frame:
        """Returns the frame that arrived last; raises LookupError while there is none."""
        with self._lock:
            self._expect_frames()
            return self._frames[-1]

    def at(self, stamp: int, tolerance: int) -> Frame:
        """Returns the frame whose stamp is nearest to `stamp` (both in nanoseconds).

        Raises:
            LookupError: if it is further away than `tolerance`; the message names the range of stamps held.
        """
        with self._lock:
            self._expect_frames()
            nearest = min(self._frames, key=lambda frame: abs(frame.stamp - stamp))
            if abs(nearest.stamp - stamp) > tolerance:
                stamps = [frame.stamp for frame in self._frames]
                raise LookupError(
                    f"no image within {tolerance / NANOSECONDS:g} s of stamp {_seconds(stamp)}; the buffer holds "
                    f"{len(stamps)} images from {_seconds(min(stamps))} to {_seconds(max(stamps))}"
                )
            return nearest

    def after(self, sequence: int) -> Frame | None:
        """Returns the oldest frame that arrived later than frame number `sequence`, or None."""
        with self._lock:
            return next((frame for frame in self._frames if frame.sequence > sequence), None)

    def __len__(self) -> int:
        return len(self._frames)

    def _clear(self) -> None:
        self._frames.clear()
        self._bytes = 0

    def _is_over_full(self) -> bool:
        age = self._frames[-1].stamp - self._frames[0].stamp
        return self._bytes > self._max_bytes or age > self._max_age

    def _expect_frames(self) -> None:
        if not self._frames:
            raise LookupError("no image has arrived yet")


def to_nanoseconds(stamp: Time) -> int:
    """A stamp as one number, which compares and subtracts."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def _seconds(stamp: int) -> str:
    """Writes a stamp as `ros2 topic echo` shows it: seconds, then nanoseconds in full."""
    return f"{stamp // NANOSECONDS}.{stamp % NANOSECONDS:09d}"
