# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Precise RoI pooling (Jiang et al., IoU-Net, ECCV 2018, section 3.3) in plain PyTorch, differentiable in the box."""

from __future__ import annotations

import torch
from torch import Tensor

Origin = tuple[int | Tensor, int | Tensor] | Tensor  # (x, y) in cells; (N, 1) each if it differs among the N maps


def prroi_pool(features: Tensor, boxes: Tensor, output_size: int, scale: float, origin: Origin = (0, 0)) -> Tensor:
    """The exact mean, over each bin of each box, of the bilinearly interpolated feature map.

    The map's value i is at coordinate i; the map is zero outside. The integral separates into the two axes: a grid
    point's weight along one axis is the integral of its hat function over the bin, so that
    pooled = Wy F Wx^T / bin area, two small matrix products.

    Args:
        features: (N, C, H, W).
        boxes: (N, P, 4), P boxes (x, y, width, height) for each map, in the pixels that `scale` converts to cells.
        output_size: bins along each axis, K.
        scale: feature cells per pixel, such as 1/16.
        origin: (x, y) in cells of the first feature cell, where `features` is a window of a larger map.

    Returns:
        (N, P, C, K, K). A box of zero (or negative) area gives 0.
    """
    height, width = features.shape[-2:]
    weights_x = _bin_weights(boxes[..., 0] * scale - origin[0], boxes[..., 2] * scale, output_size, width)
    weights_y = _bin_weights(boxes[..., 1] * scale - origin[1], boxes[..., 3] * scale, output_size, height)
    # Channels last, so that both products are matrix products over contiguous memory: far faster than over (C, H, W).
    maps = features.permute(0, 2, 3, 1).flatten(2)  # (N, H, W * C)
    rows = (weights_y.flatten(1, 2) @ maps).unflatten(1, weights_y.shape[1:3]).unflatten(-1, (width, -1))
    return (weights_x[:, :, None] @ rows).movedim(-1, 2)  # (N, P, 1, K, W) @ (N, P, K, W, C)


def _bin_weights(start: Tensor, extent: Tensor, bins: int, cells: int) -> Tensor:
    """Mean of each cell's hat function over each bin (..., bins, cells); all 0 where an extent (...) is not > 0."""
    share = torch.arange(bins + 1, device=start.device, dtype=start.dtype) / bins
    edges = start[..., None] + extent[..., None] * share
    grid = torch.arange(cells, device=start.device, dtype=start.dtype)
    size = extent[..., None, None] / bins
    positive = size > 0
    integral = _hat_integral(edges[..., None] - grid)
    return torch.where(positive, integral.diff(dim=-2) / torch.where(positive, size, 1), 0)


def _hat_integral(x: Tensor) -> Tensor:
    """Integral from minus infinity to x of the hat function max(0, 1 - |t|); 0 below -1, 1 above 1."""
    x = x.clamp(-1, 1)
    return 0.5 + x - 0.5 * x * x.abs()
