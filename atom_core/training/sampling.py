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
from atom_core.training.changes import change_pixels, occlude, warp, warp_boxes
from atom_core.training.config import ChangesConfig, TrainingConfig
from atom_core.training.target_boxes import draw_looseness, draw_target, loosen
from atom_core.training.views import View

_LUMA = torch.tensor((0.299, 0.587, 0.114)).view(3, 1, 1)
_PROPOSAL_TRIES = 8
_TARGET_TRIES = 4
_NO_CHANGES = ChangesConfig()
_WINDOW_MARGIN = 6.0  # px between a target and the border of the feature window
_NEAR = 0.25  # share of the jitters that is left from one frame to the next


class Crop(NamedTuple):
    """A crop (3, S, S) float in 0..255 and the targets' boxes (K, 4) in its px."""

    pixels: Tensor
    boxes: Tensor


class Placed(NamedTuple):
    """A crop without its targets: the pixels (S, S, 3) float32 in 0..255, and its position in the view.

    Attributes:
        pixels: before photometric augmentation.
        matrix: (3, 3), from the view's px to those of the image that was cropped: a warp or a stretch.
        region: of that image, see `atom_core.boxes`.
    """

    pixels: np.ndarray
    matrix: np.ndarray
    region: boxes.Region

    def locate(self, targets: np.ndarray) -> np.ndarray:
        """Boxes (K, 4) in the view's px -> in crop px."""
        moved = warp_boxes(targets, self.matrix)
        return boxes.image_to_crop(moved, np.array(self.region), self.pixels.shape[0])


def make_pair(reference: View, test: View, config: TrainingConfig, rng: np.random.Generator) -> tuple[Crop, Crop]:
    """The reference crop, centred on the first target, and the test crop, randomly moved, scaled and augmented.

    Raises:
        ValueError: if an image cannot be read.
    """
    flip = rng.random() < config.flip_probability
    grey = rng.random() < config.grey_probability
    copy = rng.random() < config.changes.copy_probability
    still = reference is test and bool(reference.objects)
    first_targets, second_targets = _first_target(reference, test, still, config, rng)
    first = _place(reference.read(), first_targets[0], config, None, rng)
    second = _place(test.read(), second_targets[0], config, "copy" if copy else "changed", rng)
    if config.targets.count > 1:
        more = _others_of_still if still else _others_of_video
        first_targets, second_targets = more(reference, test, (first, second), first_targets[0], config, rng)
    return (
        _finish(first, first_targets, flip, grey, False, config, rng),
        _finish(second, second_targets, flip, grey, not copy, config, rng),
    )


def _first_target(
    reference: View, test: View, still: bool, config: TrainingConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The first target's box (1, 4) in each view."""
    if still:
        target = np.array(reference.box)
        if config.targets.count > 1:
            target = draw_target(target[None], reference.read(), None, config.targets, rng)
        return target[None], target[None]
    looseness = np.zeros(4)
    if rng.random() < config.targets.loose_probability:
        looseness = draw_looseness(config.targets, rng)
    return loosen(np.array(reference.box), looseness)[None], loosen(np.array(test.box), looseness)[None]


def _others_of_still(
    reference: View,
    test: View,
    placed: tuple[Placed, Placed],
    first: np.ndarray,
    config: TrainingConfig,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """All targets (K, 4) in each view: the first, and others inside the feature windows around it."""
    image, objects = reference.read(), np.array(reference.objects)
    side = float(np.sqrt(first[2:].prod()))
    # Objects around the first target; a far one would be rejected.
    distance = np.abs(boxes.center(objects) - boxes.center(first)).max(1)
    near = np.concatenate((first[None], objects[distance < 2 * side]))
    left, top = np.maximum(0, np.floor(boxes.center(first) - 2 * side)).astype(int)
    right, bottom = np.ceil(boxes.center(first) + 2 * side).astype(int)
    surroundings = image[top:bottom, left:right]
    moved = near - (left, top, 0, 0)
    targets = [first]
    for _ in range(_TARGET_TRIES * config.targets.count):
        if len(targets) == config.targets.count:
            break
        target = draw_target(moved, surroundings, side, config.targets, rng) + np.array((left, top, 0, 0))
        if all(_is_seen(p, target, first, config) for p in placed):
            targets.append(target)
    while len(targets) < config.targets.count:  # a lone small object: repeat some of its boxes
        targets.append(targets[rng.integers(len(targets))])
    return np.stack(targets), np.stack(targets)


def _is_seen(placed: Placed, target: np.ndarray, first: np.ndarray, config: TrainingConfig) -> bool:
    """Whether a target lies in the feature window around the first one, and is about as large."""
    box, center_box = placed.locate(np.stack((target, first)))
    ratio = np.sqrt(box[2:].prod() / center_box[2:].prod())
    limit = config.targets.max_size_ratio
    reach = np.abs(boxes.center(box) - boxes.center(center_box)) + box[2:] / 2
    in_window = reach.max() <= config.window_cells * 8 / 2 - _WINDOW_MARGIN
    return bool(1 / limit <= ratio <= limit and in_window and box[2:].min() >= 8)


def _others_of_video(
    reference: View,
    test: View,
    placed: tuple[Placed, Placed],
    first: np.ndarray,
    config: TrainingConfig,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """All targets (K, 4) in each view: the object's box, then looser or tighter ones, by the same shares in both."""
    looseness = [np.zeros(4)]
    for _ in range(config.targets.count - 1):
        is_loose = rng.random() < config.targets.loose_probability
        looseness.append(draw_looseness(config.targets, rng) if is_loose else np.zeros(4))
    first, second = np.array(reference.box), np.array(test.box)
    return (
        np.stack([loosen(first, share) for share in looseness]),
        np.stack([loosen(second, share) for share in looseness]),
    )


def _place(
    image: np.ndarray, target: np.ndarray, config: TrainingConfig, test: str | None, rng: np.random.Generator
) -> Placed:
    """The crop around a target (4,): centred on it for the reference (`test` None), else shifted ("copy": slightly)."""
    matrix = np.eye(3)
    scale, shift = 1.0, np.zeros(2)
    if test is not None:
        near = test == "copy" or rng.random() < config.near_probability
        jitter = _NEAR if near else 1.0
        scale = float(np.exp(jitter * config.scale_jitter * rng.standard_normal()))
        shift = jitter * config.center_jitter * rng.uniform(-1, 1, 2)
        stretch = float(np.exp(jitter * config.stretch_jitter * rng.standard_normal()))
        if test == "changed" and rng.random() < config.changes.warp_probability:
            image, matrix = warp(image, config.changes, rng)
        if stretch != 1.0:
            image, stretched = _stretch(image, stretch)
            matrix = stretched @ matrix
    (box,) = warp_boxes(target[None], matrix)
    side = np.sqrt(box[2:].prod())
    seen = boxes.from_center(boxes.center(box) + shift * side, box[2:] * scale)
    region = boxes.search_region(seen.tolist(), config.search_area_factor)
    pixels = sample_crop(torch.from_numpy(image), region, config.crop_size)
    return Placed(pixels.permute(1, 2, 0).contiguous().numpy(), matrix, region)


def _finish(
    placed: Placed,
    targets: np.ndarray,
    flip: bool,
    grey: bool,
    changed: bool,
    config: TrainingConfig,
    rng: np.random.Generator,
) -> Crop:
    """The crop with its targets and augmented pixels."""
    located, array = placed.locate(targets), placed.pixels
    if changed and config.changes != _NO_CHANGES:
        array = np.rint(array).astype(np.uint8)
        if rng.random() < config.changes.occluder_probability:
            array = occlude(array, located[0], rng)
        array = change_pixels(array, config.changes, rng)
    pixels = torch.from_numpy(array).permute(2, 0, 1).float()
    pixels = (pixels * rng.uniform(1 - config.brightness, 1 + config.brightness)).clamp(0, 255)
    if grey:
        pixels = (pixels * _LUMA).sum(0, keepdim=True).expand(3, -1, -1)
    if flip:
        pixels = pixels.flip(-1)
        located[:, 0] = config.crop_size - 1 - located[:, 0] - located[:, 2]
    return Crop(pixels, torch.from_numpy(located).float())


def _stretch(image: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """The image made wider or narrower by about a factor, and the map (3, 3) from old px to new ones."""
    height, width, _ = image.shape
    new_width = max(1, round(width * factor))
    ratio = new_width / width
    interpolation = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    # Pixel edges, not centres, keep their relative positions: hence the halves.
    matrix = np.array(((ratio, 0, 0.5 * ratio - 0.5), (0, 1, 0), (0, 0, 1)))
    return cv2.resize(image, (new_width, height), interpolation=interpolation), matrix


def draw_proposals(
    box: Tensor, count: int, sigmas: tuple[float, ...], min_iou: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Gaussian noise on boxes, kept where the overlap is at least `min_iou`.

    Args:
        box: (N, 4).
        count: proposals for each box.
        sigmas: of the noise / sqrt(width * height); one is drawn for each proposal.
        min_iou: of a proposal and its box; a proposal falls below it only if all of 8 tries do.
        generator: for all random numbers.

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
    # The first try that overlaps enough; if none does (rare), the one that overlaps most.
    choice = torch.where((overlap >= min_iou).any(-1), (overlap >= min_iou).int().argmax(-1), overlap.argmax(-1))
    proposals = tried.gather(2, choice[..., None, None].expand(*shape[:2], 1, 4))[:, :, 0]
    return proposals, overlap.gather(2, choice[..., None])[:, :, 0]
