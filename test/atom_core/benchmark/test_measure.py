# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from atom_core.benchmark.measure import Plan, frames_to_fill, measure_baseline
from atom_core.benchmark.scene import DrawnScene
from atom_core.config import FIRST_FRAME_CROPS, TrackerConfig
from atom_core.result import TrackResult, TrackState


class Still:
    """A tracker that returns the given box, lost in every second frame."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def initialize(self, image: np.ndarray, box: tuple[float, ...]) -> None:
        self._box = tuple(box)
        self.calls.append("initialize")

    def track(self, image: np.ndarray) -> TrackResult:
        self.calls.append("track")
        state = TrackState.TRACKING if self.calls.count("track") % 2 else TrackState.LOST
        return TrackResult(self._box, 1.0, 1.0, state, False)


def test_frames_until_the_memory_is_full() -> None:
    config = TrackerConfig(memory_size=100, dropout_samples=2)
    assert frames_to_fill(config) == 98 - FIRST_FRAME_CROPS


def test_a_baseline_is_measured_as_often_as_the_plan_says() -> None:
    tracker = Still()
    plan = Plan(warm_up=2, frames=5, samples=9, initializations=3)
    frames = measure_baseline(tracker, DrawnScene(96, 80), plan)["frames"]
    assert tracker.calls.count("initialize") == 3 and tracker.calls.count("track") == 2 + 5
    assert frames["initialize"]["time"]["count"] == 3
    video = frames["video"]
    assert video["time"]["count"] == 5 and video["hard_negatives"] == 0
    assert video["states"] == {"tracking": 3, "lost": 2}, "frames 3 to 7: odd ones are tracked"
    assert [point["frame"] for point in video["memory"]] == [1, 2, 3, 4, 5]
    assert all("host_mb" in point and "host_peak_mb" not in point for point in video["memory"])
