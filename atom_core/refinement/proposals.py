# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Box refinement (section 3.3 of the paper): proposals, gradient ascent on the predicted IoU, the mean of the best.

The ascent here takes any prediction and its gradient, such as one by autograd. The tracker uses the closed form in
`atom_core.refinement.torch_refiner`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from atom_core import boxes
from atom_core.config import TrackerConfig

PredictIoU = Callable[[Tensor], Tensor]  # proposals (..., P, 4) in crop px -> 2 * IoU - 1 (..., P)
Gradient = Callable[[Tensor], Tensor]  # proposals (..., P, 4) -> the derivative of each one's prediction (..., P, 4)


class Refinement(NamedTuple):
    """The refined box, on the host."""

    box: np.ndarray  # (4,) in crop px
    iou: float  # predicted, in 0..1


def draw_proposals(size: np.ndarray, config: TrackerConfig, noise: np.ndarray) -> np.ndarray:
    """A box centred at the origin and jittered copies of it, on the host. The caller moves them to the target's centre.

    Args:
        size: (2,) width and height in crop px.
        config: the bounds of the jitter.
        noise: (P - 1, 4), uniform in -1..1: centre x, y, width, height.

    Returns:
        (P, 4).
    """
    side = math.sqrt(size[0] * size[1])
    centers = np.zeros((len(noise) + 1, 2))
    centers[1:] = noise[:, :2] * (config.proposal_center_jitter * side)
    sizes = np.tile(size, (len(noise) + 1, 1))
    sizes[1:] += noise[:, 2:] * (config.proposal_size_jitter * side)
    sizes[1:] = np.maximum(sizes[1:], config.proposal_min_side * size.min())
    return boxes.from_center(centers, sizes)


def autograd(predict: PredictIoU) -> Gradient:
    """The gradient of a prediction that treats each proposal independently."""
    # A functional gradient: it traces as one graph and leaves no state behind.
    return torch.func.grad(lambda proposals: predict(proposals).sum())


def ascend(
    predict: PredictIoU, gradient: Gradient, proposals: Tensor, steps: int, step_length: float
) -> tuple[Tensor, Tensor]:
    """Gradient ascent on the predicted IoU: box += step_length * gradient * (w, h, w, h), `steps` times.

    Args:
        predict: the prediction.
        gradient: its derivative in the boxes, such as `autograd(predict)`.
        proposals: (..., P, 4) in crop px.
        steps: number of steps.
        step_length: factor of the gradient.

    Returns:
        the boxes (..., P, 4) and their predictions (..., P), 2 * IoU - 1.
    """
    for _ in range(steps):
        scale = torch.cat((proposals[..., 2:], proposals[..., 2:]), dim=-1)
        proposals = proposals + step_length * gradient(proposals) * scale
    return proposals, predict(proposals)


def select(proposals: np.ndarray, predicted: np.ndarray, config: TrackerConfig) -> Refinement | None:
    """The mean of the plausible proposals with the highest predicted IoU, on the host; None if none is plausible.

    Args:
        proposals: (P, 4) in crop px.
        predicted: (P,), 2 * IoU - 1.
        config: the bound of the aspect ratio and the number of proposals in the mean.
    """
    shorter, longer = proposals[:, 2:].min(1), proposals[:, 2:].max(1)
    # A diverged proposal must not spoil the mean.
    is_finite = np.isfinite(proposals).all(1) & np.isfinite(predicted)
    plausible = np.flatnonzero(is_finite & (shorter > 0) & (longer <= config.max_aspect_ratio * shorter))
    if not len(plausible):
        return None
    best = plausible[np.argsort(-predicted[plausible], kind="stable")[: config.top_proposals]]
    iou = (predicted[best].mean() + 1) / 2
    return Refinement(proposals[best].mean(0), float(min(max(iou, 0.0), 1.0)))
