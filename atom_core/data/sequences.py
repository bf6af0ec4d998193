# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Sequences on disk: frames and one reference box for each, in the layout of any known benchmark.

Boxes are (x, y, width, height) in continuous image px, top-left corner, the first pixel's centre at 0.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atom_core.data.frames import ImageFiles, VideoFile
from atom_core.data.layouts import GROUND_TRUTH, LAYOUTS, Entry, read_simple, recognize

__all__ = [
    "GROUND_TRUTH",
    "LAYOUT_CHOICES",
    "ImageFiles",
    "Sequence",
    "VideoFile",
    "read_sequence",
    "read_sequences",
    "to_sequence",
]

LAYOUT_CHOICES = ("auto", *sorted(LAYOUTS))


@dataclass(frozen=True)
class Sequence:
    """A named sequence.

    Attributes:
        name: unique among those read together.
        frames: can be iterated any number of times; yields images (H, W, 3), uint8, RGB.
        boxes: (N, 4) float64, one box per frame; a row of NaN where the target is absent or its box is not published.
        layout: the key of LAYOUTS that it was read by.
        image_size: (width, height) px, where the benchmark states it.
    """

    name: str
    frames: Iterable[np.ndarray]
    boxes: np.ndarray
    layout: str = "simple"
    image_size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def frame_path(self, index: int) -> Path:
        """The image file of a frame; raises ValueError where the frames are not image files."""
        if not isinstance(self.frames, ImageFiles):
            raise ValueError(f"the frames of {self.name} are in no image files; extract them into img/")
        return self.frames.path(index)

    @property
    def has_ground_truth(self) -> bool:
        """Whether any box after the first is known: benchmarks do not publish those of their test sets."""
        return not np.isnan(self.boxes[1:]).all()


def read_sequence(folder: str | Path) -> Sequence:
    """Reads one sequence of the simple layout; frames stay on disk until they are iterated.

    Raises:
        FileNotFoundError: if its boxes are missing.
        ValueError: if its boxes are malformed, its frames are missing, or their numbers differ.
    """
    folder = _absolute(folder)
    return _with_first_box(to_sequence(read_simple(folder), "simple", folder), folder)


def read_sequences(root: str | Path, layout: str = "auto") -> list[Sequence]:
    """Reads all sequences in a folder, or the folder itself if it is one.

    Args:
        root: the benchmark's folder.
        layout: one of LAYOUT_CHOICES. `auto` recognises the benchmarks by their folders and reads everything else as
            `simple`; `otb` looks the same and must be named.

    Raises:
        ValueError, OSError: if there is no sequence, or one of them cannot be read.
    """
    root = _absolute(root)
    if layout not in LAYOUT_CHOICES:
        raise ValueError(f"unknown layout '{layout}'; expected one of {', '.join(LAYOUT_CHOICES)}")
    name = recognize(root) if layout == "auto" else layout
    sequences = [_with_first_box(to_sequence(entry, name, root), root) for entry in LAYOUTS[name].read(root)]
    if not sequences:
        other = f"; other layouts: {', '.join(LAYOUTS)}" if layout == "auto" else ""
        raise ValueError(f"{root}: no sequence here; layout '{name}' expects {LAYOUTS[name].expected}{other}")
    return sequences


def to_sequence(entry: Entry, layout: str, root: Path) -> Sequence:
    """The entry in our pixel convention.

    Args:
        entry: from a reader of `atom_core.data.layouts`.
        layout: the key of LAYOUTS that it was read by.
        root: the folder that was read, for the message.

    Raises:
        ValueError: if there is not one box for each frame.
    """
    if len(entry.frames) != len(entry.boxes):
        hint = "; if these are OTB's files, choose the layout otb" if layout == "simple" else ""
        raise ValueError(
            f"{_place(root, entry.name)}: {len(entry.frames)} frames but {len(entry.boxes)} boxes; "
            f"expected one box a frame{hint}"
        )
    offset = np.array([LAYOUTS[layout].first_pixel] * 2 + [0.0] * 2)
    return Sequence(entry.name, entry.frames, entry.boxes - offset, layout, entry.image_size)


def _absolute(folder: str | Path) -> Path:
    """The absolute path, so that `.` has a name; a link keeps its own name, not its target's."""
    return Path(os.path.abspath(folder))


def _place(root: Path, name: str) -> str:
    return f"{root}, sequence {name}"


def _with_first_box(sequence: Sequence, root: Path) -> Sequence:
    """The sequence; raises ValueError if its first box is not known."""
    if np.isnan(sequence.boxes[0]).any():
        raise ValueError(
            f"{_place(root, sequence.name)}: the target is absent in the first frame; a tracker needs a box there"
        )
    return sequence
