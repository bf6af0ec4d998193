# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A changed copy of an image: shifted, scaled, relit, blurred, compressed; with the target's box in it."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from atom_core.boxes import Box
from atom_core.data.images import jpeg_compressed

_SHIFT = 0.25  # of sqrt(width * height), at most, on each axis
_SCALE = 1.1  # at most; at least 1 / 1.1
_LIGHT = 0.25  # change of brightness and of contrast, at most
_BLUR = 1.2  # px, sigma at most
_QUALITY = (30, 80)  # of jpeg


class ChangedCopy(NamedTuple):
    """The image (H, W, 3) uint8 RGB, of the same size, and the box in it."""

    image: np.ndarray
    box: Box


def changed_copy(image: np.ndarray, box: Box, rng: np.random.Generator) -> ChangedCopy:
    """Changes an image (H, W, 3) uint8 RGB around a target's box (image px)."""
    side = math.sqrt(box[2] * box[3])
    scale = math.exp(rng.uniform(-1, 1) * math.log(_SCALE))
    center = np.array((box[0] + box[2] / 2, box[1] + box[3] / 2))
    shift = (1 - scale) * center + rng.uniform(-_SHIFT, _SHIFT, 2) * side
    # OpenCV's pixel centres are whole numbers, like ours.
    matrix = np.array(((scale, 0, shift[0]), (0, scale, shift[1])))
    size = image.shape[1::-1]
    moved = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    contrast, brightness = 1 + rng.uniform(-_LIGHT, _LIGHT), 128 * rng.uniform(-_LIGHT, _LIGHT)
    lit = np.clip((moved.astype(np.float32) - 128) * contrast + 128 + brightness, 0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.2, _BLUR))
    compressed = jpeg_compressed(blurred, int(rng.integers(*_QUALITY, endpoint=True)))
    x, y = np.array(box[:2]) * scale + shift
    return ChangedCopy(compressed, (float(x), float(y), box[2] * scale, box[3] * scale))
