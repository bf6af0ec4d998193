# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest

from atom_core.benchmark.scene import DrawnScene
from atom_core.benchmark.session import KINDS, Readings, TrackedScene, observe
from atom_core.config import TrackerConfig
from atom_core.result import TrackResult, TrackState

PLAIN, UPDATE, HARD_NEGATIVE, LOST = KINDS


class SteadyTracker:
    """Sees the same two peaks in every image; its configuration decides what it makes of them."""

    def __init__(self, score: float, second_score: float) -> None:
        self.config = TrackerConfig()
        self.score, self.second_score = score, second_score
        self.intervals = []

    def initialize(self, image, box) -> None:
        self.box = box

    def track(self, image) -> TrackResult:
        self.intervals.append(self.config.update_interval)
        found = self.score >= self.config.not_found_threshold
        hard = found and self.second_score > self.config.hard_negative_threshold * self.score
        return TrackResult(self.box, self.score, 0.5, TrackState.TRACKING if found else TrackState.LOST, hard)


def observed(kind, tracker: SteadyTracker, count: int = 3) -> Readings[int]:
    video = TrackedScene(tracker, DrawnScene(64, 64))
    video.initialize(1, lambda run: (run(), None))
    readings = iter(range(100))
    return observe(video, kind, count, lambda run: (run(), next(readings)))


@pytest.mark.parametrize(
    ("kind", "score", "second_score"),
    [(PLAIN, 0.9, 0.1), (UPDATE, 0.9, 0.1), (HARD_NEGATIVE, 0.9, 0.8), (LOST, 0.1, 0.0)],
)
def test_frames_that_are_of_the_kind_are_measured_as_they_come(kind, score, second_score):
    tracker = SteadyTracker(score, second_score)
    assert observed(kind, tracker) == Readings(readings=[0, 1, 2], forced=0, others=0)
    assert len(set(tracker.intervals)) == 1 and (tracker.intervals[0] == 1) == (kind is UPDATE)


@pytest.mark.parametrize(
    ("kind", "score", "second_score"),
    [(PLAIN, 0.1, 0.1), (UPDATE, 0.9, 0.8), (HARD_NEGATIVE, 0.9, 0.1), (LOST, 0.9, 0.1)],
)
def test_others_are_left_out_and_thresholds_make_the_next_ones_be_of_the_kind(kind, score, second_score):
    tracker = SteadyTracker(score, second_score)
    assert observed(kind, tracker) == Readings(readings=[1, 2, 3], forced=3, others=1)
    assert tracker.config == TrackerConfig()


def test_it_gives_up_after_twice_as_many_images():
    tracker = SteadyTracker(score=1.5, second_score=0)  # above every threshold
    assert observed(LOST, tracker) == Readings(readings=[], forced=0, others=6)


def test_the_video_goes_on_and_starts_anew():
    images = []
    tracker = SteadyTracker(0.9, 0.1)
    tracker.track = lambda image: images.append(image)
    scene = DrawnScene(64, 64)
    video = TrackedScene(tracker, scene)
    for _ in range(2):
        assert video.initialize(2, lambda run: (run(), "reading")) == ["reading"] * 2
        assert tracker.box == scene.box(0)
        list(video.follow(1, lambda run: (run(), None)))
        list(video.follow(2, lambda run: (run(), None)))
    assert [(image == scene.image(index)).all() for image, index in zip(images, (1, 2, 3) * 2, strict=True)] == [
        True
    ] * 6
