# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Views, which sources of training pairs return: an image and an object's box in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from atom_core.boxes import Box
from atom_core.data.images import read_image


class View(Protocol):
    """An object in an image.

    Attributes:
        box: the object's.
        objects: the boxes of all annotated objects of a still image, including this one; empty for a video, whose
            second view has only `box`.
    """

    @property
    def box(self) -> Box:
        """In image px."""
        ...

    @property
    def objects(self) -> tuple[Box, ...]:
        """In image px."""
        ...

    def read(self) -> np.ndarray:
        """The image, (H, W, 3) uint8 RGB; read-only.

        Raises:
            ValueError: if it cannot be read.
        """
        ...


@dataclass(frozen=True)
class FileView:
    """An object in an image file."""

    path: Path
    box: Box
    objects: tuple[Box, ...] = ()

    def read(self) -> np.ndarray:
        """The file's image."""
        return _read_cached(self.path)


@dataclass(frozen=True)
class ComposedView:
    """An object in an image in memory."""

    image: np.ndarray
    box: Box
    objects: tuple[Box, ...] = ()

    def read(self) -> np.ndarray:
        """The image itself."""
        return self.image


class Source(Protocol):
    """Draws pairs of views of one object."""

    name: str

    def draw(self, rng: np.random.Generator) -> tuple[View, View]:
        """A (reference, test) pair.

        Raises:
            ValueError: if the pair cannot be read; the message says why, and another draw may succeed.
        """
        ...


@lru_cache(maxsize=8)  # both views of a still image come from one file
def _read_cached(path: Path) -> np.ndarray:
    return read_image(path)
