# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Image files: find them in a folder, read them."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def find_images(folder: str | Path) -> list[Path]:
    """The image files in a folder, in the order of their names; numbers in them count as numbers: 2.jpg before 10.jpg.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    return sorted((path for path in Path(folder).iterdir() if path.suffix.lower() in _SUFFIXES), key=_natural_order)


def read_image(path: str | Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB.

    Raises:
        ValueError: if the file is missing or no image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"cannot read the image {path}: missing, damaged or of an unknown format")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _natural_order(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """A key that sorts numbers by value; the name itself decides between 1.jpg and 01.jpg."""
    parts = re.findall(r"(\d+)|(\D+)", path.name)
    return [(0, int(digits), "") if digits else (1, 0, text) for digits, text in parts], path.name
