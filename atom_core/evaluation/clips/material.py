# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The material of clips: targets in still images, cut-out objects, sequences, backgrounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from atom_core.data.catalog import LazySequence, StillSet, find_data
from atom_core.data.frames import ImageFiles
from atom_core.data.held_back import held_back
from atom_core.data.images import read_image
from atom_core.evaluation.still_targets import StillTarget, find_targets

_PER_KIND = 100
_MIN_OBJECT = 24.0  # px, shorter side of an object that can be cut out
_MIN_FRAMES = 40  # of a sequence that can be a clip's background
_MAX_PATCH = 256  # px


@dataclass(frozen=True)
class CutOut:
    """An object in an image file, with its mask's file and its box in px."""

    image: Path
    mask: Path
    box: tuple[float, float, float, float]
    still_set: str


@dataclass(frozen=True)
class Video:
    """A sequence of images with the target's boxes (N, 4) and its mask files, if any."""

    name: str
    images: tuple[Path, ...]
    boxes: np.ndarray
    masks: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Material:
    """The material that clips are made from; picklable.

    Attributes:
        targets: in still images, of all kinds.
        objects: that can be cut out of still images.
        videos: sequences whose target is never absent.
        backgrounds: image files.
    """

    targets: tuple[StillTarget, ...]
    objects: tuple[CutOut, ...]
    videos: tuple[Video, ...]
    backgrounds: tuple[Path, ...]


def find_material(folders: Sequence[Path], choose: Callable[[Path], bool] = held_back) -> Material:
    """The material below some folders of still images and sequences.

    Args:
        folders: as `atom-train` reads them.
        choose: which still images may be used; by default those held back from training.

    Raises:
        ValueError: if a folder cannot be used, or there is no target in any still image.
    """
    found = find_data(list(folders))
    targets = find_targets(folders, _PER_KIND, choose=choose)
    objects = [o for name, sets in found.stills.items() for s in sets for o in _cut_outs(name, s, choose)]
    videos = [video for sequences in found.sequences.values() for s in sequences if (video := _video(s))]
    backgrounds = sorted(
        {s.images / file for sets in found.stills.values() for s in sets for file in s.boxes if choose(Path(file))}
    )
    return Material(tuple(targets), tuple(objects), tuple(videos), tuple(backgrounds))


def _cut_outs(name: str, still_set: StillSet, choose: Callable[[Path], bool]) -> list[CutOut]:
    if still_set.masks is None:
        return []
    return [
        CutOut(still_set.images / file, (still_set.masks / file).with_suffix(".png"), tuple(box.tolist()), name)
        for file, boxes in sorted(still_set.boxes.items())
        if choose(Path(file))
        for box in boxes
        if box[2:].min() >= _MIN_OBJECT
    ]


def _video(lazy: LazySequence) -> Video | None:
    """The sequence, if it is long enough and its target always visible."""
    try:
        sequence = lazy.read()
    except (ValueError, OSError):  # damaged: training reports it
        return None
    frames, boxes = sequence.frames, sequence.boxes
    if not isinstance(frames, ImageFiles) or len(boxes) < _MIN_FRAMES or not np.isfinite(boxes).all():
        return None
    masks = tuple((lazy.masks / name).with_suffix(".png") for name in frames.names) if lazy.masks else ()
    return Video(sequence.name, frames.paths, boxes, masks)


def cut_out(image: Path, mask: Path) -> np.ndarray:
    """A patch (h, w, 4) uint8 of the object in an image, no larger than its mask; see `scene.Sprite`.

    Raises:
        ValueError: if a file cannot be read or the mask is empty or of another size.
    """
    pixels, cover = read_image(image), cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
    if cover is None or cover.shape != pixels.shape[:2] or not cover.any():
        raise ValueError(f"the mask {mask} is missing, empty or of another size than its image")
    rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    patch = np.dstack((pixels[inside], np.where(cover[inside] > 0, np.uint8(255), np.uint8(0))))
    return _shrink(patch)


def crop_out(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """A patch (h, w, 4) uint8 of a box's content inside an ellipse: a distractor if there is no mask."""
    x, y, width, height = box
    left, top = max(0, round(x)), max(0, round(y))
    pixels = image[top : max(top + 2, round(y + height)), left : max(left + 2, round(x + width))]
    rows, columns = pixels.shape[:2]
    cover = np.zeros((rows, columns), np.uint8)
    middle = ((columns - 1) // 2, (rows - 1) // 2)
    cv2.ellipse(cover, middle, (columns // 2, rows // 2), 0, 0, 360, 255, -1)
    return _shrink(np.dstack((pixels, cover)))


def _shrink(patch: np.ndarray) -> np.ndarray:
    ratio = _MAX_PATCH / max(patch.shape[:2])
    return patch if ratio >= 1 else cv2.resize(patch, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
