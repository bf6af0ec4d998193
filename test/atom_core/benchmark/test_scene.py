# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from atom_core.benchmark.scene import Cast, DrawnScene

SIZES = [(240, 180), (100, 100), (64, 200), (160, 90)]


def cut(image: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    x, y, width, height = box
    column, row = round(x + 0.5), round(y + 0.5)
    return image[row : row + round(height), column : column + round(width)]


def test_the_target_is_where_its_box_says():
    scene = DrawnScene(480, 360)
    background = scene.image(0, Cast.NOBODY)
    assert background.shape == (360, 480, 3) and background.dtype == np.uint8
    target = cut(scene.image(0), scene.box(0))
    assert target.shape == (54, 54, 3)  # 0.15 of 360
    for index in (7, 30, 61):
        image, box = scene.image(index), scene.box(index)
        assert np.array_equal(cut(image, box), target)
        cut(image, box)[:] = cut(background, box)
        assert np.array_equal(image, background)  # there is nothing else
    assert scene.box(7) != scene.box(0) == scene.box(60)


@pytest.mark.parametrize("size", SIZES)
def test_all_stay_inside_and_the_look_alike_looks_alike(size):
    width, height = size
    scene = DrawnScene(width, height)
    for index in range(60):
        x, y, side, _ = scene.box(index)
        assert min(x, y) >= -0.5 and x + side <= width - 0.5 and y + side <= height - 0.5
        changed = np.any(scene.image(index, Cast.DISTRACTOR) != scene.image(index), axis=2)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        box = (columns[0] - 0.5, rows[0] - 0.5, columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        assert box[2:] == (side, side)
        both = scene.image(index, Cast.DISTRACTOR)
        assert np.array_equal(cut(both, box), cut(both, scene.box(index)))
        # In target sides: beyond 0.8 half crops of 2.5, so that it is not near, and its centre within the crop.
        assert 2.0 < np.hypot(box[0] - x, box[1] - y) / side < 2.5


def test_the_same_size_is_the_same_scene_and_images_are_the_callers_own():
    scene = DrawnScene(100, 80)
    first = scene.image(3)
    assert np.array_equal(first, DrawnScene(100, 80).image(3))
    first[:] = 0
    assert scene.image(3).any()


def test_images_too_small_to_draw_in_are_refused():
    with pytest.raises(ValueError, match="100x63 are too small to draw in; give 64"):
        DrawnScene(100, 63)
