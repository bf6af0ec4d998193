# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from atom_core.evaluation.clips.draft import Draft, ping_pong, shaking, smooth_path, smoothed


def draft(paths, world=(600, 480)):
    picture = np.zeros((world[1], world[0], 3), np.uint8)
    return Draft(lambda index: picture, world, np.array(paths, float), np.random.default_rng(0), lambda: None)


def test_ping_pong():
    assert ping_pong(4, 9).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert ping_pong(1, 3).tolist() == [0, 0, 0]


def test_paths_are_bounded_and_smooth():
    path = smooth_path(np.random.default_rng(0), 400, 10.0)
    assert path[0] == 0 and np.abs(path).max() <= 20  # twice the amplitude, since it begins at 0
    assert np.abs(np.diff(path)).max() <= 2 * np.pi * 10 / 30  # the fastest wave's slope


def test_shaking_has_its_deviation():
    path = shaking(np.random.default_rng(0), 4000, 3.0)
    assert not path[0].any() and path.std() == pytest.approx(3.0, rel=0.05)


def test_smoothing_keeps_a_constant_and_the_mean_of_a_step():
    values = np.array([[2.0, 0.0]] * 20 + [[2.0, 1.0]] * 20)
    result = smoothed(values, 4)
    assert result[:, 0] == pytest.approx(2) and result[19, 1] + result[20, 1] == pytest.approx(1)


def test_the_camera_centres_a_target_in_the_middle_and_stays_in_its_world():
    middle, corner = draft([(280, 220, 40, 40)] * 30), draft([(0, 0, 40, 40)] * 30)
    x, y, *_ = middle.scene().truth()[0]
    width, height = middle.view
    assert (x + 20, y + 20) == pytest.approx(((width - 1) / 2, (height - 1) / 2))
    assert corner.scene().truth()[0] == pytest.approx((0, 0, 40, 40))  # the view begins with the world


def test_a_target_that_fills_the_view_is_refused():
    with pytest.raises(ValueError, match="too large"):
        draft([(0, 0, 300, 40)] * 3)
