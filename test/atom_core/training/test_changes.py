# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import cv2
import numpy as np
import pytest

from atom_core.training.changes import change_pixels, occlude, warp, warp_boxes
from atom_core.training.config import ChangesConfig

NONE = ChangesConfig()
PIXELS = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_no_change_is_no_change():
    np.testing.assert_array_equal(change_pixels(PIXELS, NONE, rng()), PIXELS)


def test_boxes_follow_shift_scale_and_stretch_exactly():
    matrix = np.array(((2.0, 0, 5), (0, 0.5, -3), (0, 0, 1)))
    moved = warp_boxes(np.array([[10.0, 20, 30, 40], [0, 0, 4, 4]]), matrix)
    np.testing.assert_allclose(moved, [[25, 7, 60, 20], [5, -3, 8, 2]])


def test_boxes_keep_their_size_under_a_rotation():
    angle = np.radians(20)
    matrix = np.array(((np.cos(angle), -np.sin(angle), 0), (np.sin(angle), np.cos(angle), 0), (0, 0, 1)))
    (moved,) = warp_boxes(np.array([[10.0, 20, 30, 40]]), matrix)
    np.testing.assert_allclose(moved[2:], (30, 40))
    center = matrix[:2, :2] @ (25, 40)
    np.testing.assert_allclose(moved[:2] + moved[2:] / 2, center)


def test_image_and_boxes_are_warped_alike():
    config = replace(NONE, max_rotation=8.0, max_perspective=0.06)
    image = np.full((120, 160, 3), 30, np.uint8)
    image[40:70, 60:100] = 220
    for seed in range(12):
        warped, matrix = warp(image, config, rng(seed))
        assert warped.shape == image.shape
        ((x, y, w, h),) = warp_boxes(np.array([[59.5, 39.5, 40, 30]]), matrix)
        share = (warped[..., 0].astype(float) - 30) / 190
        middle = share.sum(0) @ np.arange(160) / share.sum(), share.sum(1) @ np.arange(120) / share.sum()
        np.testing.assert_allclose((x + w / 2, y + h / 2), middle, atol=0.6)
        assert w * h == pytest.approx(share.sum(), rel=0.06)
    assert not np.array_equal(warped, image)


@pytest.mark.parametrize("name", ["blur", "resolution", "noise", "jpeg"])
def test_each_change_has_its_probability(name):
    always = replace(NONE, **{f"{name}_probability": 1.0})
    changed = change_pixels(PIXELS, always, rng())
    assert changed.shape == PIXELS.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, PIXELS)
    half = replace(NONE, **{f"{name}_probability": 0.5})
    share = np.mean([not np.array_equal(change_pixels(PIXELS, half, rng(seed)), PIXELS) for seed in range(200)])
    assert share == pytest.approx(0.5, abs=0.1)


def test_blur_and_coarseness_lower_the_contrast_and_keep_the_mean():
    for name in ("blur", "resolution"):
        changed = change_pixels(PIXELS, replace(NONE, **{f"{name}_probability": 1.0}), rng(3))
        assert changed.std() < 0.8 * PIXELS.std()
        assert changed.mean() == pytest.approx(PIXELS.mean(), abs=2)


def test_contrast_and_colour_are_bounded():
    flat = np.full((8, 8, 3), 100, np.uint8)
    levels = np.stack([change_pixels(flat, replace(NONE, colour=0.2), rng(seed))[0, 0] for seed in range(200)])
    assert 80 <= levels.min() < 83
    assert 117 < levels.max() <= 120
    # Contrast moves levels about the mean: a flat crop stays as it is.
    np.testing.assert_allclose(change_pixels(flat, replace(NONE, contrast=0.5), rng(1)), flat, atol=1)


def test_an_occluder_covers_a_quarter_to_a_half_of_the_box_at_a_side():
    size = 96
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[:, :] = (np.arange(size) * 2)[None, :, None]  # each column its own level
    pixels[::2] += 1
    box = np.array([30.0, 30, 32, 40])
    shares = []
    for seed in range(60):
        covered = (occlude(pixels, box, rng(seed)) != pixels).any(2)
        inside = covered[30:70, 30:62].mean()
        shares.append(inside)
        outside = covered.copy()
        outside[22:80, 24:70] = False
        assert not outside.any()
    assert 0.1 < np.median(shares) < 0.6
    assert min(shares) < 0.3 < max(shares)


def test_changes_are_a_function_of_the_generator():
    config = ChangesConfig(blur_probability=0.5, noise_probability=0.5, jpeg_probability=0.5, contrast=0.2, colour=0.1)
    one, same, other = (change_pixels(PIXELS, config, rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_crop_is_decoded_in_its_own_order_of_channels():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    changed = change_pixels(red, replace(NONE, jpeg_probability=1.0), rng())
    assert changed[..., 0].mean() == pytest.approx(200, abs=4)
    assert changed[..., 2].mean() < 4
    assert cv2.mean(changed)[1] < 4
