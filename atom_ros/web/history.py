# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Each target's states and confidences over the last minute."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from atom_ros.web.protocol import finite
from atom_tracker.msg import Track

SECONDS = 60.0
_INTERVAL = 0.1  # s between two samples of a target, unless its state changes
_MOST = 20_000  # samples of all targets together
# Number of the sample; s of the clock; the target's number, status and confidence.
HistorySample = tuple[int, float, int, int, float | None]


class History:
    """Samples of the Tracks, numbered from 1, so that a client can ask for those after its last one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[HistorySample] = deque(maxlen=_MOST)
        self._newest: dict[int, HistorySample] = {}
        self._count = 0

    def add(self, tracks: Iterable[Track]) -> None:
        """Adds the Tracks of one image."""
        now = self._clock()
        for track in tracks:
            last = self._newest.get(track.target_id)
            if last is not None and last[3] == track.status and now - last[1] < _INTERVAL:
                continue
            self._count += 1
            sample = self._count, now, track.target_id, track.status, finite(round(track.confidence, 3))
            self._samples.append(sample)
            self._newest[track.target_id] = sample
        while self._samples and now - self._samples[0][1] > SECONDS:
            oldest = self._samples.popleft()
            if self._newest.get(oldest[2]) is oldest:
                del self._newest[oldest[2]]

    def after(self, number: int) -> Sequence[HistorySample]:
        """The samples of the last minute after sample `number`."""
        since = self._clock() - SECONDS
        found = []
        for sample in reversed(self._samples):
            if sample[0] <= number or sample[1] < since:
                break
            found.append(sample)
        return found[::-1]
