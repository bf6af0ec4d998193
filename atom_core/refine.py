# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Box refinement (section 3.3 of the paper): proposals, gradient ascent on the predicted IoU, the mean of the best."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from atom_core import boxes
from atom_core.config import TrackerConfig

PredictIoU = Callable[[Tensor], Tensor]  # proposals (N, P, 4) in crop px -> 2 * IoU - 1 (N, P)


class Refinement(NamedTuple):
    """A refined `box` (4,) in crop px, its predicted `iou` () in 0..1, and whether any proposal was kept, `valid` ()."""

    box: Tensor
    iou: Tensor
    valid: Tensor


def draw_proposals(box: Tensor, config: TrackerConfig, noise: Tensor) -> Tensor:
    """The box itself and jittered copies of it.

    Args:
        box: (4,) in crop px.
        noise: (config.proposals - 1, 4), uniform in -1..1: centre x, y, width, height.

    Returns:
        (config.proposals, 4).
    """
    size = box[2:]
    side = size.prod().sqrt()
    centers = boxes.center(box) + noise[:, :2] * config.proposal_center_jitter * side
    sizes = size + noise[:, 2:] * config.proposal_size_jitter * side
    sizes = torch.maximum(sizes, config.proposal_min_side * size.min())
    return torch.cat((box[None], boxes.from_center(centers, sizes)))


def ascend(predict: PredictIoU, proposals: Tensor, steps: int, step_length: float) -> tuple[Tensor, Tensor]:
    """Gradient ascent on the predicted IoU: box += step_length * gradient * (w, h, w, h), `steps` times.

    Args:
        proposals: (N, P, 4) in crop px.

    Returns:
        the boxes (N, P, 4) and what is predicted for them (N, P), 2 * IoU - 1.
    """
    for _ in range(steps):
        # A functional gradient: it traces as one graph and leaves no state behind.
        gradient = torch.func.grad(lambda b: predict(b).sum())(proposals)
        scale = proposals[..., 2:].repeat(*([1] * (proposals.dim() - 1)), 2)
        proposals = proposals + step_length * gradient * scale
    return proposals, predict(proposals)


def select(proposals: Tensor, predicted: Tensor, config: TrackerConfig) -> Refinement:
    """The mean of the proposals of highest predicted IoU whose shape is plausible.

    Args:
        proposals: (P, 4) in crop px.
        predicted: (P,), 2 * IoU - 1.
    """
    width, height = proposals[:, 2], proposals[:, 3]
    limit = config.max_aspect_ratio
    plausible = (width > 0) & (height > 0) & (width <= limit * height) & (height <= limit * width)
    # A gradient step that ran away must not take the mean along: NaN fails every comparison above but is_finite says it.
    plausible = plausible & torch.isfinite(proposals).all(-1) & torch.isfinite(predicted)
    ranked = torch.where(plausible, predicted, -torch.inf)
    _, best = ranked.topk(config.top_proposals)
    weight = plausible[best].to(proposals.dtype)
    count = weight.sum()
    share = weight / count.clamp(min=1)
    box = (torch.where(plausible[best][:, None], proposals[best], 0) * share[:, None]).sum(0)
    iou = (torch.where(plausible[best], predicted[best], -1) * share).sum()
    return Refinement(box, ((iou + 1) / 2).clamp(0, 1), count > 0)
