# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Cuts the search region out of an image and resizes it, with static shapes and no host read.

The host computes the few numbers that define where each pixel of the crop is read (`crop_taps`); the pixels stay on the
device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from atom_core.boxes import Region


def sample_crop(image: Tensor, region: Region, crop_size: int) -> Tensor:
    """The crop of a search region, resized to a square; pixels outside the image repeat its border.

    Each output pixel is interpolated, along each axis, from two input pixels half an output pixel apart (neighbours if
    the crop is enlarged: plain bilinear interpolation), weighted so that a linear ramp is reproduced exactly. So
    shrinking averages 2 x 2 well-spread pixels, at a cost that depends on neither the image's nor the region's size.

    Args:
        image: (H, W, 3) uint8.
        region: see `atom_core.boxes`.
        crop_size: px, S.

    Returns:
        (3, S, S) float32 in 0..255.
    """
    taps = torch.from_numpy(crop_taps(region, crop_size, image.shape[1], image.shape[0])).to(image.device)
    return blend(gather(image, taps), taps)


def crop_taps(region: Region, crop_size: int, image_width: int, image_height: int) -> np.ndarray:
    """(2, 3 * S) float32, for x and for y: the two pixels to read for each crop pixel (whole numbers), and weights.

    A weight is that of the second of the two pixels.
    """
    corner, step = np.array(region[:2]), region[2] / crop_size  # image px per output pixel
    positions = corner[:, None] - 0.5 + np.arange(0.5, crop_size) * step
    spacing = max(1.0, np.round(step / 2))
    first = np.round(positions - spacing / 2)
    weights = (
        positions - first
    ) / spacing  # within [0, 1]: the first tap is at most half a pixel from its ideal position
    pairs = np.stack((first, first + spacing), axis=2).reshape(2, -1)
    last = np.array(((image_width - 1,), (image_height - 1,)))
    return np.concatenate((np.clip(pairs, 0, last), weights), axis=1, dtype=np.float32)


def gather(image: Tensor, taps: Tensor) -> Tensor:
    """The pixels (2 * S, 2 * S, 3) of an image (H, W, 3) from which a crop is computed; `taps` from `crop_taps`."""
    columns, rows = taps[:, : taps.shape[1] // 3 * 2].long()
    # Byte by byte: PyTorch takes twice as long to copy slices of three bytes as to gather the same number of bytes.
    places = torch.add(torch.arange(3, device=image.device), columns[:, None], alpha=3).flatten()
    lines = image.flatten(1).index_select(0, rows)
    return lines.gather(1, places.expand(len(rows), -1)).unflatten(1, (-1, 3))


def blend(pixels: Tensor, taps: Tensor) -> Tensor:
    """The crop (3, S, S), float32 in 0..255, from the pixels of `gather`."""
    size = taps.shape[1] // 3
    x, y = taps[:, 2 * size :]
    lines = pixels.float().view(size, 2, size, 2 * 3)
    lines = torch.lerp(lines[:, 0], lines[:, 1], y[:, None, None]).view(size, size, 2, 3)
    return torch.lerp(lines[:, :, 0], lines[:, :, 1], x[None, :, None]).permute(2, 0, 1).contiguous()
