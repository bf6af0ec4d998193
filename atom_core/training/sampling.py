# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""From a pair of views to a pair of crops with boxes; and the proposals about a box (section 4 of the paper)."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from atom_core import boxes
from atom_core.crop import sample_crop
from atom_core.training.config import TrainingConfig
from atom_core.training.views import View

_LUMA = torch.tensor((0.299, 0.587, 0.114)).view(3, 1, 1)
_PROPOSAL_TRIES = 8


class Crop(NamedTuple):
    """A crop (3, S, S) float in 0..255 and the object's box (4,) in its px."""

    pixels: Tensor
    box: Tensor


def make_pair(reference: View, test: View, config: TrainingConfig, rng: np.random.Generator) -> tuple[Crop, Crop]:
    """The reference crop, centred on the object, and the test crop, moved and scaled at random.

    Raises:
        ValueError: if an image cannot be read.
    """
    flip = rng.random() < config.flip_probability
    grey = rng.random() < config.grey_probability
    first = _crop(reference, flip, config, center_jitter=0.0, scale=1.0, stretch=1.0, rng=rng)
    scale = float(np.exp(config.scale_jitter * rng.standard_normal()))
    stretch = float(np.exp(config.stretch_jitter * rng.standard_normal()))
    second = _crop(test, flip, config, center_jitter=config.center_jitter, scale=scale, stretch=stretch, rng=rng)
    if grey:
        first, second = (
            Crop((c.pixels * _LUMA).sum(0, keepdim=True).expand(3, -1, -1), c.box) for c in (first, second)
        )
    return first, second


def _crop(
    view: View,
    flip: bool,
    config: TrainingConfig,
    center_jitter: float,
    scale: float,
    stretch: float,
    rng: np.random.Generator,
) -> Crop:
    image, box = view.read(), torch.tensor(view.box, dtype=torch.float32)
    if stretch != 1.0:
        image, box = _stretch(image, box, stretch)
    side = box[2:].prod().sqrt()
    shift = center_jitter * side * torch.from_numpy(rng.uniform(-1, 1, 2)).float()
    seen = boxes.from_center(boxes.center(box) + shift, box[2:] * scale)
    region = boxes.search_region(seen.tolist(), config.search_area_factor)
    pixels = sample_crop(torch.from_numpy(image), region, config.crop_size)
    pixels = (pixels * rng.uniform(1 - config.brightness, 1 + config.brightness)).clamp(0, 255)
    box = boxes.image_to_crop(box, torch.tensor(region), config.crop_size)
    if flip:
        pixels = pixels.flip(-1)
        box = torch.cat((config.crop_size - 1 - box[:1] - box[2:3], box[1:]))
    return Crop(pixels, box)


def _stretch(image: np.ndarray, box: Tensor, factor: float) -> tuple[np.ndarray, Tensor]:
    """The image, and the box (4,) in it, made wider or narrower by about a factor."""
    height, width, _ = image.shape
    new_width = max(1, round(width * factor))
    ratio = new_width / width
    interpolation = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    image = cv2.resize(image, (new_width, height), interpolation=interpolation)
    # Pixel edges, not centres, keep their relative places: hence the halves.
    x, y, w, h = box
    return image, torch.stack(((x + 0.5) * ratio - 0.5, y, w * ratio, h))


def draw_proposals(
    box: Tensor, count: int, sigmas: tuple[float, ...], min_iou: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Gaussian noise on boxes, kept where the overlap is at least `min_iou`.

    Args:
        box: (N, 4).
        count: of proposals for each box.
        sigmas: of the noise / sqrt(width * height); one is drawn for each proposal.
        min_iou: of a proposal and its box; a proposal falls below it only where each of 8 tries does.
        generator: of all random numbers.

    Returns:
        proposals (N, count, 4) and their IoU with the box (N, count).
    """
    shape = (len(box), count, _PROPOSAL_TRIES)
    sigma = torch.tensor(sigmas)[torch.randint(len(sigmas), shape[:2], generator=generator)]
    side = box[:, 2:].prod(-1).sqrt()[:, None, None, None]
    noise = torch.randn(*shape, 4, generator=generator) * sigma[..., None, None] * side
    tried_center = boxes.center(box)[:, None, None] + noise[..., :2]
    tried_size = torch.maximum(box[:, None, None, 2:] + noise[..., 2:], 0.05 * side)
    tried = boxes.from_center(tried_center, tried_size)
    overlap = boxes.iou(tried, box[:, None, None])
    # The first try that overlaps enough; where none does (rare), the one that overlaps most.
    choice = torch.where((overlap >= min_iou).any(-1), (overlap >= min_iou).int().argmax(-1), overlap.argmax(-1))
    proposals = tried.gather(2, choice[..., None, None].expand(*shape[:2], 1, 4))[:, :, 0]
    return proposals, overlap.gather(2, choice[..., None])[:, :, 0]
