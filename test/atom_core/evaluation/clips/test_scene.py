# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from atom_core.evaluation.clips.scene import Scene, Sprite, paste


def white(height, width):
    return np.full((height, width, 4), 255, np.uint8)


def measured(image):
    """The box of what is brighter than half, from pixel edge to pixel edge."""
    rows, columns = np.nonzero(image.mean(2) > 127)
    return columns.min() - 0.5, rows.min() - 0.5, np.ptp(columns) + 1, np.ptp(rows) + 1


def sprite(frames, center, size, shown=None):
    return Sprite(
        [white(20, 30)],
        np.zeros(frames, int),
        np.tile(np.array(center, float), (frames, 1)),
        np.tile(np.array(size, float), (frames, 1)),
        np.ones(frames, bool) if shown is None else np.array(shown),
    )


def scene(target, **changes):
    frames = len(target)
    fields = {"scales": np.ones(frames), "offsets": np.zeros((frames, 2)), "size": (100, 80)} | changes
    return Scene(lambda index: np.zeros((80, 100, 3), np.uint8), np.array(target, float), **fields)


@pytest.mark.parametrize("size", [(30, 20), (-30, 20), (45, 30), (15, 10)])
def test_a_pasted_patch_fills_its_box(size):
    image = np.zeros((80, 100, 3), np.uint8)
    paste(image, white(20, 30), np.array((49.5, 39.5)), np.array(size, float))
    width, height = abs(size[0]), size[1]
    assert measured(image) == pytest.approx((49.5 - width / 2, 39.5 - height / 2, width, height), abs=1)


def test_a_negative_width_mirrors():
    patch = white(20, 30)
    patch[:, :15, :3] = 0  # black on the left
    image = np.full((80, 100, 3), 90, np.uint8)
    paste(image, patch, np.array((50.0, 40.0)), np.array((-30.0, 20.0)))
    assert image[40, 40].mean() > 250 and image[40, 60].mean() < 5


def test_what_lies_outside_the_image_is_not_pasted():
    image = np.zeros((80, 100, 3), np.uint8)
    paste(image, white(20, 30), np.array((-50.0, 40.0)), np.array((30.0, 20.0)))
    assert not image.any()
    paste(image, white(20, 30), np.array((-0.5, 40.5)), np.array((30.0, 20.0)))  # half of it
    assert measured(image) == pytest.approx((-0.5, 30.5, 15, 20), abs=1)


def test_truth_follows_the_camera():
    """Twice as large, and moved by (10, -20)."""
    made = scene([(10, 20, 30, 20)], scales=np.array((2.0,)), offsets=np.array(((10.0, -20.0),)))
    assert made.truth() == pytest.approx(np.array(((30, 20, 60, 40),)))
    here = scene([(10, 20, 30, 20)], sprites=[sprite(1, (25, 30), (30, 20))], size=(100, 80))
    assert measured(here.frame(0)) == pytest.approx((10, 20, 30, 20), abs=1)


def test_visible_by_hand():
    """Quite inside; a third outside on the left; outside; hidden by half; by a thing that is not shown; in a cut."""
    target = [(40, 30, 30, 20), (-10.5, 30, 30, 20), (200, 30, 30, 20), *[(40, 30, 30, 20)] * 3]
    cover = sprite(6, (47.5, 40), (15, 40), [False, False, False, True, False, True])
    made = scene(target, sprites=[cover], covers=(0,), cuts=np.array((-1, -1, -1, -1, -1, 0)))
    assert made.visible() == pytest.approx((1, 2 / 3, 0, 0.5, 1, 0))
    assert np.isnan(made.truth()[:, 0]).tolist() == [False, False, True, False, False, True]
    assert made.truth()[1] == pytest.approx((-10.5, 30, 30, 20))  # the whole box, also where a part is outside


def test_a_cut_shows_another_picture_and_light_is_changed():
    elsewhere = np.full((90, 110, 3), 100, np.uint8)
    gains = np.array(((1, 1, 1), (1.5, 1, 0.5)))
    made = scene([(40, 30, 30, 20)] * 2, cuts=np.array((-1, 0)), elsewhere=[elsewhere], gains=gains)
    assert not made.frame(0).any()
    assert (made.frame(1) == (150, 100, 50)).all() and made.frame(1).shape == (80, 100, 3)


def test_noise_is_of_the_frame():
    made = scene([(40, 30, 30, 20)] * 2, noise=5.0, seed=3, gains=np.ones((2, 3)))
    assert (made.frame(1) == made.frame(1)).all() and (made.frame(0) != made.frame(1)).any()
