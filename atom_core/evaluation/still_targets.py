# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Targets in still images, of several kinds; the choice is deterministic.

Kinds: the annotated box (`whole`), a half, a quarter or the head of it (`part`), an annotated face (`face`), a textured
region without annotation (`texture`), the annotated box enlarged by a fifth on each axis (`loose`).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from atom_core.boxes import Box
from atom_core.data.catalog import StillSet, find_data
from atom_core.data.held_back import held_back
from atom_core.data.images import read_image

KINDS = ("whole", "part", "face", "texture", "loose")
FACE_SETS = ("face_mask",)  # still sets whose boxes are faces
_MIN_SIDE = 12.0  # px
_MAX_SHARE = 0.6  # of the image's area: a larger target leaves no surroundings
_PER_IMAGE = 3  # targets of one kind
_LOOSE = 1.2
_TEXTURE_SIDES = (20.0, 160.0)  # px
_MIN_CONTRAST = 20.0  # standard deviation of the grey levels in a textured region
_TRIES = 8


@dataclass(frozen=True)
class StillTarget:
    """A target in an image file.

    Attributes:
        path: of the image.
        box: the target's, image px.
        kind: one of KINDS.
        still_set: the name of the data set.
    """

    path: Path
    box: Box
    kind: str
    still_set: str

    @property
    def side(self) -> float:
        """sqrt(width * height), px."""
        return math.sqrt(self.box[2] * self.box[3])


def find_targets(
    folders: Sequence[Path],
    per_kind: int,
    kinds: Sequence[str] = KINDS,
    choose: Callable[[Path], bool] = held_back,
) -> list[StillTarget]:
    """Targets in the still images below some folders.

    Each set is weighted by the square root of its number of images, so that neither a large nor a narrow set dominates.

    Args:
        folders: with still images as `atom-train` reads them.
        per_kind: how many of each kind; fewer where there are no more.
        kinds: of KINDS.
        choose: which image files may be used; by default those held back from training.

    Raises:
        ValueError: if a kind is unknown, a folder cannot be used, or there is no target at all.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise ValueError(f"unknown kind of target '{unknown[0]}'; expected {', '.join(KINDS)}")
    images = list(_images(find_data(list(folders)).stills, choose))
    targets = [target for kind in kinds for target in _of_kind(kind, images, per_kind)]
    if not targets:
        raise ValueError(f"no usable target in {', '.join(map(str, folders))}: none of the images chosen has a box")
    return targets


@dataclass(frozen=True)
class _Image:
    path: Path
    still_set: str
    boxes: np.ndarray
    weight: float  # of being drawn among all images


def _images(stills: dict[str, list[StillSet]], choose: Callable[[Path], bool]) -> Iterator[_Image]:
    for name, sets in stills.items():
        chosen = [(s.images / file, boxes) for s in sets for file, boxes in s.boxes.items() if choose(Path(file))]
        for path, boxes in chosen:
            yield _Image(path, name, boxes, 1 / math.sqrt(len(chosen)))


def _of_kind(kind: str, images: Iterable[_Image], count: int) -> list[StillTarget]:
    """The first usable candidates in a fixed random order that draws without replacement by weight."""
    if kind == "texture":
        candidates = [(image, -1) for image in images]
    else:
        is_face = kind == "face"
        usable = [image for image in images if (image.still_set in FACE_SETS) == is_face]
        candidates = [(image, index) for image in usable for index in range(len(image.boxes))]
    # Exponentially distributed keys (Efraimidis and Spirakis, 2006): a box shares its image's weight with the others.
    order = sorted(candidates, key=lambda c: _uniform_log(kind, *c) * max(1, len(c[0].boxes)) / c[0].weight)
    found: list[StillTarget] = []
    used: Counter[Path] = Counter()
    for image, index in order:
        if len(found) == count:
            break
        box = _make_box(kind, image, index) if used[image.path] < _PER_IMAGE else None
        if box is not None:
            used[image.path] += 1
            found.append(StillTarget(image.path, box, kind, image.still_set))
    return found


def _uniform_log(kind: str, image: _Image, index: int) -> float:
    """-log of a number in (0, 1) that depends only on the names."""
    return -math.log((_digest(kind, image, index) % 2**32 + 0.5) / 2**32)


def _digest(kind: str, image: _Image, index: int) -> int:
    name = f"{kind}/{image.still_set}/{image.path.name}/{index}"
    return int.from_bytes(hashlib.sha1(name.encode(), usedforsecurity=False).digest()[:8], "big")


def _make_box(kind: str, image: _Image, index: int) -> Box | None:
    """The box of a candidate, or None if it cannot be used."""
    rng = np.random.default_rng(_digest(kind, image, index))
    pixels = read_image(image.path)
    height, width = pixels.shape[:2]
    if kind == "texture":
        return _textured_box(pixels, rng)
    x, y, w, h = image.boxes[index]
    if kind == "part":
        x, y, w, h = _part(x, y, w, h, rng)
    elif kind == "loose":
        x, y, w, h = x - w * (_LOOSE - 1) / 2, y - h * (_LOOSE - 1) / 2, w * _LOOSE, h * _LOOSE
    is_usable = min(w, h) >= _MIN_SIDE and w * h <= _MAX_SHARE * width * height  # False for NaN
    return (float(x), float(y), float(w), float(h)) if is_usable else None


def _part(x: float, y: float, w: float, h: float, rng: np.random.Generator) -> Box:
    """A half, a quarter or, for an upright object, the head."""
    choice = rng.integers(3 if h > 1.5 * w else 2)
    if choice == 2:
        return x + w / 4, y, w / 2, h / 4
    if choice == 1:
        return x + rng.integers(2) * w / 2, y + rng.integers(2) * h / 2, w / 2, h / 2
    if rng.integers(2):
        return x + rng.integers(2) * w / 2, y, w / 2, h
    return x, y + rng.integers(2) * h / 2, w, h / 2


def _textured_box(pixels: np.ndarray, rng: np.random.Generator) -> Box | None:
    """The region with the highest contrast among a few."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    best: tuple[float, Box] | None = None
    for _ in range(_TRIES):
        side = math.exp(rng.uniform(*np.log(_TEXTURE_SIDES)))
        aspect = math.exp(0.4 * rng.standard_normal() / 2)
        w, h = min(side * aspect, 0.7 * width), min(side / aspect, 0.7 * height)
        x, y = rng.uniform(0, width - 1 - w), rng.uniform(0, height - 1 - h)
        contrast = float(grey[round(y) : round(y + h) + 1, round(x) : round(x + w) + 1].std())
        if min(w, h) >= _MIN_SIDE and contrast >= max(_MIN_CONTRAST, best[0] if best else 0):
            best = contrast, (x, y, w, h)
    return best[1] if best else None
