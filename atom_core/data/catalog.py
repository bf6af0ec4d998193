# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The data sets in some folders, for training: sequences and still images; docs/training.md shows the folders.

Boxes are (x, y, width, height) in px, the first pixel's centre at 0. Only a sequence's name is read until its content
is needed: the large sets have tens of thousands of sequences.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from atom_core.data.annotations import mark_absent, read_lines
from atom_core.data.images import visible
from atom_core.data.layouts import GROUND_TRUTH, Entry, read_got10k, read_lasot, read_simple, read_trackingnet
from atom_core.data.sequences import Sequence, to_sequence

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LazySequence:
    """A sequence that is read when it is needed.

    Attributes:
        place: for messages.
        read: reads it. Raises ValueError or OSError if its boxes or images are missing or malformed.
        masks: the folder with a mask for each frame, `NAME.png` for the image `NAME.*`, if there is one.
    """

    place: Path
    read: Callable[[], Sequence]
    masks: Path | None = None


@dataclass(frozen=True)
class StillSet:
    """Still images: their folder, the boxes (K, 4) of each file, and the folder of masks as for a sequence."""

    images: Path
    boxes: dict[str, np.ndarray]
    masks: Path | None = None


@dataclass
class Catalog:
    """The data sets in some folders, keyed by the name of the source of training pairs."""

    stills: dict[str, list[StillSet]] = field(default_factory=dict)
    sequences: dict[str, list[LazySequence]] = field(default_factory=dict)


def find_data(folders: list[Path]) -> Catalog:
    """Recognises the layout of each folder by its content.

    Raises:
        ValueError: if a folder does not exist or has no known layout, or a list of boxes of still images is damaged.
    """
    found = Catalog()
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder; expected a data set")
        if not any(
            find(folder, found) for find in (_find_coco, _find_trackingnet, _find_got10k, _find_lasot, _find_simple)
        ):
            raise ValueError(
                f"{folder} has no known layout; looked for NAME/boxes.json, NAME/{GROUND_TRUTH}, "
                "annotations/instances_*.json (COCO), TRAIN_*/anno/*.txt (TrackingNet), "
                "train/GOT-10k_*/groundtruth.txt (GOT-10k), CLASS/CLASS-*/groundtruth.txt (LaSOT)"
            )
    return found


# --- the simple layouts ---


def _find_simple(folder: Path, found: Catalog) -> bool:
    """Still images beside `boxes.json`, videos beside `groundtruth_rect.txt`, below a folder or in it."""
    recognized = False
    for entry in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        name = entry.absolute().name
        if (entry / "boxes.json").is_file():
            still_set = StillSet(entry / "images", _read_boxes_json(entry / "boxes.json"), _existing(entry / "masks"))
            found.stills.setdefault(name, []).append(still_set)
        elif (entry / GROUND_TRUTH).is_file():
            sequence = _lazy("simple", entry, partial(read_simple, entry), _existing(entry / "mask"))
            found.sequences.setdefault(name.partition("__")[0], []).append(sequence)
        else:
            continue
        recognized = True
    return recognized


def _existing(folder: Path) -> Path | None:
    return folder if folder.is_dir() else None


def _read_boxes_json(path: Path) -> dict[str, np.ndarray]:
    """The boxes of each file: {"file": [[x, y, width, height], ...], ...}."""
    listed = _read_json(path)
    if not isinstance(listed, dict):
        raise ValueError(f"{path} holds a {type(listed).__name__}; expected an object: file name -> list of boxes")
    return {file: _box_array(boxes, f"{path}: the boxes of {file!r}") for file, boxes in listed.items()}


# --- LaSOT ---


def _find_lasot(folder: Path, found: Catalog) -> bool:
    """`CLASS/CLASS-N/{img/%08d.jpg, groundtruth.txt, full_occlusion.txt, out_of_view.txt}`."""
    marks = [path for depth in ("*", "*/*") for path in folder.glob(f"{depth}/groundtruth.txt")]
    places = sorted(path.parent for path in marks if (path.parent / "img").is_dir())
    if not places:
        return False
    training, testing = folder / "training_set.txt", folder / "testing_set.txt"
    if training.is_file():
        listed = set(read_lines(training))
        places = [place for place in places if place.name in listed]
    elif testing.is_file():
        listed = set(read_lines(testing))
        places = [place for place in places if place.name not in listed]
    else:
        _LOG.warning(
            "%s has no training_set.txt: the sequences of LaSOT's test are used too, if they are there", folder
        )
    found.sequences.setdefault("lasot", []).extend(
        _lazy("lasot", place, partial(read_lasot, place)) for place in places
    )
    return True


# --- TrackingNet ---


def _find_trackingnet(folder: Path, found: Catalog) -> bool:
    """`TRAIN_K/{anno/VIDEO.txt, frames/VIDEO/%d.jpg}`, or one such chunk."""
    chunks = [folder, *sorted(path for path in folder.iterdir() if re.fullmatch(r"(?i)train_\d+", path.name))]
    chunks = [chunk for chunk in chunks if (chunk / "anno").is_dir() and (chunk / "frames").is_dir()]
    for chunk in chunks:
        found.sequences.setdefault("trackingnet", []).extend(
            _lazy("trackingnet", path, partial(read_trackingnet, path, chunk / "frames" / path.stem))
            for path in sorted(visible((chunk / "anno").glob("*.txt")))
        )
    return bool(chunks)


# --- GOT-10k ---


def _find_got10k(folder: Path, found: Catalog) -> bool:
    """`train/GOT-10k_Train_%06d/{%08d.jpg, groundtruth.txt, absence.label, cover.label}`, or the folder `train`."""
    places = sorted(path for base in (folder, folder / "train") for path in base.glob("GOT-10k_*") if path.is_dir())
    if places:
        found.sequences.setdefault("got10k", []).extend(
            _lazy("got10k", place, partial(read_got10k, place)) for place in places
        )
    return bool(places)


# --- COCO ---


def _find_coco(folder: Path, found: Catalog) -> bool:
    """`annotations/instances_SPLIT.json` with images in `SPLIT/` or `images/SPLIT/`; `instances_val*` is left alone."""
    listed = sorted(visible((folder / "annotations").glob("instances_*.json")))
    files = [path for path in listed if "_val" not in path.stem]
    for path in files:
        split = path.stem.removeprefix("instances_")
        images = _existing(folder / split) or _existing(folder / "images" / split)
        if images is None:
            raise ValueError(
                f"{path} is there but not its images; expected {folder / split} or {folder / 'images' / split}"
            )
        found.stills.setdefault("coco", []).append(StillSet(images, _read_coco(path)))
    return bool(files)


def _read_coco(path: Path) -> dict[str, np.ndarray]:
    """The boxes of each image without crowds, which are not single objects."""
    content = _read_json(path)
    try:
        listed: dict[int, list[list[float]]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            if not annotation.get("iscrowd", 0):
                listed[annotation["image_id"]].append(annotation["bbox"])
        names = {image["file_name"]: listed[image["id"]] for image in content["images"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no COCO instances file: {error!r}") from error
    # Measured from the image's corner (COCO's "Data format"), half a pixel from the first pixel's centre.
    return {
        file: _box_array(boxes, f"{path}: the boxes of {file!r}") - (0.5, 0.5, 0, 0) for file, boxes in names.items()
    }


# --- common ---


def _lazy(layout: str, place: Path, read: Callable[[], Entry], masks: Path | None = None) -> LazySequence:
    return LazySequence(place, partial(_read, layout, place, read), masks)


def _read(layout: str, place: Path, read: Callable[[], Entry]) -> Sequence:
    return to_sequence(read(), layout, place)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:  # not JSON, or not text
        raise ValueError(f"{path} is no JSON file: {error}") from error


def _box_array(boxes: Any, what: str) -> np.ndarray:
    """(K, 4) float64; a row of NaN for a box without area."""
    try:
        array = np.array(boxes, dtype=float).reshape(len(boxes), 4)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} are {boxes}; expected [[x, y, width, height], ...]") from error
    return mark_absent(array)
