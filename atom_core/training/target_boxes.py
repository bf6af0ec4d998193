# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Which boxes of an image become targets: annotated objects, parts of them, textured regions; loose and tight ones."""

from __future__ import annotations

import cv2
import numpy as np

from atom_core.training.config import TargetsConfig

_TRIES = 20
_MIN_SIDE = 8.0  # px of an image; a smaller part or region shows too little


def draw_target(
    objects: np.ndarray, image: np.ndarray, side: float | None, config: TargetsConfig, rng: np.random.Generator
) -> np.ndarray:
    """A box (4,) that can serve as a target.

    Args:
        objects: (N, 4) annotated boxes in px; x, y, width, height, the first pixel's centre at 0.
        image: (H, W, 3) uint8.
        side: about sqrt(width * height) of a textured region in px; None for one as large as an object.
        config: the settings.
        rng: for all random numbers.
    """
    chosen = objects[rng.integers(len(objects))]
    kind = rng.random()
    if kind < config.part_probability:
        chosen = _draw_part(chosen, rng)
    elif kind < config.part_probability + config.region_probability:
        chosen = _draw_region(image, side or float(np.sqrt(chosen[2:].prod())), chosen, config, rng)
    if rng.random() < config.loose_probability:
        chosen = loosen(chosen, draw_looseness(config, rng))
    return chosen


def draw_looseness(config: TargetsConfig, rng: np.random.Generator) -> np.ndarray:
    """How far the left, top, right and bottom sides (4,) of a box lie outside the object's, as shares of its sides.

    Half of the boxes are looser or tighter by the same share on all sides, like a user's.
    """
    if rng.random() < 0.5:
        return np.full(4, rng.uniform(config.min_loose, config.max_loose))
    return rng.uniform(config.min_loose, config.max_loose, 4)


def loosen(box: np.ndarray, looseness: np.ndarray) -> np.ndarray:
    """The box (4,) with its sides moved outwards by shares (4,): left, top, right, bottom."""
    x, y, w, h = box
    left, top, right, bottom = looseness
    return np.array((x - left * w, y - top * h, w * (1 + left + right), h * (1 + top + bottom)))


def _draw_part(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A half, a quarter, the head of an upright object, or any large enough part of a box (4,)."""
    x, y, w, h = box
    if h > 1.5 * w and rng.random() < 0.5:  # a standing person's head, or head and shoulders
        height = w * rng.uniform(0.5, 1.1)
        width = w * rng.uniform(0.45, 1.0)
        part = np.array((x + (w - width) * rng.uniform(0.3, 0.7), y, width, height))
    else:
        share = rng.choice((0.5, 1.0, rng.uniform(0.35, 0.9)), 2)
        if (share == 1).all():
            share[rng.integers(2)] = 0.5
        size = share * (w, h)
        # Halves and quarters share edges with the object.
        place = rng.choice((0.0, 1.0, rng.random()), 2) * (box[2:] - size)
        part = np.array((*(box[:2] + place), *size))
    return part if part[2:].min() >= _MIN_SIDE else box


def _draw_region(
    image: np.ndarray, side: float, otherwise: np.ndarray, config: TargetsConfig, rng: np.random.Generator
) -> np.ndarray:
    """A box (4,) anywhere in the image that holds enough texture; `otherwise` where none is found."""
    height, width, _ = image.shape
    for _ in range(_TRIES):
        aspect = np.exp(0.5 * rng.standard_normal())
        area_side = side * np.exp(rng.uniform(-0.4, 0.4))
        size = np.array((area_side * np.sqrt(aspect), area_side / np.sqrt(aspect)))
        if size.min() < _MIN_SIDE or size[0] >= width or size[1] >= height:
            continue
        x, y = rng.uniform(0, (width - size[0], height - size[1]))
        patch = image[round(y) : round(y + size[1]), round(x) : round(x + size[0])]
        if cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).std() >= config.min_contrast:
            return np.array((x, y, *size))
    return otherwise
