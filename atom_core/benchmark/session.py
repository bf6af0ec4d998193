# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A tracker on a drawn video that produces frames of a chosen kind and measures each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from atom_core.benchmark.scene import Cast, DrawnScene
from atom_core.config import TrackerConfig
from atom_core.evaluation.runner import Tracker
from atom_core.result import TrackResult, TrackState

Reading = TypeVar("Reading", covariant=True)
Result = TypeVar("Result")


class Meter(Protocol[Reading]):
    """Runs a function and measures it."""

    def __call__(self, run: Callable[[], Result], /) -> tuple[Result, Reading]:
        """The result of `run`, and the measurement."""
        ...


class MeasuredTracker(Tracker, Protocol):
    """A tracker whose settings can be changed."""

    config: TrackerConfig


Measured = TypeVar("Measured", bound=Tracker, covariant=True)


@dataclass(frozen=True)
class Kind:
    """A kind of frame, whose work differs from that of other kinds.

    Attributes:
        name: of its figures.
        cast: the objects in the image.
        interval: the update interval, so that the filter is updated in each frame or in none.
        forcing: thresholds that make every image a frame of this kind.
        fits: whether a result is one of this kind.
    """

    name: str
    cast: Cast
    interval: int
    forcing: dict[str, Any]
    fits: Callable[[TrackResult], bool]


_ALWAYS, _NEVER = 1, 1_000_000  # frames between updates
_SURE = {
    "not_found_threshold": -1.0,
    "distractor_threshold": 100.0,
    "hard_negative_threshold": 100.0,
    "recognition": 0.0,
}


def _is_sure(result: TrackResult) -> bool:
    return result.state is TrackState.TRACKING and not result.hard_negative


def _is_gone(result: TrackResult) -> bool:
    return not result.state.is_visible


KINDS = (
    Kind("plain", Cast.TARGET, _NEVER, _SURE, _is_sure),
    Kind("update", Cast.TARGET, _ALWAYS, _SURE, _is_sure),
    Kind(
        "hard_negative",
        Cast.DISTRACTOR,
        _NEVER,
        _SURE | {"hard_negative_threshold": 0.0},
        lambda result: result.hard_negative,
    ),
    Kind("lost", Cast.NOBODY, _NEVER, {"not_found_threshold": 1.0}, _is_gone),
)


class TrackedScene(Generic[Measured]):
    """A tracker and its position in a scene."""

    def __init__(self, tracker: Measured, scene: DrawnScene) -> None:
        self.tracker, self.scene = tracker, scene
        self._index = 0

    def initialize(self, count: int, meter: Meter[Reading]) -> list[Reading]:
        """Learns the target of the first image, `count` times."""
        self._index = 0
        image, box = self.scene.image(0), self.scene.box(0)
        return [meter(lambda: self.tracker.initialize(image, box))[1] for _ in range(count)]

    def follow(
        self, count: int, meter: Meter[Reading], cast: Cast = Cast.TARGET
    ) -> Iterator[tuple[TrackResult, Reading]]:
        """Tracks through the next `count` images."""
        for _ in range(count):
            self._index += 1
            image = self.scene.image(self._index, cast)
            yield meter(partial(self.tracker.track, image))


@dataclass(frozen=True)
class Readings(Generic[Reading]):
    """Frames of one kind.

    Attributes:
        readings: of the frames that were of this kind.
        forced: how many of them are of this kind through changed thresholds.
        others: how many frames were not of this kind, and not counted.
    """

    readings: list[Reading]
    forced: int
    others: int


def observe(video: TrackedScene[MeasuredTracker], kind: Kind, count: int, meter: Meter[Reading]) -> Readings[Reading]:
    """Measures up to `count` frames of a kind, in at most twice as many images.

    The images are chosen to produce frames of this kind. If the tracker decides otherwise, its thresholds are changed
    to force it: the images and the work remain real. The configuration is restored afterwards.

    Args:
        video: of an AtomTracker with a target.
        kind: to measure.
        count: of frames.
        meter: measures each.
    """
    tracker = video.tracker
    before = tracker.config
    # Each kind of frame does all of its work: an update spread over frames would count partly for other kinds.
    tracker.config = unforced = dataclasses.replace(before, update_interval=kind.interval, update_spread=1)
    readings, forced, others = [], 0, 0
    for result, reading in video.follow(2 * count, meter, kind.cast):
        if kind.fits(result):
            readings.append(reading)
            forced += tracker.config is not unforced
        else:
            others += 1
            tracker.config = dataclasses.replace(unforced, **kind.forcing)
        if len(readings) == count:
            break
    tracker.config = before
    return Readings(readings, forced, others)
