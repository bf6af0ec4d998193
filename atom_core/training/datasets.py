# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Sources of training pairs: two images of one object, with its box in each.

Layouts:

* still images: `NAME/boxes.json` = {"file": [[x, y, width, height], ...], ...} beside `NAME/images/file`;
* video: `PREFIX__NAME/groundtruth_rect.txt`, a line "x,y,width,height" a frame, beside the frames in `img/`, in the
  order of their names; NaN where the target is out of view. Sequences of one prefix make one source.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from atom_core.evaluation.sequences import find_images

Box = tuple[float, float, float, float]
_MIN_SEQUENCE_FRAMES = 5  # visible ones: the paper asks for more than 4
_MIN_SIDE = 4.0  # px; a smaller box says nothing about overlap


@dataclass(frozen=True)
class View:
    """An object in an image: the image's file and the box (x, y, width, height) in its pixels."""

    path: Path
    box: Box


class Source(Protocol):
    """Draws pairs of views of one object."""

    name: str

    def draw(self, rng: np.random.Generator) -> tuple[View, View]:
        """A (reference, test) pair."""
        ...


class StillImages:
    """Synthetic pairs: one still image twice.

    Raises:
        ValueError: if the folder's `boxes.json` is damaged or has no usable box.
    """

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        listed = _read_boxes_json(folder)
        # An image is drawn first and one of its boxes then, so that a crowd does not outweigh a portrait.
        self._images = [
            [View(folder / "images" / file, tuple(box)) for box in boxes if _usable(box)]
            for file, boxes in sorted(listed.items())
        ]
        self._images = [views for views in self._images if views]
        if not self._images:
            raise ValueError(f"{folder / 'boxes.json'} lists no box of at least {_MIN_SIDE} px a side")

    def draw(self, rng: np.random.Generator) -> tuple[View, View]:
        """One view, twice."""
        views = self._images[rng.integers(len(self._images))]
        view = views[rng.integers(len(views))]
        return view, view


class Videos:
    """Pairs of frames of one sequence, at most `max_frame_gap` frames apart.

    Raises:
        ValueError: if a sequence is damaged, or none has enough frames with the target in view.
    """

    def __init__(self, name: str, folders: list[Path], max_frame_gap: int) -> None:
        self.name = name
        self._max_gap = max_frame_gap
        sequences = [_read_sequence(folder) for folder in folders]
        self._sequences = [s for s in sequences if sum(view is not None for view in s) >= _MIN_SEQUENCE_FRAMES]
        if not self._sequences:
            raise ValueError(f"source {name!r}: no sequence has {_MIN_SEQUENCE_FRAMES} frames with a usable box")

    def draw(self, rng: np.random.Generator) -> tuple[View, View]:
        """Two views of one sequence."""
        sequence = self._sequences[rng.integers(len(self._sequences))]
        visible = [i for i, view in enumerate(sequence) if view is not None]
        reference = visible[rng.integers(len(visible))]
        near = [i for i in visible if abs(i - reference) <= self._max_gap]
        return sequence[reference], sequence[near[rng.integers(len(near))]]


def find_sources(folders: list[Path], max_frame_gap: int) -> list[Source]:
    """The sources below some folders: each still-image set, and the videos grouped by the prefix of their names.

    Raises:
        ValueError: if a folder does not exist, nothing is found, or a source is damaged; the message names it.
    """
    sources: list[Source] = []
    videos: dict[str, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder; expected one with still-image sets or video sequences")
        for entry in sorted(p for p in folder.iterdir() if p.is_dir()):
            if (entry / "boxes.json").is_file():
                if any(_read_boxes_json(entry).values()):  # a set of mere backgrounds lists no box at all
                    sources.append(StillImages(entry))
            elif (entry / "groundtruth_rect.txt").is_file():
                videos.setdefault(entry.name.partition("__")[0], []).append(entry)
    sources += [Videos(name, entries, max_frame_gap) for name, entries in videos.items()]
    if not sources:
        names = ", ".join(str(f) for f in folders)
        raise ValueError(f"no boxes.json and no groundtruth_rect.txt in the folders below {names}")
    return sources


def _read_boxes_json(folder: Path) -> dict[str, list[list[float]]]:
    path = folder / "boxes.json"
    try:
        listed = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error
    if not isinstance(listed, dict):
        raise ValueError(f"{path} holds a {type(listed).__name__}; expected an object: file name -> list of boxes")
    for file, boxes in listed.items():
        if not all(isinstance(box, list) and len(box) == 4 for box in boxes):
            raise ValueError(f"{path}: the boxes of {file!r} are {boxes}; expected [[x, y, width, height], ...]")
    return listed


def _read_sequence(folder: Path) -> list[View | None]:
    """A view a frame; None where the target is absent or too small."""
    path = folder / "groundtruth_rect.txt"
    try:
        boxes = np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; expected a line x,y,width,height for each frame") from error
    if boxes.shape[1] != 4:
        raise ValueError(f"{path} has {boxes.shape[1]} numbers a line; expected x,y,width,height")
    if not (folder / "img").is_dir():
        raise ValueError(f"{folder} has no folder img/; expected the sequence's frames there")
    frames = find_images(folder / "img")
    if len(boxes) != len(frames):
        raise ValueError(f"{folder}: {len(boxes)} lines in groundtruth_rect.txt but {len(frames)} images in img/")
    return [View(f, tuple(map(float, b))) if _usable(b) else None for f, b in zip(frames, boxes, strict=True)]


def _usable(box: list[float] | np.ndarray) -> bool:
    return bool(np.isfinite(box).all() and box[2] >= _MIN_SIDE and box[3] >= _MIN_SIDE)
