# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of the node's benchmark, from the received Tracks: plain arithmetic, without ROS.

All times are from one clock, since camera, node and listener run on one machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

_NANOSECONDS_PER_MS = 1e6
_MINUTE = 60e9  # ns


@dataclass(frozen=True)
class Sample:
    """One image's times from publication to its Track's arrival."""

    stamp: int  # ns, of the image: just before it was published
    published: int  # ns, when the node published the Track
    arrival: int  # ns, when the Track arrived
    processing_ms: float  # the tracker's computing time

    @property
    def delay_ms(self) -> float:
        """From the image's publication to its Track."""
        return (self.arrival - self.stamp) / _NANOSECONDS_PER_MS

    @property
    def overhead_ms(self) -> float:
        """The delay minus the tracker's time: transport, node, and the wait while the previous image is processed."""
        return self.delay_ms - self.processing_ms


@dataclass(frozen=True)
class Spread:
    """Summary of a series of times, in ms."""

    count: int
    median: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Summarises values; raises ValueError if there are none."""
        values = np.fromiter(values, float)
        if values.size == 0:
            raise ValueError("no times were measured; expected at least one")
        median, p95 = np.percentile(values, (50, 95))
        return cls(values.size, float(median), float(p95), float(values.max()))

    def __str__(self) -> str:
        return f"{self.median:.1f} ms median, {self.p95:.1f} ms p95, {self.max:.1f} ms max"


def own_overheads(samples: Sequence[Sample]) -> list[float]:
    """The overheads without the wait for the tracker, ms: each image's time starts when the previous one is done.

    An image waits while the tracker is busy, which is the tracker's time and not the node's. Transport during the wait
    costs nothing and is not counted.
    """
    overheads = []
    for before, sample in zip([None, *samples], samples, strict=False):
        waited = 0 if before is None else max(0, before.published - sample.stamp)
        overheads.append(sample.overhead_ms - waited / _NANOSECONDS_PER_MS)
    return overheads


def excesses(samples: Iterable[Sample], period_ms: float) -> list[float]:
    """The delay of each image beyond one frame time (`period_ms`) and its own tracking time, ms.

    With a camera faster than the tracker, the newest image is at most one frame time old when the tracker is free. So
    the rest is transport and node; it would grow if images queued up.
    """
    return [sample.delay_ms - period_ms - sample.processing_ms for sample in samples]


def by_minute(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The samples of each minute since the first stamp; minutes without samples are empty."""
    minutes: list[list[Sample]] = []
    for sample in samples:
        minute = int((sample.stamp - samples[0].stamp) // _MINUTE)
        while len(minutes) <= minute:
            minutes.append([])
        minutes[minute].append(sample)
    return minutes


def overhead_figures(samples: Sequence[Sample]) -> dict[str, object]:
    """Overheads, with and without the wait for the tracker, and the tracker's times; ready for JSON."""
    return {
        "tracks": len(samples),
        "processing_ms": asdict(Spread.of(sample.processing_ms for sample in samples)),
        "overhead_ms": asdict(Spread.of(sample.overhead_ms for sample in samples)),
        "own_overhead_ms": asdict(Spread.of(own_overheads(samples))),
    }


def delay_figures(samples: Sequence[Sample], period_ms: float) -> dict[str, object]:
    """Delays and excesses of a run, as a whole and minute by minute; ready for JSON."""
    minutes = [
        {
            "minute": number,
            "delay_ms": asdict(Spread.of(s.delay_ms for s in minute)),
            "excess_ms": asdict(Spread.of(excesses(minute, period_ms))),
        }
        for number, minute in enumerate(by_minute(samples), start=1)
        if minute
    ]
    return {
        "delay_ms": asdict(Spread.of(s.delay_ms for s in samples)),
        "excess_ms": asdict(Spread.of(excesses(samples, period_ms))),
        "minutes": minutes,
    }
