# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A drawn video of any size: a textured target moves in a circle, alone, with a distractor, or absent."""

from __future__ import annotations

import enum
import math

import cv2
import numpy as np

MIN_SIDE = 64  # px, of the image: otherwise the target is too small for a texture
_CYCLE = 60  # frames per round
_RADIUS = 0.2  # of the circle; this and the next as a share of the image's shorter side
_TARGET = 0.15  # side of the target
_BESIDE = 2.2  # distance of the distractor in target sides: inside the search region, but not near its centre


class Cast(enum.Enum):
    """The objects in an image."""

    TARGET = "target"
    DISTRACTOR = "distractor"  # the target and an identical-looking object
    NOBODY = "nobody"


class DrawnScene:
    """A deterministic video: the same images for the same size.

    Args:
        width: of the images, px.
        height: likewise.

    Raises:
        ValueError: if a side is shorter than MIN_SIDE.
    """

    def __init__(self, width: int, height: int) -> None:
        if min(width, height) < MIN_SIDE:
            raise ValueError(f"images of {width}x{height} are too small to draw in; give {MIN_SIDE} px a side or more")
        generator = np.random.default_rng(0)
        self._unit = min(width, height)
        self._background = _texture(generator, width, height, cells=24) // 2
        side = round(_TARGET * self._unit)
        self._target = _texture(generator, side, side, cells=4)
        self._middle = np.array((width, height)) / 2

    def box(self, index: int) -> tuple[float, float, float, float]:
        """The target's box (x, y, width, height) in image number `index`, see `atom_core.boxes`."""
        column, row = self._corner(index, _RADIUS * self._unit)
        side = len(self._target)
        return column - 0.5, row - 0.5, float(side), float(side)

    def image(self, index: int, cast: Cast = Cast.TARGET) -> np.ndarray:
        """Image number `index`, (H, W, 3) uint8 RGB, a copy for the caller."""
        side, radius = len(self._target), _RADIUS * self._unit
        radii = {Cast.TARGET: (radius,), Cast.DISTRACTOR: (radius, radius - _BESIDE * side), Cast.NOBODY: ()}[cast]
        image = self._background.copy()
        for column, row in (self._corner(index, radius) for radius in radii):
            image[row : row + side, column : column + side] = self._target
        return image

    def _corner(self, index: int, radius: float) -> tuple[int, int]:
        """First column and row of a square that circles around the image's centre."""
        angle = 2 * math.pi * index / _CYCLE
        x, y = self._middle + radius * np.array((math.cos(angle), math.sin(angle))) - len(self._target) / 2
        return round(x), round(y)


def _texture(generator: np.random.Generator, width: int, height: int, cells: int) -> np.ndarray:
    coarse = generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
