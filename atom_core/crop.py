# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Cutting the search region out of an image and resizing it, with static shapes and no host read."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_crop(image: Tensor, region: Tensor, crop_size: int) -> Tensor:
    """The crop of a search region, resized to a square; pixels outside the image repeat its border.

    Each output pixel is interpolated, along each axis, from two input pixels half an output pixel apart (neighbours
    where the crop is enlarged: plain bilinear interpolation), weighted so that a linear ramp is reproduced exactly. So
    shrinking averages 2 x 2 well-spread pixels, at a cost that depends on neither the image's nor the region's size.

    Args:
        image: (H, W, 3) uint8.
        region: (3,) search region (x0, y0, side), see `atom_core.boxes`.
        crop_size: px, S.

    Returns:
        (3, S, S) float32 in 0..255.
    """
    height, width, _ = image.shape
    step = region[2] / crop_size  # image px an output pixel
    grid = torch.arange(0.5, crop_size, device=image.device)
    positions = torch.addcmul(region[:2, None] - 0.5, grid, step)  # (2, S) of the output pixels along x, y
    spacing = (step / 2).round().clamp(min=1)
    first = (positions - spacing / 2).round()
    weights = (positions - first) / spacing  # within [0, 1]: the first tap is at most half a pixel off its ideal place
    columns, rows = torch.stack((first, first + spacing), dim=2).flatten(1).long()
    taps = image.index_select(0, rows.clamp(0, height - 1)).index_select(1, columns.clamp(0, width - 1)).float()
    taps = taps.view(crop_size, 2, crop_size, 2 * 3)
    taps = torch.lerp(taps[:, 0], taps[:, 1], weights[1, :, None, None]).view(crop_size, crop_size, 2, 3)
    return torch.lerp(taps[:, :, 0], taps[:, :, 1], weights[0, None, :, None]).permute(2, 0, 1).contiguous()
