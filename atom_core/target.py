# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""All state of one target, and how it is learned from the first frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from atom_core import boxes
from atom_core.boxes import Box
from atom_core.classifier.augment import dropout_samples, first_frame_crops
from atom_core.classifier.target_model import TargetModel, gaussian_labels, normalize_features
from atom_core.config import TrackerConfig
from atom_core.crop import sample_crop
from atom_core.long_term.appearance import Appearance
from atom_core.long_term.redetection import Redetection
from atom_core.long_term.strategy import LongTerm
from atom_core.networks.backbones import Features
from atom_core.networks.iou_predictor import Modulation
from atom_core.networks.prepared import Networks
from atom_core.refinement.reference_fit import fit_to_image

_MEAN_RATE = 0.2  # of a new frame in the running mean of the predicted IoU
_JITTERS = 64  # frames after which the proposals' jitter is used again


@dataclass
class Target:
    """All state of one target."""

    place: Box  # px of an image of `image_size`, in any state the last known
    image_size: tuple[int, int]  # width and height
    classifier: TargetModel  # separates the target from its surroundings, learned online
    modulation: Modulation  # the IoU predictor's, fitted to the first frame
    reference: Modulation  # the same as the reference branch gives it
    long_term: LongTerm  # recognises the target, and searches for it after a loss
    jitter: np.ndarray  # (_JITTERS, proposals - 1, 4) in -1..1, of the proposals of successive frames
    mean_iou: float = 1.0  # running mean of the predicted IoU while the target is seen
    drawn: int = 0  # rows of `jitter` that were used
    frame: int = 0  # frames since the first
    has_new_samples: bool = False  # the memory holds samples that the filter has not seen
    pending_update: int = 0  # iterations of an update that has yet to begin
    has_pending_share: bool = False  # the last frame's share of an update is yet to be done

    def next_jitter(self) -> np.ndarray:
        """Random numbers drawn once for many frames."""
        self.drawn += 1
        return self.jitter[(self.drawn - 1) % len(self.jitter)]

    def note_iou(self, iou: float, config: TrackerConfig) -> None:
        """Takes a frame's predicted IoU in; drops the fit to the first frame when the target has changed too much.

        Then the fitted vectors say little of it, and a box that follows them shrinks or grows.
        """
        self.mean_iou += _MEAN_RATE * (iou - self.mean_iou)
        if self.mean_iou < config.reference_trust:
            self.modulation = self.reference

    def resize_image(self, size: tuple[int, int]) -> None:
        """Keeps the target where it was, now in px of images of this size (width, height)."""
        if size != self.image_size:
            self.place = boxes.rescale(self.place, self.image_size, size)
            self.long_term.rescale(self.image_size, size)
            self.image_size = size


def learn_first_frame(image: Tensor, box: Box, networks: Networks, config: TrackerConfig) -> Target:
    """A target from one image (H, W, 3) uint8 on the device and its box (section 3.3, first frame)."""
    generator = torch.Generator().manual_seed(config.seed)
    size = config.crop_size
    kept = boxes.keep_in_image(box, image.shape[1], image.shape[0], config.min_box_side, config.position_margin)
    x0, y0, side = region = boxes.search_region(kept, config.search_area_factor)
    # Twice the search region, about the same centre, so that shifted and rotated copies still see real pixels.
    wide = x0 - math.floor(side / 2), y0 - math.floor(side / 2), 2 * side
    patch = sample_crop(image, wide, 2 * size)
    middle = boxes.points_to_crop(boxes.center(torch.tensor(kept)), torch.tensor(wide), 2 * size)
    crops, centers = first_frame_crops(patch, middle, config, generator)

    features = networks.features(crops, are_searched=False)
    identity = Features(features.stride8[:1], features.stride16[:1])
    crop_box = boxes.image_to_crop(torch.tensor([kept]), torch.tensor(region), size)
    reference = networks.modulation(identity, crop_box.to(image.device))
    modulation = fit_to_image(reference, image, kept, networks, config) if config.reference_damping else reference
    long_term = Redetection(Appearance.of_first_frame(identity, tuple(crop_box[0].tolist())))

    samples = normalize_features(features.stride16)
    samples = torch.cat((samples, dropout_samples(samples[:1], config, generator)))
    centers = torch.cat((centers, centers[:1].expand(config.dropout_samples, 2)))
    labels = make_labels(centers.numpy(), config)
    sample_type = networks.sample_type or networks.precision
    classifier = TargetModel.learn_first_frame(samples, labels, config, generator, sample_type)
    jitter = torch.rand(_JITTERS, config.proposals - 1, 4, generator=generator) * 2 - 1
    size_of_image = image.shape[1], image.shape[0]
    return Target(box, size_of_image, classifier, modulation, reference, long_term, jitter.numpy())


def make_labels(centers: np.ndarray, config: TrackerConfig) -> np.ndarray:
    """Target score maps (N, 2, h), see `gaussian_labels`, for targets at centres (N, 2) in crop px.

    The label's width is a share of the target's size, sqrt(width * height), which is the same in every crop.
    """
    map_size = config.crop_size // boxes.SCORE_STRIDE
    sigma = config.label_sigma_factor * map_size / config.search_area_factor  # cells
    return gaussian_labels(centers, sigma, map_size)
