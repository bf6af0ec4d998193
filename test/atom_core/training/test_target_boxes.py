# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from atom_core.training.config import TargetsConfig
from atom_core.training.target_boxes import draw_looseness, draw_target, loosen

OBJECT = np.array([40.0, 30.0, 24.0, 60.0])  # upright
PLAIN = np.full((160, 200, 3), 90, np.uint8)


def draws(config, image=PLAIN, count=300, objects=OBJECT[None], side=None):
    rng = np.random.default_rng(0)
    return np.stack([draw_target(objects, image, side, config, rng) for _ in range(count)])


def test_without_probabilities_the_targets_are_the_objects():
    objects = np.array([[1.0, 2, 30, 40], [50, 60, 20, 20]])
    assert {tuple(box) for box in draws(TargetsConfig(), objects=objects)} == {tuple(box) for box in objects}


def test_looseness_moves_each_side_by_its_share():
    # Left by 0.1 * 24, top by 0.2 * 60, right by 0, bottom inwards by 0.1 * 60.
    np.testing.assert_allclose(loosen(OBJECT, np.array((0.1, 0.2, 0.0, -0.1))), (37.6, 18.0, 26.4, 66.0))
    np.testing.assert_array_equal(loosen(OBJECT, np.zeros(4)), OBJECT)


def test_looseness_is_equal_all_about_in_half_of_the_draws_and_within_its_range():
    config = TargetsConfig(min_loose=-0.1, max_loose=0.25)
    rng = np.random.default_rng(1)
    drawn = np.stack([draw_looseness(config, rng) for _ in range(1000)])
    assert np.ptp(drawn, axis=1).astype(bool).mean() == pytest.approx(0.5, abs=0.05)
    assert -0.1 <= drawn.min() < -0.09
    assert 0.24 < drawn.max() <= 0.25


def test_parts_lie_in_the_object_and_are_smaller():
    drawn = draws(TargetsConfig(part_probability=1.0))
    start, end = drawn[:, :2], drawn[:, :2] + drawn[:, 2:]
    assert (start >= OBJECT[:2] - 1e-9).all()
    assert (end <= OBJECT[:2] + OBJECT[2:] + 1e-9).all()
    assert (drawn[:, 2:].prod(1) < OBJECT[2:].prod()).all()
    assert drawn[:, 2:].min() >= 8
    halves = np.isclose(drawn[:, 2:].prod(1), OBJECT[2:].prod() / 2)
    assert halves.mean() > 0.1
    heads = (drawn[:, 1] == OBJECT[1]) & (drawn[:, 3] < 30)
    assert heads.mean() > 0.3


def test_parts_of_what_is_tiny_are_the_whole():
    tiny = np.array([[5.0, 5, 9, 9]])
    assert np.unique(draws(TargetsConfig(part_probability=1.0), objects=tiny, count=50)[:, 2:].min(1)).min() >= 8


def test_regions_hold_texture_and_lie_in_the_image():
    image = PLAIN.copy()
    image[:, 100:] = np.random.default_rng(0).integers(0, 256, (160, 100, 3))
    drawn = draws(TargetsConfig(region_probability=1.0), image, side=30.0)
    found = drawn[(drawn != OBJECT).any(1)]
    assert len(found) > 250
    assert (found[:, 0] + found[:, 2] > 100).all()  # each reaches into the textured half
    assert (found[:, :2] >= 0).all()
    assert (found[:, :2] + found[:, 2:] <= (200, 160)).all()
    sides = np.sqrt(found[:, 2:].prod(1))
    assert 30 * np.exp(-0.4) - 1e-9 <= sides.min() < 22
    assert 42 < sides.max() <= 30 * np.exp(0.4) + 1e-9


def test_where_nothing_has_texture_the_object_is_the_target():
    drawn = draws(TargetsConfig(region_probability=1.0), count=10)
    np.testing.assert_array_equal(drawn, np.tile(OBJECT, (10, 1)))


def test_shares_of_the_kinds():
    image = np.random.default_rng(0).integers(0, 256, (160, 200, 3), np.uint8)
    drawn = draws(TargetsConfig(part_probability=0.3, region_probability=0.2), image, count=2000)
    assert (drawn == OBJECT).all(1).mean() == pytest.approx(0.5, abs=0.05)
