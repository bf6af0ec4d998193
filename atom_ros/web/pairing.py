# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs each shown image with the Tracks of its stamp.

The tracker publishes after computing, and skips images in the meantime. So an image waits for its Tracks, and images
that the tracker skips are not shown. If no Tracks come for a while (no tracker, a pause, a target being learned),
images are shown as they come, without boxes. The page never returns to an earlier image.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from atom_ros.images import ImageMessage
from atom_tracker.msg import Track, TrackArray

_PATIENCE = (
    0.5,
    3.0,
)  # minimum and maximum s without Tracks, after which images are shown alone; between them, twice the Tracks' interval
_KEPT_SECONDS = 2.0  # that an image waits for its Tracks
_KEPT_BYTES = 64_000_000
_KEPT_ARRAYS = 32  # Tracks that came before their image

_Stamp = tuple[int, int]


@dataclass(frozen=True)
class Shown:
    """An image to show, and its Tracks: None if they have not arrived."""

    image: ImageMessage
    tracks: Sequence[Track] | None
    received: float  # s of the clock: arrival of the image
    topic: str  # of the image


class Pairing:
    """Pairs images and TrackArrays; single-threaded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.topic = ""  # of the images
        self._clock = clock
        self._images: OrderedDict[_Stamp, tuple[float, ImageMessage]] = OrderedDict()
        self._bytes = 0
        self._arrays: OrderedDict[_Stamp, TrackArray] = OrderedDict()
        self._tracks_at = -float("inf")  # arrival of the newest TrackArray
        self._patience = _PATIENCE[0]
        self._bare: _Stamp | None = None  # the image shown last, if its Tracks are still missing

    def add_image(self, image: ImageMessage) -> Shown | None:
        """Adds an image; returns what to show now, if anything."""
        now, stamp = self._clock(), _stamp(image)
        array = self._arrays.pop(stamp, None) if stamp != (0, 0) else None
        if array is not None:
            return self._show(stamp, now, image, array.tracks)
        if now - self._tracks_at > self._patience:
            return self._show(stamp, now, image, None)
        self._keep(stamp, now, image)
        return None

    def add_tracks(self, array: TrackArray) -> Shown | TrackArray | None:
        """Adds the Tracks of an image.

        Returns:
            The image with its Tracks, if it should be shown now; the Tracks alone, if they belong to the image shown
            last; otherwise None.
        """
        now, stamp = self._clock(), _stamp(array)
        least, most = _PATIENCE
        self._patience = min(most, max(least, 2 * (now - self._tracks_at)))
        self._tracks_at = now
        if stamp in self._images:
            received, image = self._images[stamp]
            return self._show(stamp, received, image, array.tracks)
        if stamp == self._bare:
            self._bare = None
            return array
        self._arrays[stamp] = array
        while len(self._arrays) > _KEPT_ARRAYS:
            self._arrays.popitem(last=False)
        return None

    def begin(self, topic: str) -> None:
        """Forgets the images and starts with those of this topic."""
        self.topic = topic
        self._images.clear()
        self._arrays.clear()
        self._bytes, self._bare = 0, None

    def _show(self, stamp: _Stamp, received: float, image: ImageMessage, tracks: Sequence[Track] | None) -> Shown:
        if stamp not in self._images:  # a new image
            self._images.clear()
            self._bytes = 0
        while stamp in self._images:  # those before it would be older
            self._drop_oldest()
        self._bare = stamp if tracks is None else None
        return Shown(image, None if tracks is None else list(tracks), received, self.topic)

    def _keep(self, stamp: _Stamp, now: float, image: ImageMessage) -> None:
        former = self._images.pop(stamp, None)
        self._bytes += len(image.data) - (0 if former is None else len(former[1].data))
        self._images[stamp] = now, image
        while len(self._images) > 1 and (self._bytes > _KEPT_BYTES or now - self._oldest() > _KEPT_SECONDS):
            self._drop_oldest()

    def _oldest(self) -> float:
        return next(iter(self._images.values()))[0]

    def _drop_oldest(self) -> _Stamp:
        stamp, (_, image) = self._images.popitem(last=False)
        self._bytes -= len(image.data)
        return stamp


def _stamp(message: ImageMessage | TrackArray) -> _Stamp:
    return message.header.stamp.sec, message.header.stamp.nanosec
