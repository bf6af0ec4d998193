# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Sequences on disk: frames and one reference box for each.

A sequence is a folder with `groundtruth_rect.txt` (one line `x,y,width,height` a frame; commas, tabs or blanks) and
either `img/` with the frames (sorted by name) or one video file.
Boxes are (x, y, width, height) in continuous image px, top-left corner, the first pixel's centre at 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

GROUND_TRUTH = "groundtruth_rect.txt"
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
_VIDEO_SUFFIXES = {".mp4", ".avi", ".mkv", ".mov", ".webm"}


class SequenceError(ValueError):
    """A sequence on disk is incomplete or malformed; the message names the folder and what is wrong."""


@dataclass(frozen=True)
class ImageFiles:
    """Frames in image files, read one at a time, anew in each iteration."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        for path in self.paths:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                raise SequenceError(f"{path}: not a readable image; expected JPEG, PNG or BMP")
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@dataclass(frozen=True)
class VideoFile:
    """The first `length` frames of a video, decoded one at a time, anew in each iteration."""

    path: Path
    length: int

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[np.ndarray]:
        video = cv2.VideoCapture(str(self.path))
        try:
            for index in range(self.length):
                decoded, image = video.read()
                if not decoded:
                    raise SequenceError(f"{self.path}: ends at frame {index}; its reference boxes need {self.length}")
                yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        finally:
            video.release()


@dataclass(frozen=True)
class Sequence:
    """A named sequence.

    Attributes:
        name: the folder's name.
        frames: can be iterated any number of times; gives images (H, W, 3), uint8, RGB.
        boxes: (N, 4) float64, one box a frame; a row of NaN where the target is absent.
    """

    name: str
    frames: Iterable[np.ndarray]
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


def read_sequence(folder: str | Path) -> Sequence:
    """Reads one sequence; frames stay on disk until they are iterated.

    Raises:
        SequenceError: if the folder, its boxes or its frames are missing, or their numbers differ.
    """
    folder = Path(folder)
    boxes = read_boxes(folder / GROUND_TRUTH)
    if np.isnan(boxes[0]).any():
        raise SequenceError(f"{folder}: the target is absent in the first frame; a tracker needs a box there")
    return Sequence(folder.resolve().name, _find_frames(folder, len(boxes)), boxes)


def read_sequences(root: str | Path) -> list[Sequence]:
    """Reads `root` itself if it is a sequence, else each folder in it that is one, sorted by name.

    Raises:
        SequenceError: if there is no sequence, or one of them cannot be read.
    """
    root = Path(root)
    if (root / GROUND_TRUTH).is_file():
        return [read_sequence(root)]
    folders = sorted(path.parent for path in root.glob(f"*/{GROUND_TRUTH}"))
    if not folders:
        raise SequenceError(f"{root}: no sequence here; expected {GROUND_TRUTH} in it or in a folder directly below")
    return [read_sequence(folder) for folder in folders]


def read_boxes(path: str | Path) -> np.ndarray:
    """Reads `x,y,width,height` lines.

    A line with NaN or with no area (the benchmarks' ways to say that the target is absent) becomes a row of NaN.

    Returns:
        (N, 4) float64, image px.

    Raises:
        SequenceError: if the file is missing or empty, or a line does not hold four numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise SequenceError(f"{path.parent}: {path.name} is missing; expected one line 'x,y,width,height' a frame")
    lines = path.read_text().rstrip().splitlines()
    if not lines:
        raise SequenceError(f"{path}: is empty; expected one line 'x,y,width,height' a frame")
    boxes = np.array([_parse_box(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)])
    absent = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
    boxes[absent] = np.nan
    return boxes


def _parse_box(line: str, place: str) -> list[float]:
    fields = line.replace(",", " ").split()
    try:
        box = [float(field) for field in fields]
    except ValueError as error:
        raise SequenceError(f"{place}: '{line}' is not four numbers: {error}") from error
    if len(box) != 4:
        raise SequenceError(f"{place}: '{line}' holds {len(box)} numbers; expected x,y,width,height")
    return box


def _find_frames(folder: Path, count: int) -> ImageFiles | VideoFile:
    """The folder's frames, whose number must be `count`."""
    images = folder / "img"
    if images.is_dir():
        paths = tuple(find_images(images))
        _require_count(folder, f"{images.name}/ holds {len(paths)} images", len(paths), count)
        return ImageFiles(paths)
    videos = [path for path in folder.iterdir() if path.suffix.lower() in _VIDEO_SUFFIXES]
    if len(videos) != 1:
        raise SequenceError(f"{folder}: expected a folder img/ or exactly one video, found {len(videos)} videos")
    frames = _count_video_frames(videos[0])
    _require_count(folder, f"{videos[0].name} holds {frames} frames", frames, count)
    return VideoFile(videos[0], count)


def find_images(folder: Path) -> list[Path]:
    """The image files in a folder, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES)


def _count_video_frames(path: Path) -> int:
    video = cv2.VideoCapture(str(path))
    try:
        return int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        video.release()


def _require_count(folder: Path, found: str, frames: int, boxes: int) -> None:
    if frames != boxes:
        raise SequenceError(f"{folder}: {found} but {GROUND_TRUTH} holds {boxes} boxes; expected one box a frame")
