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
from pathlib import Path

import numpy as np

from atom_core.images import find_images
from atom_core.training.config import TrainingConfig
from atom_core.training.cut_paste import CutPaste, MaskedObject
from atom_core.training.views import FileView, Source

_MIN_SEQUENCE_FRAMES = 5  # visible ones: the paper asks for more than 4
_MIN_SIDE = 4.0  # px; a smaller box says nothing about overlap


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
            [FileView(folder / "images" / file, tuple(box)) for box in boxes if _usable(box)]
            for file, boxes in sorted(listed.items())
        ]
        self._images = [views for views in self._images if views]
        if not self._images:
            raise ValueError(f"{folder / 'boxes.json'} lists no box of at least {_MIN_SIDE} px a side")

    def draw(self, rng: np.random.Generator) -> tuple[FileView, FileView]:
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

    def draw(self, rng: np.random.Generator) -> tuple[FileView, FileView]:
        """Two views of one sequence."""
        sequence = self._sequences[rng.integers(len(self._sequences))]
        visible = [i for i, view in enumerate(sequence) if view is not None]
        reference = visible[rng.integers(len(visible))]
        near = [i for i in visible if abs(i - reference) <= self._max_gap]
        return sequence[reference], sequence[near[rng.integers(len(near))]]


def find_sources(folders: list[Path], config: TrainingConfig) -> list[Source]:
    """The sources below some folders: still-image sets, videos grouped by the prefix of their names, and `cut_paste`.

    Raises:
        ValueError: if a folder does not exist, nothing is found, or a source is damaged; the message names it.
    """
    sources: list[Source] = []
    stills: list[Path] = []
    videos: dict[str, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder; expected one with still-image sets or video sequences")
        for entry in sorted(p for p in folder.iterdir() if p.is_dir()):
            if (entry / "boxes.json").is_file():
                stills.append(entry)
                if any(_read_boxes_json(entry).values()):  # a set of mere backgrounds lists no box at all
                    sources.append(StillImages(entry))
            elif (entry / "groundtruth_rect.txt").is_file():
                videos.setdefault(entry.name.partition("__")[0], []).append(entry)
    sources += [Videos(name, entries, config.max_frame_gap) for name, entries in videos.items()]
    if not sources:
        names = ", ".join(str(f) for f in folders)
        raise ValueError(f"no boxes.json and no groundtruth_rect.txt in the folders below {names}")
    sources += _find_cut_paste(stills, videos, config)
    return sources


def _find_cut_paste(stills: list[Path], videos: dict[str, list[Path]], config: TrainingConfig) -> list[CutPaste]:
    """The source of composed pairs, where there are masks."""
    objects = {folder.name: _masked_stills(folder) for folder in stills if (folder / "masks").is_dir()}
    for name, folders in videos.items():
        tracks = [_masked_sequence(folder) for folder in folders if (folder / "mask").is_dir()]
        if tracks:
            objects[name] = tracks
    if not objects:
        return []
    backgrounds = [image for folder in stills for image in find_images(folder / "images")]
    return [CutPaste(objects, backgrounds, config.max_frame_gap, config.cut_paste)]


def _masked_stills(folder: Path) -> list[list[MaskedObject]]:
    return [
        [MaskedObject(folder / "images" / file, (folder / "masks" / file).with_suffix(".png"), tuple(box))]
        for file, boxes in sorted(_read_boxes_json(folder).items())
        for box in boxes
        if _usable(box)
    ]


def _masked_sequence(folder: Path) -> list[MaskedObject | None]:
    return [
        view and MaskedObject(view.path, (folder / "mask" / view.path.name).with_suffix(".png"), view.box)
        for view in _read_sequence(folder)
    ]


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


def _read_sequence(folder: Path) -> list[FileView | None]:
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
    return [FileView(f, tuple(map(float, b))) if _usable(b) else None for f, b in zip(frames, boxes, strict=True)]


def _usable(box: list[float] | np.ndarray) -> bool:
    return bool(np.isfinite(box).all() and box[2] >= _MIN_SIDE and box[3] >= _MIN_SIDE)
