# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The first frame's training samples (ATOM, section 3.3 and supplementary material).

All geometry is relative to the patch's centre ((2S - 1) / 2, (2S - 1) / 2). A shift is in whole px and moves the image:
(+, +) moves it right and down. A positive angle rotates the image counter-clockwise on the screen.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from atom_core.config import FIRST_FRAME_CROPS, TrackerConfig

Shift = tuple[int, int]  # px (x, y)

SHIFT_SIGNS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
BLUR_SIGMAS = ((2.0, 0.2), (0.2, 2.0), (3.0, 1.0), (1.0, 3.0), (2.0, 2.0))  # px (y, x)
ROTATION_ANGLES = (5, -5, 10, -10, 20, -20, 30, -30, 45, -45, -60, 60)  # degrees
assert 2 + len(SHIFT_SIGNS) + len(BLUR_SIGMAS) + len(ROTATION_ANGLES) == FIRST_FRAME_CROPS


def first_frame_crops(
    patch: Tensor, target_center: Tensor, config: TrackerConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Make the 23 first-frame crops: identity, 4 shifts, flip, 5 blurs, 12 rotations, in this order.

    Flip, blurs and rotations are also shifted at random. The identity is the patch's centre part, unchanged.

    Args:
        patch: (3, 2S, 2S) float, twice the search area, S = config.crop_size.
        target_center: (2,) px (x, y) in the patch, on the CPU.
        config: sizes of the shifts.
        generator: on the CPU; draws the random shifts.

    Returns:
        Crops (23, 3, S, S), and the target's centre in each, (23, 2) px (x, y) on the CPU.

    Raises:
        ValueError: if the patch has another shape.
    """
    size = config.crop_size
    if patch.shape != (3, 2 * size, 2 * size):
        raise ValueError(f"patch has shape {tuple(patch.shape)}; expected {(3, 2 * size, 2 * size)}, twice crop_size")
    step = round(config.augmentation_shift * size / 2)
    fixed: list[Shift] = [(0, 0), *((x * step, y * step) for x, y in SHIFT_SIGNS)]
    drawn = _random_shifts(FIRST_FRAME_CROPS - len(fixed), config, generator)
    flip_shift, blur_shifts, rotation_shifts = drawn[0], drawn[1:6], drawn[6:]

    crops = [_window(patch, shift) for shift in fixed]
    crops.append(_window(patch.flip(-1), flip_shift))
    crops.extend(_blurred(patch, sigmas, shift) for sigmas, shift in zip(BLUR_SIGMAS, blur_shifts, strict=True))
    rotated = _rotated(patch, ROTATION_ANGLES, rotation_shifts)

    offset = target_center - (size - 0.5)  # from the patch's centre
    turned = offset @ _rotations(ROTATION_ANGLES, offset).transpose(1, 2)
    offsets = torch.cat((offset.expand(5, 2), (offset * offset.new_tensor((-1, 1)))[None], offset.expand(5, 2), turned))
    centers = offsets + offsets.new_tensor(fixed + drawn) + (size - 1) / 2
    return torch.cat((*(crop[None] for crop in crops), rotated)), centers


def dropout_samples(features: Tensor, config: TrackerConfig, generator: torch.Generator) -> Tensor:
    """Copies of features (1, C, H, W) with whole channels dropped: (config.dropout_samples, C, H, W).

    Kept channels are scaled by 1 / (1 - p), so that the expected value stays. `generator` is on the CPU.
    """
    keep_probability = 1.0 - config.dropout_probability
    keep = torch.rand(config.dropout_samples, features.shape[1], 1, 1, generator=generator) < keep_probability
    return features * (keep / keep_probability).to(features)


def _random_shifts(count: int, config: TrackerConfig, generator: torch.Generator) -> list[Shift]:
    bound = max(0, math.ceil(config.augmentation_random_shift * config.crop_size / 2) - 1)  # 47 px for a third of 144
    drawn = torch.randint(-bound, bound + 1, (count, 2), generator=generator)
    return [tuple(shift) for shift in drawn.tolist()]  # drawn on the CPU: no device is read


def _window(patch: Tensor, shift: Shift, margin: int = 0) -> Tensor:
    """The centre part (S, S) of the patch, moved by `shift`; the patch has `margin` px of padding on each side."""
    size = (patch.shape[-1] - 2 * margin) // 2
    x, y = size // 2 - shift[0], size // 2 - shift[1]
    return patch[..., y : y + size + 2 * margin, x : x + size + 2 * margin]


def _blurred(patch: Tensor, sigmas: tuple[float, float], shift: Shift) -> Tensor:
    """The window (3, S, S) of the patch blurred by a Gaussian of standard deviations (y, x) in px."""
    radius = math.ceil(3 * max(sigmas))
    padded = F.pad(patch[None], (radius,) * 4, mode="replicate")[0]
    window = _window(padded, shift, margin=radius)
    for dim, sigma in zip((-2, -1), sigmas, strict=True):
        window = _filtered(window, _gaussian_kernel(sigma, radius), dim)
    return window


def _filtered(window: Tensor, kernel: list[float], dim: int) -> Tensor:
    """Correlation with a kernel along a dimension, without padding: a fifth of the time of conv2d for one channel."""
    size = window.shape[dim] - len(kernel) + 1
    result = window.narrow(dim, 0, size) * kernel[0]
    for place, factor in enumerate(kernel[1:], 1):
        result.add_(window.narrow(dim, place, size), alpha=factor)
    return result


def _gaussian_kernel(sigma: float, radius: int) -> list[float]:
    kernel = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / sigma))
    return (kernel / kernel.sum()).tolist()


def _rotations(angles: tuple[int, ...], like: Tensor) -> Tensor:
    """Matrices (N, 2, 2) that rotate (x, y), y down, by angles in degrees, counter-clockwise on the screen."""
    turns = [(math.cos(math.radians(a)), math.sin(math.radians(a))) for a in angles]
    return like.new_tensor([((c, s), (-s, c)) for c, s in turns])


def _rotated(patch: Tensor, angles: tuple[int, ...], shifts: list[Shift]) -> Tensor:
    """The windows (N, 3, S, S) of the patch rotated by each angle about its centre, then shifted; borders repeat."""
    size = patch.shape[-1] // 2
    line = torch.arange(size, device=patch.device, dtype=patch.dtype) - (size - 1) / 2
    moved = line[:, None] - patch.new_tensor(shifts)[:, None]  # (N, S, 2), x and y from the patch's centre
    # The image rotates by R, so the output pixel v shows the input's R^T v, written as a row v^T R: the sum of a term
    # for the pixel's column and one for its row.
    rows_of_r = _rotations(angles, patch)[:, :, None] / (size - 0.5)  # -1 and 1: centres of the first and last pixel
    by_column, by_row = (moved[..., axis, None] * rows_of_r[:, axis] for axis in (0, 1))  # (N, S, 2) each
    grid = by_column[:, None] + by_row[:, :, None]
    return F.grid_sample(patch.expand(len(angles), -1, -1, -1), grid, padding_mode="border", align_corners=True)
