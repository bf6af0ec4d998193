# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The frame step: what of a frame is computed on the device, from the image to the numbers that the host reads.

    host    aim:      where to look -> a few numbers, uploaded as one vector
    device  see:      pixels, numbers -> features, peaks of the score map, boxes that climbed the predicted IoU
    host    interpret: what was read of it -> the target's box, score, IoU and state

All that is about four or forty numbers is done on the host, where it costs a microsecond and no launch. The device has
static shapes and no host read in it, so the step is one graph (torch.compile's fullgraph) that can be captured once and
replayed (`atom_core.capture`). Before it, only the search region's pixels are picked out of the image (`crop.gather`),
so that the graph does not depend on the image's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from atom_core import boxes
from atom_core.boxes import Box, Region
from atom_core.classifier.localize import Limits, LocalizationState, classify, find_peaks, limits, target_position
from atom_core.classifier.target_model import Classifier, normalize_features
from atom_core.config import TrackerConfig
from atom_core.crop import blend, crop_taps
from atom_core.long_term.redetection import Finding
from atom_core.networks.backbones import Features
from atom_core.networks.iou_predictor import Modulation
from atom_core.refinement.proposals import draw_proposals, select
from atom_core.refinement.torch_refiner import Ascent

_FACTS = 6  # numbers of a result before its boxes: two scores, whether each is near, the target's position


class FrameNetworks(Protocol):
    """What the step needs of `atom_core.tracker.Networks`."""

    def features(self, crops: Tensor) -> Features:
        """Backbone features of crops (N, 3, S, S)."""
        ...

    def refine(
        self, features: Features, modulation: Modulation, proposals: Tensor, ascent: Ascent
    ) -> tuple[Tensor, Tensor]:
        """See `atom_core.refinement.torch_refiner.Refiner`."""
        ...


class Aim(NamedTuple):
    """Where one target is looked for, on the host."""

    region: Region
    expected: Box  # image px; the last known box, or one of the size that the target would have there
    noise: np.ndarray  # (P - 1, 4), see `draw_proposals`
    config: TrackerConfig

    @property
    def size(self) -> np.ndarray:
        """(2,) crop px, the expected width and height."""
        return np.array(self.expected[2:]) * (self.config.crop_size / self.region[2])


class Sight(NamedTuple):
    """The same target for the device: what it is known by, and constants of the graph."""

    classifier: Classifier
    modulation: Modulation
    crop: int  # number of its search region among the frame's
    use_hann_window: bool
    ascent: Ascent


class Numbers(NamedTuple):
    """What a frame tells the device, beside the image."""

    taps: Tensor  # (R, 2, 3 * S) of R search regions, see `crop_taps`
    limits: Tensor  # (L, 4) of L sights, see `localize.limits`
    proposals: Tensor  # (L, P, 4) about the origin, see `draw_proposals`


class Observation(NamedTuple):
    """What the device saw."""

    results: Tensor  # (L, 6 + 5 * P), to be fetched and interpreted
    samples: list[Tensor]  # of each sight (1, D, h, h), projected
    features: Features  # of the R search regions


def upload_aims(aims: Sequence[Aim], regions: Sequence[Region], image: Tensor) -> Numbers:
    """All numbers of a frame, for looking from `aims` at `regions` of an image (H, W, 3), in one copy to its device."""
    size, proposals = aims[0].config.crop_size, aims[0].config.proposals
    taps = [crop_taps(region, size, image.shape[1], image.shape[0]) for region in regions]
    held = [limits(aim.size, aim.config) for aim in aims]
    drawn = [draw_proposals(aim.size, aim.config, aim.noise) for aim in aims]
    flat = np.concatenate([array.ravel() for array in (*taps, *held, *drawn)], dtype=np.float32)
    parts = (len(taps) * 6 * size, len(aims) * 4, len(aims) * proposals * 4)
    of_taps, of_limits, of_drawn = torch.from_numpy(flat).to(image.device).split(parts)
    return Numbers(of_taps.view(-1, 2, 3 * size), of_limits.view(-1, 4), of_drawn.view(-1, proposals, 4))


def see(pixels: Sequence[Tensor], numbers: Numbers, sights: Sequence[Sight], networks: FrameNetworks) -> Observation:
    """What each sight shows, from the pixels (2 * S, 2 * S, 3) of R search regions, see `crop.gather`."""
    crops = [blend(of_region, taps) for of_region, taps in zip(pixels, numbers.taps, strict=True)]
    features = networks.features(_stack(crops))
    seen = [
        _see_one(Features(*(f[sight.crop : sight.crop + 1] for f in features)), sight, held, proposals, networks)
        for sight, held, proposals in zip(sights, numbers.limits, numbers.proposals, strict=True)
    ]
    results, samples = zip(*seen, strict=True)
    return Observation(_stack(results), list(samples), features)


def _see_one(
    features: Features, sight: Sight, held: Tensor, proposals: Tensor, networks: FrameNetworks
) -> tuple[Tensor, Tensor]:
    """Result (6 + 5 * P,) and sample of one target in its search region, of which the features (1, ...) are given."""
    sample = sight.classifier.project(normalize_features(features.stride16))
    held_against = Limits.of(held)
    peaks = find_peaks(sight.classifier.scores(sample)[0, 0], held_against, sight.use_hann_window)
    position = target_position(peaks, held_against)
    proposals = proposals + F.pad(position, (0, 2))
    refined, predicted = networks.refine(features, sight.modulation, proposals, sight.ascent)
    return torch.cat((peaks.scores, peaks.near, position, refined.flatten(), predicted)), sample


def fetch(observation: Observation) -> np.ndarray:
    """The results (L, 6 + 5 * P) on the host: the one host read of a frame."""
    return observation.results.cpu().numpy()


def interpret(result: np.ndarray, aim: Aim, image_width: int, image_height: int) -> Finding:
    """What one result (6 + 5 * P,) says of the target; the box is kept in the image."""
    config, size, region = aim.config, aim.config.crop_size, np.array(aim.region)
    state, is_second = classify(*result[:4], config)
    score = float(result[int(is_second)])
    if state is LocalizationState.NOT_FOUND:
        return missed(aim, score, image_width, image_height)
    climbed = result[_FACTS:].astype(np.float64)
    best = select(climbed[: 4 * config.proposals].reshape(-1, 4), climbed[4 * config.proposals :], config)
    found = boxes.from_center(result[4:_FACTS].astype(np.float64), aim.size) if best is None else best.box
    box = _keep(boxes.crop_to_image(found, region, size).tolist(), config, image_width, image_height)
    return Finding(box, score, best.iou if best else 0.0, state)


def missed(aim: Aim, score: float, image_width: int, image_height: int) -> Finding:
    """That the target is not where it was looked for; the box is the expected one, kept in the image."""
    box = _keep(aim.expected, aim.config, image_width, image_height)
    return Finding(box, score, 0.0, LocalizationState.NOT_FOUND)


def _keep(box: Box, config: TrackerConfig, image_width: int, image_height: int) -> Box:
    return boxes.keep_in_image(box, image_width, image_height, config.min_box_side, config.position_margin)


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """torch.stack, which copies; a single tensor is only seen as (1, ...)."""
    return torch.stack(list(tensors)) if len(tensors) > 1 else tensors[0][None]
