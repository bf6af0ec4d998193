# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The buffer of recent images, and the rules for their stamps.

A box may be drawn on an image that is a few seconds old, so stamps identify and order the images:

- newer than the newest: the next image. How much newer does not matter: a camera may pause.
- the newest one's stamp again: a duplicate, ignored. Stamp zero means no stamp; such an image counts as new.
- older by up to one second: out of order, ignored. The tracker is past it.
- older by more than that: the camera, the bag or the clock was restarted. The buffer drops the earlier images, since
  their stamps are from another time, and starts again with this one. Targets are kept.

Size and encoding may change between images; each image is decoded by its own fields. Images that are older than a
second are kept as JPEG where that is cheap (`atom_ros.images.to_jpeg`), which takes about a tenth of the memory.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from enum import Enum

from builtin_interfaces.msg import Time

from atom_ros.images import ImageMessage, to_jpeg

NANOSECONDS = 1_000_000_000  # in a second
_JUMP_BACK = NANOSECONDS  # a stamp this far behind the newest means a restart, not images out of order
_RAW_AGE = NANOSECONDS  # images older than this are compressed
_SAME_IMAGE = 1_000_000  # ns by which a stamp may be rounded up


class NotArrivedError(LookupError):
    """The image may still arrive: its stamp is newer than all in the buffer."""


class Arrival(Enum):
    """How an image's stamp relates to earlier ones; see above."""

    NEXT = "next"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out of order"
    RESTART = "restart"

    @property
    def is_ignored(self) -> bool:
        """Whether the image is ignored."""
        return self in (Arrival.DUPLICATE, Arrival.OUT_OF_ORDER)


@dataclass(frozen=True)
class Frame:
    """One image message as it arrived."""

    sequence: int  # 1 for the first image that was not ignored
    message: ImageMessage
    received: float = field(default_factory=time.perf_counter, compare=False)  # s, of time.perf_counter

    @property
    def stamp(self) -> int:
        """The message's stamp in nanoseconds."""
        return to_nanoseconds(self.message.header.stamp)


class FrameBuffer:
    """Recent frames in order of arrival, bounded in age and in bytes. Thread-safe.

    The newest frame is always kept.
    """

    def __init__(self, max_age: float, max_bytes: int) -> None:
        """Args: `max_age` in seconds between a frame's stamp and the newest one's; `max_bytes` of image data."""
        self._max_age = round(max_age * NANOSECONDS)
        self._max_bytes = max_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._sequence = 0
        self._compressed = 0  # sequence number up to which frames were compressed, where possible
        self._lock = threading.Lock()

    def add(self, message: ImageMessage) -> tuple[Arrival, Frame | None]:
        """Adds an image; returns how it relates to earlier ones, and its frame, None if it is ignored."""
        stamp = to_nanoseconds(message.header.stamp)
        with self._lock:
            arrival = self._judge(stamp)
            if arrival.is_ignored:
                return arrival, None
            if arrival is Arrival.RESTART:
                self._clear()
            self._sequence += 1
            frame = Frame(self._sequence, message)
            self._frames.append(frame)
            self._bytes += len(message.data)
            while len(self._frames) > 1 and self._is_over_full():
                self._bytes -= len(self._frames.popleft().message.data)
            return arrival, frame

    def compress_next(self) -> bool:
        """Compresses the oldest frame that is old enough and was not tried before; returns whether there was one.

        This takes about a millisecond, during which other threads may use the buffer.
        """
        with self._lock:
            frame = self._next_to_compress()
            if frame is None:
                return False
            self._compressed = frame.sequence
        jpeg = to_jpeg(frame.message)
        with self._lock:
            index = frame.sequence - self._frames[0].sequence if self._frames else -1
            if jpeg is not None and index >= 0:  # it may have been dropped meanwhile
                self._frames[index] = replace(frame, message=jpeg)
                self._bytes += len(jpeg.data) - len(frame.message.data)
        return True

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

    def expect(self, stamp: int) -> None:
        """Raises NotArrivedError if the image of this stamp (ns) may still come: it is newer than the newest frame."""
        with self._lock:
            if not self._frames:
                raise NotArrivedError("no image has arrived yet")
            if stamp > self._frames[-1].stamp + _SAME_IMAGE:
                raise NotArrivedError(f"the image of stamp {_seconds(stamp)} has not arrived yet")

    def after(self, sequence: int) -> Frame | None:
        """Returns the oldest frame that arrived later than frame number `sequence`, or None."""
        with self._lock:
            return self._after(sequence)

    def __len__(self) -> int:
        return len(self._frames)

    def _clear(self) -> None:
        self._frames.clear()
        self._bytes = 0

    def _after(self, sequence: int) -> Frame | None:
        return next((frame for frame in self._frames if frame.sequence > sequence), None)

    def _next_to_compress(self) -> Frame | None:
        frame = self._after(self._compressed)
        return frame if frame is not None and self._frames[-1].stamp - frame.stamp > _RAW_AGE else None

    def _judge(self, stamp: int) -> Arrival:
        if not self._frames or stamp == 0:
            return Arrival.NEXT
        ahead = stamp - self._frames[-1].stamp
        if ahead > 0:
            return Arrival.NEXT
        if ahead < -_JUMP_BACK:
            return Arrival.RESTART
        return Arrival.OUT_OF_ORDER if ahead < 0 else Arrival.DUPLICATE

    def _is_over_full(self) -> bool:
        age = self._frames[-1].stamp - self._frames[0].stamp
        return self._bytes > self._max_bytes or age > self._max_age

    def _expect_frames(self) -> None:
        if not self._frames:
            raise LookupError("no image has arrived yet")


def to_nanoseconds(stamp: Time) -> int:
    """A stamp in ns."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def _seconds(stamp: int) -> str:
    """Formats a stamp as `ros2 topic echo` shows it: seconds, then all nine digits of nanoseconds."""
    return f"{stamp // NANOSECONDS}.{stamp % NANOSECONDS:09d}"
