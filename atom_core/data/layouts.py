# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""How the benchmarks of single-object tracking store their sequences; docs/evaluation.md shows the folders.

A reader returns the files' content, with boxes in the benchmark's own pixel convention. `sequences.read_sequences`
checks the entries and converts them to ours.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from atom_core.data.annotations import mark_absent, parse_row, read_boxes, read_lines, read_rows
from atom_core.data.frames import VIDEO_SUFFIXES, ImageFiles, VideoFile, open_video
from atom_core.data.images import find_images, visible

GROUND_TRUTH = "groundtruth_rect.txt"

# The first and last annotated image of the OTB sequences that are annotated in part, from the benchmark's site.
_OTB_RANGES = {
    "BlurCar1": (247, 988),
    "BlurCar3": (3, 359),
    "BlurCar4": (18, 397),
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
}

# The first image of each part of the recordings that UAV123 divides into sequences, from its configSeqs.m.
_UAV_PARTS = {
    "bird1": (1, 775, 1573),
    "car1": (1, 751, 1627),
    "car6": (1, 487, 1807, 2953, 3925),
    "car8": (1, 1357),
    "car16": (1, 415),
    "group1": (1, 1333, 2515, 3925),
    "group2": (1, 907, 1771),
    "group3": (1, 1567, 2827, 4369),
    "person2": (1, 1189),
    "person4": (1, 1501),
    "person5": (1, 877),
    "person7": (1, 1249),
    "person8": (1, 1075),
    "person12": (1, 601),
    "person14": (1, 847, 1813),
    "person17": (1, 1501),
    "person19": (1, 1243, 2791),
    "truck4": (1, 577),
    "uav1": (1, 1555, 2473),
}

_EXPECTED_SIZE = "expected a section METAINFO with 'resolution: (width, height)'"
_LASOT_LENGTHS = {"monkey-17": 2260}  # the benchmark's own toolkit cuts this one


@dataclass(frozen=True)
class Entry:
    """A sequence as a benchmark stores it.

    Attributes:
        name: unique in the benchmark.
        frames: on disk.
        boxes: (N, 4) float64, the benchmark's pixel convention; a row of NaN where the target is absent or unknown.
        image_size: (width, height), where the benchmark states it.
    """

    name: str
    frames: ImageFiles | VideoFile
    boxes: np.ndarray
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Layout:
    """One way to store sequences.

    Attributes:
        read: returns the entries below a folder, none if it has another layout. The folder's path is absolute, since
            names matter. Raises ValueError or OSError with the file's name if a sequence is damaged.
        fits: says whether a folder can have no other layout.
        first_pixel: the coordinate of the first pixel in the benchmark's boxes.
        expected: what the folder must hold, for messages.
    """

    read: Callable[[Path], Iterator[Entry]]
    fits: Callable[[Path], bool]
    first_pixel: float
    expected: str


def recognize(root: Path) -> str:
    """The name of a folder's layout; `simple` if no benchmark fits."""
    return next((name for name, layout in LAYOUTS.items() if layout.fits(root)), "simple")


def _never(_root: Path) -> bool:
    return False  # looks like another layout


# --- simple ---


def read_simple(folder: Path) -> Entry:
    """One sequence of our own layout: groundtruth_rect.txt beside img/ or one video.

    Raises:
        FileNotFoundError: if the boxes are missing.
        ValueError: if they are malformed, or there are no frames.
    """
    boxes = read_boxes(folder / GROUND_TRUTH)
    if (folder / "img").is_dir():
        return Entry(folder.name, ImageFiles.find(folder / "img"), boxes)
    videos = [path for path in visible(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES]
    if len(videos) != 1:
        raise ValueError(f"{folder}: expected a folder img/ or exactly one video, found {len(videos)} videos")
    return Entry(folder.name, open_video(videos[0]), boxes)


def _read_simple(root: Path) -> Iterator[Entry]:
    return map(read_simple, _folders_with(root, GROUND_TRUTH))


# --- OTB ---


def _read_otb(root: Path) -> Iterator[Entry]:
    for folder in _folders_with(root, "groundtruth_rect*.txt"):
        first, last = _OTB_RANGES.get(folder.name, (0, 10**6))
        images = find_images(folder / "img")
        frames = ImageFiles(folder / "img", tuple(path.name for path in images if first <= _number(path) <= last))
        # Each target has its own file; that of Human4's first target is empty.
        files = [path for path in sorted(visible(folder.glob("groundtruth_rect*.txt"))) if path.read_bytes().strip()]
        for index, path in enumerate(files, start=1):
            target = f"-{index}" if len(files) > 1 else ""
            yield Entry(folder.name + target, frames, read_boxes(path))


def _number(path: Path) -> int:
    if not path.stem.isdecimal():
        raise ValueError(f"{path}: expected a number as the name, as all images of OTB have")
    return int(path.stem)


# --- UAV123 ---


def _read_uav(root: Path, subset: str, images: str = "UAV123", every: int = 1) -> Iterator[Entry]:
    """The sequences of a subset; `images` holds every n-th frame of the recordings."""
    for path in sorted(visible((root / "anno" / subset).glob("*.txt"))):
        boxes = read_boxes(path)
        recording, first = uav_recording(path.stem)
        folder, start = root / "data_seq" / images / recording, (first - 1) // every + 1
        names = tuple(f"{number:06d}.jpg" for number in range(start, start + len(boxes)))
        missing = set(names) - set(ImageFiles.find(folder).names)
        if missing:
            last = start + len(boxes) - 1
            raise FileNotFoundError(f"{folder / min(missing)} is missing; {path} needs images {start} to {last:06d}")
        yield Entry(path.stem, ImageFiles(folder, names), boxes)


def uav_recording(name: str) -> tuple[str, int]:
    """The folder of images that a sequence of UAV123 is a part of, and the number of its first image there."""
    recording, _, part = name.rpartition("_")
    starts = _UAV_PARTS.get(recording, ())
    if part.isdecimal() and 1 <= int(part) <= len(starts):
        return recording, starts[int(part) - 1]
    return name, 1


def _fits_uav(root: Path, subset: str) -> bool:
    return (root / "data_seq" / subset).is_dir() and (root / "anno" / subset).is_dir()


# --- NfS ---


def _read_nfs(root: Path, rate: int) -> Iterator[Entry]:
    for path in sorted(visible(root.glob(f"*/{rate}/*.txt"))):
        images = ImageFiles.find(path.with_suffix(""))
        boxes = np.array([_nfs_box(line, f"{path}, line {n}") for n, line in enumerate(read_lines(path), start=1)])
        if rate == 30 and len(boxes) > len(images) + 1:  # the boxes are for 240 frames per second
            boxes = boxes[::8]
        if abs(len(boxes) - len(images)) == 1:  # in ten of the hundred sequences
            images, boxes = ImageFiles(images.folder, images.names[: len(boxes)]), boxes[: len(images)]
        yield Entry(path.stem, images, mark_absent(boxes))


def _nfs_box(line: str, place: str) -> list[float]:
    """`track x1 y1 x2 y2 frame lost occluded generated "label"`, as the annotation tool VATIC writes it."""
    _, x1, y1, x2, y2 = parse_row(" ".join(line.split()[:5]), place, (5,))
    return [x1, y1, x2 - x1, y2 - y1]


def _fits_nfs(root: Path, rate: int) -> bool:
    return any(path.with_suffix("").is_dir() for path in root.glob(f"*/{rate}/*.txt"))


# --- LaSOT ---


def _read_lasot(root: Path) -> Iterator[Entry]:
    folders = {path.name: path for path in _lasot_folders(root)}
    listed = root / "testing_set.txt"
    for name in read_lines(listed) if listed.is_file() else sorted(folders):
        if name not in folders:
            raise FileNotFoundError(f"{listed} names {name}, which is not in {root}")
        yield read_lasot(folders[name])


def read_lasot(folder: Path) -> Entry:
    """One sequence of LaSOT: groundtruth.txt and two files of flags beside img/; either flag marks the target absent.

    Raises:
        FileNotFoundError: if the boxes or the folder of images are missing.
        ValueError: if boxes or flags are malformed.
    """
    length = _LASOT_LENGTHS.get(folder.name)
    boxes = read_boxes(folder / "groundtruth.txt")[:length]
    for name in ("full_occlusion.txt", "out_of_view.txt"):
        boxes[_labels(folder / name, len(boxes), length) == 1] = np.nan
    frames = ImageFiles.find(folder / "img")
    return Entry(folder.name, ImageFiles(frames.folder, frames.names[:length]), boxes)


def _lasot_folders(root: Path) -> list[Path]:
    """The sequences: `root` itself, in it, or in its folders of classes."""
    found = (path.parent for depth in ("", "*/", "*/*/") for path in root.glob(depth + "groundtruth.txt"))
    return [folder for folder in found if (folder / "img").is_dir()]


# --- GOT-10k ---


def read_got10k(folder: Path) -> Entry:
    """One sequence of GOT-10k: groundtruth.txt and files of labels beside the images.

    The target is absent where `cover.label` (how much of it is seen, 0 to 8) says 0 or `absence.label` says 1. The
    first box is kept in any case: a tracker starts there.

    Raises:
        FileNotFoundError: if the boxes are missing.
        ValueError: if boxes, labels or `meta_info.ini` are malformed.
    """
    frames = ImageFiles.find(folder)
    boxes = read_boxes(folder / "groundtruth.txt")
    hidden = _labels(folder / "cover.label", len(boxes)) == 0
    hidden |= _labels(folder / "absence.label", len(boxes)) == 1
    hidden[0] = False
    boxes[hidden] = np.nan
    if len(boxes) == 1:  # the test set
        boxes = _padded(boxes, len(frames))
    return Entry(folder.name, frames, boxes, _got10k_size(folder / "meta_info.ini"))


def _read_got10k(root: Path) -> Iterator[Entry]:
    return map(read_got10k, _got10k_folders(root))


def _got10k_size(path: Path) -> tuple[int, int] | None:
    if not path.is_file():
        return None
    file = configparser.ConfigParser()
    try:
        file.read_string(path.read_text(), source=str(path))
        size = re.fullmatch(r"\((\d+), *(\d+)\)", file["METAINFO"]["resolution"])
    except (configparser.Error, KeyError) as error:
        raise ValueError(f"{path}: {_EXPECTED_SIZE}") from error
    if size is None:
        raise ValueError(f"{path}: {_EXPECTED_SIZE}")
    width, height = size.groups()
    return int(width), int(height)


def _got10k_folders(root: Path) -> list[Path]:
    if root.name.startswith("GOT-10k_") and (root / "groundtruth.txt").is_file():
        return [root]
    return sorted(path.parent for path in root.glob("GOT-10k_*/groundtruth.txt"))


# --- TrackingNet ---


def _read_trackingnet(root: Path) -> Iterator[Entry]:
    base = _trackingnet_base(root)
    for path in sorted(visible((base / "anno").glob("*.txt"))):
        yield read_trackingnet(path, base / "frames" / path.stem)


def read_trackingnet(annotations: Path, images: Path) -> Entry:
    """One sequence of TrackingNet: a file of boxes and a folder of images.

    Raises:
        FileNotFoundError: if either is missing.
        ValueError: if the boxes are malformed.
    """
    frames = ImageFiles.find(images)
    boxes = read_boxes(annotations)
    return Entry(annotations.stem, frames, _padded(boxes, len(frames)) if len(boxes) == 1 else boxes)


def _trackingnet_base(root: Path) -> Path:
    return root / "TEST" if (root / "TEST").is_dir() else root


def _fits_trackingnet(root: Path) -> bool:
    return all((_trackingnet_base(root) / name).is_dir() for name in ("anno", "frames"))


# --- VOT ---


def _read_vot(root: Path) -> Iterator[Entry]:
    for folder in _vot_folders(root):
        properties = _vot_properties(folder / "sequence")
        frames = ImageFiles.find(_vot_channel(folder, properties))
        single = folder / properties.get("groundtruth", "groundtruth.txt")
        for path in sorted(visible(folder.glob("groundtruth_*.txt"))) or [single]:
            lines = enumerate(read_lines(path), start=1)
            boxes = mark_absent(np.array([_vot_box(line, f"{path}, line {number}") for number, line in lines]))
            target = "" if path == single else path.stem.removeprefix("groundtruth")
            # Newer challenges publish only the first region; the toolkit pads in the same way.
            yield Entry(folder.name + target, frames, _padded(boxes, len(frames)))


def _vot_folders(root: Path) -> list[Path]:
    if _is_vot_sequence(root):
        return [root]
    listed = root / "list.txt"
    return [root / name.strip() for name in read_lines(listed)] if listed.is_file() else []


def _is_vot_sequence(folder: Path) -> bool:
    marked = (folder / "sequence").is_file() or (folder / "color").is_dir()
    return marked and any(folder.glob("groundtruth*.txt"))


def _fits_vot(root: Path) -> bool:
    return any(any(folder.glob("groundtruth*.txt")) for folder in _vot_folders(root))


def _vot_properties(path: Path) -> dict[str, str]:
    """The lines `key=value` of the file `sequence`, which the older challenges lack."""
    lines = read_lines(path) if path.is_file() else []
    return {key.strip(): value.strip() for key, equals, value in (line.partition("=") for line in lines) if equals}


def _vot_channel(folder: Path, properties: dict[str, str]) -> Path:
    """The folder of the colour images: named by the properties, else color/, else the sequence's own."""
    if "channels.color" in properties:
        channel = folder / properties["channels.color"]
        return channel.parent if channel.suffix else channel
    return folder / "color" if (folder / "color").is_dir() else folder


def _vot_box(line: str, place: str) -> list[float]:
    """The axis-aligned bounding box of a region, min to max, as in the VOT toolkit; NaN for a special code."""
    if line.startswith("m"):
        return _mask_box(parse_row(line[1:], place), place)
    row = parse_row(line, place, (1, 4, 8))
    if len(row) == 8:
        corners = np.reshape(row, (4, 2))
        return [*corners.min(axis=0), *np.ptp(corners, axis=0)]
    return row if len(row) == 4 else [np.nan] * 4


def _mask_box(row: list[float], place: str) -> list[float]:
    """The bounding box of the pixels in a mask `x, y, width, height, zeros, ones, zeros, ...`, runs along the rows."""
    if len(row) < 4:
        raise ValueError(f"{place}: a mask of {len(row)} numbers; expected m and x, y, width, height, runs")
    x, y, width, height, *runs = map(int, row)
    if min(runs, default=0) < 0 or sum(runs) > width * height:
        raise ValueError(f"{place}: the mask's runs hold {sum(runs)} pixels; expected at most {width} x {height}")
    (set_pixels,) = np.nonzero(np.repeat(np.arange(len(runs)) % 2, runs))
    if not set_pixels.size:
        return [np.nan] * 4
    rows, columns = np.divmod(set_pixels, width)
    return [x + columns.min(), y + rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]


# --- common ---


def _labels(path: Path, frames: int, length: int | None = None) -> np.ndarray:
    """The labels (N,) of the frames, of the file's first `length`; NaN throughout if there is no such file."""
    if not path.is_file():
        return np.full(frames, np.nan)
    labels = np.concatenate(read_rows(path))[:length]
    if len(labels) != frames:
        raise ValueError(f"{path} holds {len(labels)} labels; expected one for each of {frames} frames")
    return labels


def _folders_with(root: Path, pattern: str) -> list[Path]:
    """`root` if a file in it matches; else the folders in it that match, by name."""
    if any(root.glob(pattern)):
        return [root]
    return sorted({path.parent for path in root.glob(f"*/{pattern}")})


def _padded(boxes: np.ndarray, count: int) -> np.ndarray:
    """The boxes, padded with rows of NaN to `count` rows."""
    return np.concatenate((boxes, np.full((max(count - len(boxes), 0), 4), np.nan)))


# In the order of recognition: GOT-10k has VOT's list.txt, too. Sources of each first pixel: docs/evaluation.md.
LAYOUTS = {
    "uav123": Layout(
        partial(_read_uav, subset="UAV123"),
        partial(_fits_uav, subset="UAV123"),
        1,
        "data_seq/UAV123/ and anno/UAV123/*.txt",
    ),
    "uav123_10fps": Layout(
        partial(_read_uav, subset="UAV123_10fps", images="UAV123_10fps", every=3),
        partial(_fits_uav, subset="UAV123_10fps"),
        1,
        "data_seq/UAV123_10fps/ and anno/UAV123_10fps/*.txt",
    ),
    "uav20l": Layout(partial(_read_uav, subset="UAV20L"), _never, 1, "data_seq/UAV123/ and anno/UAV20L/*.txt"),
    "trackingnet": Layout(_read_trackingnet, _fits_trackingnet, 0, "frames/ and anno/*.txt, or a folder TEST/ of them"),
    "got10k": Layout(
        _read_got10k,
        lambda root: bool(_got10k_folders(root)),
        1,
        "GOT-10k_*/groundtruth.txt",
    ),
    "nfs": Layout(partial(_read_nfs, rate=30), partial(_fits_nfs, rate=30), 0, "*/30/*.txt beside folders of images"),
    "nfs240": Layout(
        partial(_read_nfs, rate=240), partial(_fits_nfs, rate=240), 0, "*/240/*.txt beside folders of images"
    ),
    "lasot": Layout(_read_lasot, lambda root: bool(_lasot_folders(root)), 1, "groundtruth.txt beside img/"),
    "vot": Layout(_read_vot, _fits_vot, 0, "list.txt, which names folders with groundtruth.txt"),
    "otb": Layout(_read_otb, _never, 1, f"{GROUND_TRUTH} beside img/"),
    "simple": Layout(_read_simple, _never, 0, f"{GROUND_TRUTH} beside img/ or one video"),
}
