# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from atom_core.classifier.augment import BLUR_SIGMAS, dropout_samples, first_frame_crops
from atom_core.config import TrackerConfig

CONFIG = TrackerConfig(crop_size=128)
SIZE = CONFIG.crop_size
FIXED, FLIP, BLURS, ROTATIONS = slice(0, 5), 5, slice(6, 11), slice(11, 23)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def dot(center, sigma=1.5):
    """A Gaussian dot (2S, 2S) about (x, y)."""
    line = torch.arange(2 * SIZE, dtype=torch.float32)
    gx, gy = ((-0.5 * ((line - c) / sigma) ** 2).exp() for c in center)
    return gy[:, None] * gx


def moments(pictures):
    """Centroids (N, 2) and variances (N, 2), both (x, y), of pictures (N, S, S)."""
    line = torch.arange(pictures.shape[-1], dtype=torch.float64)
    share = pictures.double() / pictures.double().sum((1, 2), keepdim=True)
    columns, rows = share.sum(1), share.sum(2)
    mean = torch.stack((columns @ line, rows @ line), 1)
    squares = torch.stack((columns @ line**2, rows @ line**2), 1)
    return mean, squares - mean**2


def crops_of_two_dots(target=(130.3, 124.6), seed=0, config=CONFIG):
    """Channel 0 shows the target, channel 1 a dot 12 px to its right."""
    patch = torch.stack((dot(target), dot((target[0] + 12, target[1])), torch.zeros(2 * SIZE, 2 * SIZE)))
    return first_frame_crops(patch, torch.tensor(target), config, generator(seed))


@pytest.mark.parametrize("target", [(127.5, 127.5), (130.3, 124.6), (118.0, 135.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_centers_are_where_the_target_is(target, seed):
    crops, centers = crops_of_two_dots(target, seed)
    assert crops.shape == (23, 3, SIZE, SIZE)
    found, _ = moments(crops[:, 0])
    torch.testing.assert_close(centers.double(), found, rtol=0, atol=0.02)


def test_identity_is_the_middle_of_the_patch():
    patch = torch.rand(3, 2 * SIZE, 2 * SIZE, generator=generator())
    crops, centers = first_frame_crops(patch, torch.tensor([100.25, 90.5]), CONFIG, generator())
    assert torch.equal(crops[0], patch[:, 64:192, 64:192])
    assert centers[0].tolist() == [36.25, 26.5]


def test_shifts_in_order():
    # Half the crop is 64 px; 0.6 of it, rounded, is 38. The target sits at 64 of the identity.
    _, centers = crops_of_two_dots((128.0, 128.0))
    assert centers[FIXED].tolist() == [[64, 64], [26, 26], [26, 102], [102, 26], [102, 102]]


def test_flip_and_rotations_turn_the_picture():
    crops, _ = crops_of_two_dots()
    offset = moments(crops[:, 1])[0] - moments(crops[:, 0])[0]  # (12, 0) in the picture, y down
    expected = [(12.0, 0.0)] * 23
    expected[FLIP] = (-12.0, 0.0)
    expected[ROTATIONS] = [
        (12 * math.cos(math.radians(angle)), -12 * math.sin(math.radians(angle)))  # counter-clockwise: upwards
        for angle in (5, -5, 10, -10, 20, -20, 30, -30, 45, -45, -60, 60)
    ]
    torch.testing.assert_close(offset, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=0.02)


def test_blurs_widen_the_target():
    crops, _ = crops_of_two_dots()
    _, variance = moments(crops[:, 0])
    # Variances add. A Gaussian cut at three sigma has 0.973 of its variance; one of 0.2 px has none on whole px.
    for (x, y), (sigma_y, sigma_x) in zip(variance[BLURS].tolist(), BLUR_SIGMAS, strict=True):
        assert x == pytest.approx(1.5**2 + (sigma_x**2 if sigma_x > 0.5 else 0), rel=0.03)
        assert y == pytest.approx(1.5**2 + (sigma_y**2 if sigma_y > 0.5 else 0), rel=0.03)


def test_random_shifts_stay_within_their_bound():
    # A third of half the crop: 21 whole px; the flip's and the blurs' centres show their shifts.
    shifts = torch.cat([crops_of_two_dots((127.5, 127.5), seed)[1][5:] - 63.5 for seed in range(8)])
    assert torch.equal(shifts[:6], shifts[:6].round())
    assert 17 <= shifts.abs().max() <= 21.001
    assert shifts.min() < -10 < 10 < shifts.max()


def test_shift_shares_of_zero_leave_all_in_the_middle():
    config = TrackerConfig(crop_size=SIZE, augmentation_shift=0.0, augmentation_random_shift=0.0)
    _, centers = crops_of_two_dots((127.5, 127.5), config=config)
    torch.testing.assert_close(centers, torch.full((23, 2), 63.5))


def test_large_shifts_and_a_small_crop_repeat_the_border():
    config = TrackerConfig(crop_size=64, augmentation_shift=0.9, augmentation_random_shift=0.9)
    crops, _ = first_frame_crops(torch.full((3, 128, 128), 0.7), torch.tensor([63.5, 63.5]), config, generator())
    torch.testing.assert_close(crops, torch.full((23, 3, 64, 64), 0.7))


def test_same_seed_same_crops():
    first, second, other = crops_of_two_dots(seed=3), crops_of_two_dots(seed=3), crops_of_two_dots(seed=4)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])


def test_wrong_patch_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 128, 128\); expected \(3, 256, 256\)"):
        first_frame_crops(torch.zeros(3, 128, 128), torch.zeros(2), CONFIG, generator())


def test_runs_on_meta():
    patch = torch.empty(3, 2 * SIZE, 2 * SIZE, device="meta")
    crops, centers = first_frame_crops(patch, torch.empty(2, device="meta"), CONFIG, generator())
    assert (crops.device.type, crops.shape) == ("meta", (23, 3, SIZE, SIZE))
    assert (centers.device.type, centers.shape) == ("meta", (23, 2))
    dropped = dropout_samples(torch.empty(1, 8, 4, 4, device="meta"), CONFIG, generator())
    assert (dropped.device.type, dropped.shape) == ("meta", (7, 8, 4, 4))


def test_dropout_drops_whole_channels():
    config = TrackerConfig(dropout_samples=50, dropout_probability=0.2)
    features = torch.rand(1, 200, 3, 3, generator=generator()) + 0.5

    dropped = dropout_samples(features, config, generator(1))

    ratio = dropped / features
    assert ratio.shape == (50, 200, 3, 3)
    torch.testing.assert_close(ratio, ratio[..., :1, :1].expand_as(ratio))
    kept = ratio[..., 0, 0]
    torch.testing.assert_close(kept[kept > 0], torch.full_like(kept[kept > 0], 1.25))
    # 10 000 draws: the standard error of the share is 0.004.
    assert (kept == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(dropped, dropout_samples(features, config, generator(1)))
