# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Fits a target's modulation vectors to its first frame, so that the predicted IoU has its maximum at the given box.

The paper computes the modulation vectors by one pass of the reference branch. Even in the first frame, the IoU that
they predict is then not highest at the given box: the network has learned where objects usually end, and the box drifts
there. In the first frame the true IoU of any box is known. So this module draws boxes around the target in a few
shifted and zoomed views of the first frame, and changes the vectors, as little as possible, until the predicted IoU
follows the true one. This is not in the paper.

Let r(c) be the true minus the predicted IoU of all boxes, c the two vectors, c0 those of the reference branch, and s
the root mean square of each. Gauss-Newton steps minimise

    mean(r(c)^2) + damping * |(c - c0) / s|^2.

There are fewer boxes than factors, so each step solves a system of the size of the boxes (the dual form). Within a
view, the mean of r has a lower weight than its differences, since only differences move a box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from atom_core import boxes
from atom_core.boxes import Box
from atom_core.config import TrackerConfig
from atom_core.crop import sample_crop
from atom_core.networks.backbones import Features
from atom_core.networks.iou_predictor import POOL3, POOL4, IoUNet, LinearBlock, Modulation, TestMaps
from atom_core.networks.prepared import Networks
from atom_core.networks.prroi_pool import prroi_pool

# Views of the first frame: shift (x, y) and length, in sides of the search region.
VIEWS = ((0.0, 0.0, 1.0), (0.1, 0.07, 1.0), (-0.08, -0.12, 1.0), (0.03, -0.05, 1.25), (-0.04, 0.06, 0.8))
BOXES = 24  # in each view
_SIGMAS = (
    0.02,
    0.04,
    0.06,
    0.1,
    0.15,
    0.2,
    0.25,
    0.3,
)  # of the boxes' centres, in sides, and of the logarithm of their sides
_STEPS = 2  # of Gauss-Newton
_MEAN_WEIGHT = 0.2  # of a view's mean residual; differences from it have weight 1


class ReferenceViews(NamedTuple):
    """Views of the first frame."""

    crops: Tensor  # (N, 3, S, S) in 0..255
    targets: Tensor  # (N, 4) the target's box in crop px, on the CPU


def fit_to_image(
    modulation: Modulation, image: Tensor, box: Box, networks: Networks, config: TrackerConfig
) -> Modulation:
    """The modulation vectors fitted to views of the first frame, with the damping `config.reference_damping`.

    Args:
        modulation: of the reference branch, (1, 256) each.
        image: (H, W, 3) uint8, the first frame, on the device.
        box: of the target, in image px.
        networks: that track the target.
        config: of the tracker.
    """
    views = reference_views(image, box, config)
    drawn = draw_boxes(views.targets, torch.Generator().manual_seed(config.seed))
    features = networks.features(views.crops)
    crops = zip(features.stride8.split(1), features.stride16.split(1), strict=True)
    maps = [networks.refiner.maps(Features(*crop), seen) for crop, seen in zip(crops, drawn, strict=True)]
    return fit_modulation(networks.iou_net, modulation, maps, drawn, views.targets, config.reference_damping)


def reference_views(image: Tensor, box: Box, config: TrackerConfig) -> ReferenceViews:
    """The views to which the modulation is fitted.

    Args:
        image: (H, W, 3) uint8.
        box: of the target, in image px.
        config: size of the crop and of the search region.
    """
    x0, y0, side = boxes.search_region(box, config.search_area_factor)
    crops, targets = [], []
    for right, down, zoom in VIEWS:
        length = math.ceil(side * zoom)
        offset = (side - length) / 2
        region = (math.floor(x0 + side * right + offset), math.floor(y0 + side * down + offset), length)
        crops.append(sample_crop(image, region, config.crop_size))
        targets.append(boxes.image_to_crop(torch.tensor(box), torch.tensor(region), config.crop_size))
    return ReferenceViews(torch.stack(crops), torch.stack(targets).float())


def draw_boxes(targets: Tensor, generator: torch.Generator) -> Tensor:
    """Random boxes (N, P, 4) around targets (N, 4), on the CPU, as are both arguments."""
    sigmas = torch.tensor(_SIGMAS).repeat(math.ceil(BOXES / len(_SIGMAS)))[:BOXES, None]
    noise = sigmas * torch.randn(len(targets), BOXES, 4, generator=generator)
    sides = targets[:, None, 2:]
    return boxes.from_center(targets[:, None, :2] + sides / 2 + noise[..., :2] * sides, sides * noise[..., 2:].exp())


def fit_modulation(
    net: IoUNet, modulation: Modulation, maps: Sequence[TestMaps], drawn: Tensor, targets: Tensor, damping: float
) -> Modulation:
    """Modulation vectors whose predicted IoU follows the true one around the target.

    Args:
        net: in evaluation mode.
        modulation: of the reference branch, (1, 256) each.
        maps: of each of N views of the first frame, or of the part that the boxes cover.
        drawn: (N, P, 4) boxes in each, in crop px, on the CPU, see `draw_boxes`.
        targets: (N, 4) the target's box in each, likewise.
        damping: cost of changing the vectors; a higher one keeps them nearer to `modulation`.

    Returns:
        (1, 256) each, float32; `modulation` itself if the fit is not finite.
    """
    device = modulation.c3.device
    truth = (2 * boxes.iou(drawn, targets[:, None]) - 1).to(device)
    predictor = BoxPredictor.of(net, maps, drawn.to(device))
    start = torch.cat((modulation.c3, modulation.c4), dim=1)[0]
    scale = torch.stack([c.square().mean().sqrt() for c in modulation]).repeat_interleave(len(start) // 2)
    factors = start
    for _ in range(_STEPS):
        predicted, slopes = predictor(factors)
        residual = _weigh_means((truth.flatten() - predicted).view(truth.shape))
        jacobian = _weigh_means((slopes * scale).view(*truth.shape, -1))
        factors = start + scale * solve_step(jacobian, residual, (factors - start) / scale, damping)
    fitted = torch.where(factors.isfinite().all(), factors, start)
    return Modulation(*fitted[None].chunk(2, dim=1))


class BoxPredictor(NamedTuple):
    """The predicted 2 * IoU - 1 of fixed boxes as a function of the concatenated modulation vectors (C,)."""

    pooled: tuple[Tensor, Tensor]  # (B, C / 2, bins) of each branch
    blocks: tuple[LinearBlock, LinearBlock]
    output: tuple[Tensor, Tensor]  # (units,) of each branch
    output_bias: Tensor  # (1,)

    @classmethod
    def of(cls, net: IoUNet, maps: Sequence[TestMaps], drawn: Tensor) -> BoxPredictor:
        """The predictor for boxes (N, P, 4) in the maps of N views, in float32."""
        views = list(zip(maps, drawn.split(1), strict=True))
        pooled3 = torch.cat([prroi_pool(m.t3.float(), seen, POOL3, 1 / 8, m.origin3)[0] for m, seen in views])
        pooled4 = torch.cat([prroi_pool(m.t4.float(), seen, POOL4, 1 / 16, m.origin4)[0] for m, seen in views])
        first, second = net.iou_predictor.weight[0].chunk(2)
        pooled = pooled3.flatten(2), pooled4.flatten(2)
        return cls(pooled, (net.fc3_rt, net.fc4_rt), (first, second), net.iou_predictor.bias)

    def __call__(self, factors: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions (B,), and their derivatives in the factors (B, C)."""
        predicted = self.output_bias
        slopes = []
        for pooled, block, output, part in zip(*self[:3], factors.chunk(2), strict=True):
            gain, bias = block.gain_and_bias()
            weight = block.linear.weight
            hidden = (pooled * part[:, None]).flatten(1) @ weight.T * gain + bias
            predicted = predicted + hidden.relu() @ output
            by_pooled = ((hidden > 0) * (output * gain)) @ weight  # the derivative in each pooled value
            slopes.append((by_pooled.view_as(pooled) * pooled).sum(2))
        return predicted, torch.cat(slopes, dim=1)


def solve_step(jacobian: Tensor, residual: Tensor, change: Tensor, damping: float) -> Tensor:
    """The change from the start that minimises the linearised problem.

    It is J^T (J J^T / B + damping)^-1 (residual + J change) / B, in double precision.

    Args:
        jacobian: (B, C), J, of the predictions of B boxes.
        residual: (B,), true less predicted values.
        change: (C,) from the start so far.
        damping: cost of a change.

    Returns:
        (C,), of the type of `change`.
    """
    count = len(residual)
    matrix, wanted = jacobian.double(), residual.double()
    normal = matrix @ matrix.T / count
    normal.diagonal().add_(damping)
    return (matrix.T @ torch.linalg.solve(normal, wanted + matrix @ change.double()) / count).to(change.dtype)


def _weigh_means(values: Tensor) -> Tensor:
    """(N, P, ...) -> (N * P, ...), with each view's mean scaled by `_MEAN_WEIGHT`."""
    return (values - (1 - _MEAN_WEIGHT) * values.mean(1, keepdim=True)).flatten(0, 1)
