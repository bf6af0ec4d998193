# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch

from atom_core.classifier.localize import Limits, classify, find_peaks, limits, target_position
from atom_core.config import TrackerConfig
from atom_core.result import TrackState

CONFIG = TrackerConfig()
TARGET_SIZE = torch.tensor([57.6, 57.6])  # px: its area of neglect is 63.36 px about the peak on each side
# the state, and whether the filter is to learn from a distractor
NOT_FOUND, UNCERTAIN = (TrackState.LOST, False), (TrackState.UNCERTAIN, False)
HARD_NEGATIVE, NORMAL = (TrackState.TRACKING, True), (TrackState.TRACKING, False)

# Cells, and so crop px 16 (i - 1/2). Near is within 115.2 px of (143.5, 143.5).
MIDDLE = (136.0, 136.0)  # 10.6 px from the crop's centre: near
NEAR_LEFT = (40.0, 136.0)  # 103.8 px: near
RIGHT = (264.0, 136.0)  # 120.7 px: far
CORNER, OPPOSITE = (8.0, 8.0), (264.0, 264.0)  # far


def draw(*peaks, cells=18, sigma=0.9):
    """A score map with Gaussian peaks (position in crop px, height)."""
    line = np.arange(cells)
    scores = np.zeros((cells, cells))
    for (x, y), height in peaks:
        gx, gy = (np.exp(-0.5 * ((line - (p / 16 + 0.5)) / sigma) ** 2) for p in (x, y))
        scores += height * np.outer(gy, gx)
    return torch.from_numpy(scores).float()


class Localized(NamedTuple):
    """What device and host come to, put together as the tracker does."""

    position: torch.Tensor
    score: torch.Tensor
    second_position: torch.Tensor
    second_score: torch.Tensor
    state: tuple[TrackState, bool]


def bounds_of(target_size=TARGET_SIZE, config=CONFIG, dtype=torch.float32):
    return Limits.of(torch.from_numpy(limits(target_size.numpy(), config)).to(dtype))


def localize(scores, target_size, config):
    bounds = bounds_of(target_size, config, scores.dtype)
    peaks = find_peaks(scores, bounds, config.use_hann_window)
    found = classify(*peaks.scores.numpy(), *peaks.near.tolist(), config)
    first, second = (1, 0) if found.is_second else (0, 1)
    if found.state.is_visible:  # else the device's choice is not used
        assert torch.equal(target_position(peaks, bounds), peaks.positions[first])
    return Localized(
        peaks.positions[first], peaks.scores[first], peaks.positions[second], peaks.scores[second], found[:2]
    )


def run(*peaks, config=CONFIG, target_size=TARGET_SIZE):
    return localize(draw(*peaks), target_size, config)


def assert_place(actual, expected, tolerance=1.0):
    assert math.dist(actual.tolist(), expected) <= tolerance


@pytest.mark.parametrize(
    ("first", "second", "state", "place"),
    [
        # peak1 against the not-found threshold of 0.25
        ((MIDDLE, 0.24), None, NOT_FOUND, MIDDLE),
        ((MIDDLE, 0.26), None, NORMAL, MIDDLE),
        # peak2 against 0.8 peak1; both near
        ((MIDDLE, 1.0), (NEAR_LEFT, 0.81), UNCERTAIN, MIDDLE),
        ((MIDDLE, 1.0), (NEAR_LEFT, 0.79), HARD_NEGATIVE, MIDDLE),
        # both far
        ((CORNER, 1.0), (OPPOSITE, 0.9), UNCERTAIN, CORNER),
        # the first near, the second far
        ((MIDDLE, 1.0), (RIGHT, 0.9), HARD_NEGATIVE, MIDDLE),
        # the first far, the second near: the near one is the target, if it is high enough
        ((RIGHT, 1.0), (MIDDLE, 0.81), HARD_NEGATIVE, MIDDLE),
        ((RIGHT, 1.0), (MIDDLE, 0.79), HARD_NEGATIVE, RIGHT),
        # peak2 against 0.5 peak1
        ((MIDDLE, 1.0), (NEAR_LEFT, 0.51), HARD_NEGATIVE, MIDDLE),
        ((MIDDLE, 1.0), (NEAR_LEFT, 0.49), NORMAL, MIDDLE),
        # ... and against 0.25
        ((MIDDLE, 0.4), (NEAR_LEFT, 0.26), HARD_NEGATIVE, MIDDLE),
        ((MIDDLE, 0.4), (NEAR_LEFT, 0.24), NORMAL, MIDDLE),
        # not found goes before everything else, and never moves to the second peak
        ((RIGHT, 0.24), (MIDDLE, 0.23), NOT_FOUND, RIGHT),
    ],
)
def test_every_branch_of_the_table(first, second, state, place):
    peaks = [first] if second is None else [first, second]
    result = run(*peaks)
    assert result.state == state
    assert_place(result.position, place, tolerance=2.5)  # at the border the map ends amid the peak
    heights = dict(peaks)
    assert result.score.item() == pytest.approx(heights[place], rel=0.01)
    if second is not None:
        other = second[0] if place == first[0] else first[0]
        assert_place(result.second_position, other, tolerance=2.5)
        assert result.second_score.item() == pytest.approx(heights[other], rel=0.01)


def test_thresholds_are_the_configuration_s():
    config = dataclasses.replace(
        CONFIG, not_found_threshold=0.1, distractor_threshold=0.95, hard_negative_threshold=0.85, near_limit=0.5
    )
    assert run((MIDDLE, 0.2), config=config).state == NORMAL
    assert run((MIDDLE, 1.0), (NEAR_LEFT, 0.8), config=config).state == NORMAL
    assert run((MIDDLE, 1.0), (NEAR_LEFT, 0.9), config=config).state == HARD_NEGATIVE
    assert run((MIDDLE, 1.0), (NEAR_LEFT, 0.97), config=config).state == HARD_NEGATIVE  # 103.8 px is now far


@pytest.mark.parametrize(("distance", "state"), [(48.0, NORMAL), (80.0, UNCERTAIN)])
@pytest.mark.parametrize("axis", [0, 1])
def test_second_peak_must_lie_outside_the_target_s_area(axis, distance, state):
    # 2.2 / 2 * size = 48 + 16 px: the area ends a cell beyond the one peak and a cell before the other.
    second = [*MIDDLE]
    second[axis] -= distance
    scores = torch.maximum(draw((MIDDLE, 1.0)), draw((tuple(second), 0.95), sigma=0.3))
    result = localize(scores, torch.tensor([64 / 1.1, 64 / 1.1]), CONFIG)
    assert result.state == state


def test_area_follows_the_target_s_shape():
    wide = torch.tensor([120.0, 30.0])  # 132 px to each side, 33 px up and down
    assert run((MIDDLE, 1.0), (NEAR_LEFT, 0.9), target_size=wide).state == NORMAL
    assert run((MIDDLE, 1.0), ((136.0, 40.0), 0.9), target_size=wide).state == UNCERTAIN


def test_area_over_the_whole_map_leaves_no_second_peak():
    result = run((MIDDLE, 1.0), target_size=torch.tensor([900.0, 900.0]))
    assert result.state == NORMAL
    assert result.second_score.item() == -math.inf
    assert_place(result.position, MIDDLE)


@pytest.mark.parametrize("position", [(-8.0, -8.0), (-8.0, 136.0), (264.0, 8.0), (136.0, 264.0), (264.0, 264.0)])
def test_peak_on_the_border_is_found_once(position):
    result = run((position, 1.0))
    assert_place(result.position, position, tolerance=2.5)
    assert result.state == NORMAL  # no echo at the opposite border
    assert result.second_score < 0.1


def test_peaks_are_found_between_the_cells():
    rng = np.random.default_rng(0)
    for noise, bound in ((0.0, 0.6), (0.02, 1.0)):
        errors = []
        for _ in range(150):
            place = rng.uniform(40, 216, 2)
            scores = draw((place, 1.0)) + torch.from_numpy(rng.normal(0, noise, (18, 18))).float()
            errors.append(math.dist(localize(scores, TARGET_SIZE, CONFIG).position.tolist(), place))
        assert np.sqrt(np.mean(np.square(errors))) < bound  # px, the rounding to whole px of 0.41 included


def interpolate(values):
    """A line of values by Gaussian kernels of sigma 1 cell about their mean: solve for the heights, then add up."""
    cells = np.arange(len(values))
    fine = (np.arange(16 * len(values)) + 0.5) / 16 - 0.5
    heights = np.linalg.solve(np.exp(-0.5 * (cells[:, None] - cells) ** 2), values - values.mean())
    bumps = [height * np.exp(-0.5 * (fine - cell) ** 2) for height, cell in zip(heights, cells, strict=True)]
    return values.mean() + np.sum(bumps, axis=0)


def dense(scores):
    return np.apply_along_axis(interpolate, 0, np.apply_along_axis(interpolate, 1, scores))


@pytest.mark.parametrize("seed", range(3))
def test_against_a_dense_interpolation(seed):
    scores = np.random.default_rng(seed).uniform(0, 1, (18, 18))
    fine = dense(scores)
    row, column = np.unravel_index(fine.argmax(), fine.shape)
    result = localize(torch.from_numpy(scores), TARGET_SIZE, CONFIG)
    # Fine sample k is at cell (k + 1/2) / 16 - 1/2, that is crop px k - 15.5.
    assert result.position.tolist() == [column - 15.5, row - 15.5]
    assert result.score.item() == pytest.approx(fine.max(), abs=1e-9)

    centers = np.arange(288)
    rows, columns = (np.abs(centers - c) > 63.36 for c in (row, column))
    fine[~(rows[:, None] | columns)] = -np.inf
    row2, column2 = np.unravel_index(fine.argmax(), fine.shape)
    assert result.second_score.item() == pytest.approx(fine.max(), abs=1e-9)
    assert result.second_position.tolist() == [column2 - 15.5, row2 - 15.5]


@pytest.mark.parametrize("value", [0.0, 1.0, -0.3, 1e-30, 1e30])
def test_constant_map_gives_finite_numbers(value):
    result = localize(torch.full((18, 18), value), TARGET_SIZE, CONFIG)
    assert result.score.item() == pytest.approx(value, rel=1e-5)
    assert all(torch.isfinite(t).all() for t in result[:4])
    assert (result.state == NOT_FOUND) == (value < 0.25)


def test_nan_scores_are_not_found():
    scores = draw((MIDDLE, 1.0))
    scores[3, 3] = math.nan
    assert localize(scores, TARGET_SIZE, CONFIG).state == NOT_FOUND


def test_vot_has_no_lost_state_and_no_rivals():
    config = TrackerConfig.vot()
    low = draw(((104.0, 104.0), 0.1), cells=14)
    assert localize(low, TARGET_SIZE, config).state == NORMAL
    negative = localize(low - 0.5, TARGET_SIZE, config)  # all scores are below 0
    assert negative.state == NORMAL
    assert_place(negative.position, (104.0, 104.0))
    two = draw(((104.0, 104.0), 1.0), ((24.0, 104.0), 0.95), cells=14)
    # The window at 87.5 px of 112 from the centre is 0.5 + 0.5 cos(0.78 pi) = 0.11, so 0.95 falls below 0.3.
    assert localize(two, TARGET_SIZE, config).state == NORMAL
    assert localize(two, TARGET_SIZE, dataclasses.replace(config, use_hann_window=False)).state == HARD_NEGATIVE


def test_hann_window_prefers_the_middle():
    config = dataclasses.replace(CONFIG, use_hann_window=True)
    right = (232.0, 136.0)
    result = run((right, 1.0), (MIDDLE, 0.6), config=config)
    assert_place(result.position, MIDDLE)
    # 0.5 + 0.5 cos(pi d / 144) at d = 7.5 px in x and y from the centre (143.5, 143.5).
    assert result.score.item() == pytest.approx(0.6 * (0.5 + 0.5 * math.cos(math.pi * 7.5 / 144)) ** 2, rel=0.01)
    assert_place(run((right, 1.0), (MIDDLE, 0.6)).position, right)


def test_device_and_host_agree_on_which_peak_is_the_target():
    """Both compare in float32: at a threshold met exactly, one must not take the other peak."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        first = np.float32(rng.uniform(0.3, 1))
        for second in (np.nextafter(first * np.float32(0.8), np.float32(s)) for s in (0, 1, 2)):
            peaks = find_peaks(torch.zeros(18, 18), bounds_of(), False)._replace(
                scores=torch.tensor([first, second]),
                positions=torch.tensor([[1.0, 1.0], [2.0, 2.0]]),
                near=torch.tensor([False, True]),
            )
            is_second = classify(*peaks.scores.numpy(), False, True, CONFIG).is_second
            assert target_position(peaks, bounds_of())[0] == (2.0 if is_second else 1.0)


def test_runs_on_meta():
    bounds = Limits.of(torch.empty(4, device="meta"))
    peaks = find_peaks(torch.empty(18, 18, device="meta"), bounds, use_hann_window=True)
    position = target_position(peaks, bounds)
    assert {t.device.type for t in (*peaks, position)} == {"meta"}
    assert [tuple(t.shape) for t in (*peaks, position)] == [(2,), (2, 2), (2,), (2,)]


def test_compiles_as_one_graph():
    def place(scores, held):
        return target_position(find_peaks(scores, held, False), held)

    scores = draw((RIGHT, 1.0), (MIDDLE, 0.9))
    compiled = torch.compile(place, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(scores, bounds_of()), place(scores, bounds_of()))
