# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Box refinement (section 3.3 of the paper): proposals, gradient ascent on the predicted IoU, the mean of the best.

The ascent here is for any prediction, by autograd; the tracker's own, in closed form, is in `atom_core.refiner`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from atom_core import boxes
from atom_core.config import TrackerConfig

PredictIoU = Callable[[Tensor], Tensor]  # proposals (..., P, 4) in crop px -> 2 * IoU - 1 (..., P)
Gradient = Callable[[Tensor], Tensor]  # proposals (..., P, 4) -> the derivative of each one's prediction (..., P, 4)


class Refinement(NamedTuple):
    """The refined box; box and IoU are 0 where it is not valid."""

    box: Tensor  # (4,) in crop px
    iou: Tensor  # () predicted, in 0..1
    valid: Tensor  # () bool, whether any proposal was kept


def draw_proposals(box: Tensor, config: TrackerConfig, noise: Tensor) -> Tensor:
    """The box itself and jittered copies of it.

    Args:
        box: (4,) in crop px.
        config: the bounds of the jitter.
        noise: (P - 1, 4), uniform in -1..1: centre x, y, width, height.

    Returns:
        (P, 4).
    """
    size = box[2:]
    side = size.prod().sqrt()
    centers = boxes.center(box) + noise[:, :2] * config.proposal_center_jitter * side
    sizes = size + noise[:, 2:] * config.proposal_size_jitter * side
    sizes = torch.maximum(sizes, config.proposal_min_side * size.min())
    return torch.cat((box[None], boxes.from_center(centers, sizes)))


def autograd(predict: PredictIoU) -> Gradient:
    """The gradient of a prediction, for one whose proposals are independent of one another."""
    # A functional gradient: it traces as one graph and leaves no state behind.
    return torch.func.grad(lambda proposals: predict(proposals).sum())


def ascend(
    predict: PredictIoU, gradient: Gradient, proposals: Tensor, steps: int, step_length: float
) -> tuple[Tensor, Tensor]:
    """Gradient ascent on the predicted IoU: box += step_length * gradient * (w, h, w, h), `steps` times.

    Args:
        predict: what climbs.
        gradient: its derivative in the boxes, such as `autograd(predict)`.
        proposals: (..., P, 4) in crop px.
        steps: how often.
        step_length: factor of the gradient.

    Returns:
        the boxes (..., P, 4) and what is predicted for them (..., P), 2 * IoU - 1.
    """
    for _ in range(steps):
        scale = torch.cat((proposals[..., 2:], proposals[..., 2:]), dim=-1)
        proposals = proposals + step_length * gradient(proposals) * scale
    return proposals, predict(proposals)


def select(proposals: Tensor, predicted: Tensor, config: TrackerConfig) -> Refinement:
    """The mean of the proposals of highest predicted IoU whose shape is plausible.

    Args:
        proposals: (P, 4) in crop px.
        predicted: (P,), 2 * IoU - 1.
        config: the bound of the aspect ratio and the number of proposals in the mean.
    """
    rows = torch.cat((proposals, predicted[:, None]), dim=1)
    shorter, longer = proposals[:, 2:].amin(1), proposals[:, 2:].amax(1)
    # A gradient step that ran away must not take the mean along: of what is not finite, the difference is NaN.
    is_finite = (rows - rows).sum(1) == 0
    plausible = (shorter > 0) & (longer <= config.max_aspect_ratio * shorter) & is_finite
    ranked = torch.where(plausible, predicted, -torch.inf)
    values, best = ranked.topk(min(config.top_proposals, len(ranked)))
    kept = values > -torch.inf
    mean = torch.where(kept[:, None], rows[best], 0).sum(0) / kept.sum().clamp(min=1)
    valid = kept[0]  # the best one
    return Refinement(mean[:4], torch.where(valid, (mean[4] + 1) / 2, 0).clamp(0, 1), valid)
