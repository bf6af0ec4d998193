# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Several targets, and the search for a lost one, with the shipped network on drawn images."""

import numpy as np
import pytest
import torch

from atom_core.config import TrackerConfig
from atom_core.networks import weights
from atom_core.result import TrackState
from atom_core.tracker import AtomTracker, MultiTracker

CPU = torch.device("cpu")
SIDE = 40  # px, of the objects


@pytest.fixture(scope="module")
def network() -> weights.Network:
    return weights.load("default")


def _texture(seed: int) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(0, 256, (5, 5, 3))
    return np.kron(cells, np.ones((8, 8, 1))).astype(np.uint8)


def drawn(*objects: tuple[int, int, int], size: tuple[int, int] = (480, 360)) -> np.ndarray:
    """A textured background with an object of texture `seed` at each (seed, x, y)."""
    width, height = size
    cells = np.random.default_rng(99).integers(60, 120, (height // 8, width // 8, 3))
    image = np.kron(cells, np.ones((8, 8, 1))).astype(np.uint8)
    for seed, x, y in objects:
        image[y : y + SIDE, x : x + SIDE] = _texture(seed)
    return image


def box_at(x: int, y: int) -> tuple[float, float, float, float]:
    return x - 0.5, y - 0.5, float(SIDE), float(SIDE)


def is_at(box: tuple[float, ...], x: int, y: int) -> bool:
    return abs(box[0] + box[2] / 2 - x - SIDE / 2) < 10 and abs(box[1] + box[3] / 2 - y - SIDE / 2) < 10


def test_a_single_target_is_followed_as_by_atom_tracker(network) -> None:
    one, several = AtomTracker(network, CPU, TrackerConfig()), MultiTracker(network, CPU, TrackerConfig())
    first = drawn((1, 200, 150))
    one.initialize(first, box_at(200, 150))
    number = several.add(first, box_at(200, 150))
    for step in range(1, 4):
        image = drawn((1, 200 + 5 * step, 150))
        assert several.track(image) == {number: one.track(image)}


def test_targets_are_told_apart_and_numbers_are_not_used_again(network) -> None:
    tracker = MultiTracker(network, CPU, TrackerConfig(), max_targets=2)
    first = drawn((1, 100, 100), (2, 330, 220))
    a, b = tracker.add(first, box_at(100, 100)), tracker.add(first, box_at(330, 220))
    with pytest.raises(ValueError, match="2 targets already"):
        tracker.add(first, box_at(100, 100))
    results = tracker.track(drawn((1, 106, 103), (2, 325, 214)))
    assert is_at(results[a].box, 106, 103) and is_at(results[b].box, 325, 214)
    assert tracker.remove(a) and not tracker.remove(a)
    assert tracker.add(first, box_at(100, 100)) == 3
    assert tracker.target_ids == (b, 3)


def test_a_lost_target_is_found_elsewhere_only_if_the_search_is_on(network) -> None:
    states = {}
    for redetection in (True, False):
        tracker = AtomTracker(network, CPU, TrackerConfig(redetection=redetection))
        tracker.initialize(drawn((1, 60, 60)), box_at(60, 60))
        tracker.track(drawn((1, 64, 60)))
        gone = [tracker.track(drawn()).state for _ in range(3)]
        back = [tracker.track(drawn((1, 400, 290))) for _ in range(60)]
        states[redetection] = gone, back
    gone, back = states[True]
    assert gone[0] is TrackState.LOST and set(gone[1:]) == {TrackState.SEARCHING}
    assert back[-1].state is TrackState.TRACKING and is_at(back[-1].box, 400, 290)
    gone, back = states[False]
    assert set(gone) == {TrackState.LOST} == {result.state for result in back}
