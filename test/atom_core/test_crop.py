# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_core import boxes
from atom_core.crop import sample_crop


def crop_of(image, region, crop_size):
    """(S, S, 3) numpy."""
    return sample_crop(torch.from_numpy(np.ascontiguousarray(image)), region, crop_size).permute(1, 2, 0).numpy()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def bilinear(image, region, crop_size):
    """Plain bilinear interpolation, pixel by pixel, in float64; outside the image its border is repeated."""
    x0, y0, side = region
    height, width, _ = image.shape
    out = np.zeros((crop_size, crop_size, 3))

    def pixel(row, column):
        return image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)].astype(np.float64)

    for v in range(crop_size):
        for u in range(crop_size):
            x = (u + 0.5) * side / crop_size - 0.5 + x0
            y = (v + 0.5) * side / crop_size - 0.5 + y0
            i, j = int(np.floor(x)), int(np.floor(y))
            a, b = x - i, y - j
            top = (1 - a) * pixel(j, i) + a * pixel(j, i + 1)
            bottom = (1 - a) * pixel(j + 1, i) + a * pixel(j + 1, i + 1)
            out[v, u] = (1 - b) * top + b * bottom
    return out


@settings(max_examples=25)
@given(st.integers(-20, 40), st.integers(-20, 40), st.integers(1, 24), st.sampled_from([24, 25]))
def test_enlarging_is_bilinear_interpolation(x0, y0, side, crop_size):
    image = noise(23, 30)
    np.testing.assert_allclose(
        crop_of(image, (x0, y0, side), crop_size), bilinear(image, (x0, y0, side), crop_size), atol=0.01
    )


def test_a_crop_of_its_own_size_is_a_copy():
    image = noise(40, 50)
    np.testing.assert_array_equal(crop_of(image, (7, 5, 32), 32), image[5:37, 7:39])


@given(st.integers(2, 60), st.integers(2, 60), st.integers(1, 190), st.sampled_from([16, 31, 48]))
def test_linear_ramps_are_reproduced_inside_the_image(x0, y0, side, crop_size):
    rows, columns = np.mgrid[0:256, 0:256]
    image = np.stack((columns, rows, 255 - columns), axis=-1).astype(np.uint8)
    x = (np.arange(crop_size) + 0.5) * side / crop_size - 0.5
    expected = np.broadcast_arrays((x0 + x)[None], (y0 + x)[:, None], (255 - x0 - x)[None])
    np.testing.assert_allclose(crop_of(image, (x0, y0, side), crop_size), np.stack(expected, -1), atol=0.002)


@pytest.mark.parametrize(("x0", "y0"), [(0, 0), (3, 4), (5, 9)])
def test_halving_is_the_mean_of_2_by_2_pixels(x0, y0):
    image = noise(50, 60)
    expected = image[y0 : y0 + 32, x0 : x0 + 32].reshape(16, 2, 16, 2, 3).astype(np.float64).mean((1, 3))
    np.testing.assert_allclose(crop_of(image, (x0, y0, 32), 16), expected, atol=1e-3)


def test_a_sixth_is_the_mean_of_four_spread_pixels():
    # Output pixel 0 is centred on image px 2.5; its taps are 3 px apart: pixels 1 and 4, with equal weights.
    image = noise(50, 60)
    block = image[4:46, 6:48].reshape(7, 6, 7, 6, 3).astype(np.float64)
    expected = block[:, [1, 4]][:, :, :, [1, 4]].mean((1, 3))
    np.testing.assert_allclose(crop_of(image, (6, 4, 42), 7), expected, atol=1e-3)


@pytest.mark.parametrize("side", [32, 40, 64, 100, 160])
def test_shrinking_averages_noise(side):
    # One pixel in place of many would keep the variance; two taps along each axis leave at most (0.75^2 + 0.25^2)^2 =
    # 0.39 of it where their weights lie in 0.25..0.75, which holds from a spacing of 2 on.
    image = noise(170, 170)
    kept = crop_of(image, (3, 3, side), 16).var() / image.var()
    assert kept < (0.45 if side >= 48 else 0.7)


@given(
    st.integers(-90, 90), st.integers(-90, 90), st.integers(1, 70), st.sampled_from([8, 17]), st.sampled_from([11, 32])
)
def test_outside_the_image_its_border_is_repeated(x0, y0, side, crop_size, width):
    image, pad = noise(20, width), 200
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    np.testing.assert_allclose(
        crop_of(image, (x0, y0, side), crop_size), crop_of(padded, (x0 + pad, y0 + pad, side), crop_size), atol=0.01
    )


@pytest.mark.parametrize("image_size", [(120, 161), (121, 160)])
@pytest.mark.parametrize("side", [20, 33, 64, 100, 119])
def test_a_drawn_dot_is_found_where_the_map_says(side, image_size):
    height, width = image_size
    rng = np.random.default_rng(side)
    x, y = rng.uniform(side / 2, width - side / 2), rng.uniform(side / 2, height - side / 2)
    rows, columns = np.mgrid[0:height, 0:width]
    sigma = side / 20
    dot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    image = np.repeat(dot.round().astype(np.uint8)[..., None], 3, axis=-1)

    region = (round(x - side / 2), round(y - side / 2), side)
    crop = crop_of(image, region, 48)[..., 0].astype(np.float64)
    line = np.arange(48)
    found = (crop.sum(0) @ line / crop.sum(), crop.sum(1) @ line / crop.sum())
    expected = boxes.points_to_crop(torch.tensor((x, y)), torch.tensor(region), 48)
    assert found == pytest.approx(expected.tolist(), abs=0.05)


@pytest.mark.parametrize("side", [1, 4, 20_000])
def test_extreme_regions_are_finite(side):
    crop = crop_of(noise(5, 7), (-side // 2, 3, side), 16)
    assert np.isfinite(crop).all()
    assert 0 <= crop.min() <= crop.max() <= 255


def test_runs_without_a_host_read():
    image = torch.empty(48, 64, 3, dtype=torch.uint8, device="meta")
    crop = sample_crop(image, (3.0, 4.0, 40.0), 32)
    assert crop.shape == (3, 32, 32)
    assert crop.dtype == torch.float32
