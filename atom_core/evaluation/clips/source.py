# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Synthetic clips as sequences for the evaluation; frames are rendered on demand, not stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from atom_core.data import sequences
from atom_core.evaluation.clips.makers import long_clip, short_clip
from atom_core.evaluation.clips.material import Material, find_material
from atom_core.evaluation.clips.scene import Scene

CLIPS: dict[str, Callable[[Material, int], Scene]] = {"short": short_clip, "long": long_clip}
_QUALITY = 95  # of jpeg


@dataclass(frozen=True)
class ClipFrames:
    """The frames of one clip, rendered in each iteration: (H, W, 3) uint8 RGB."""

    kind: str
    material: Material
    seed: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[np.ndarray]:
        return CLIPS[self.kind](self.material, self.seed).frames()


def clip_seeds(count: int, put_aside: bool = False) -> list[int]:
    """The seeds of clips: even, or odd for those held back for a final measurement."""
    return [2 * index + put_aside for index in range(count)]


def make_clips(folders: Sequence[Path], kind: str, count: int, put_aside: bool = False) -> list[sequences.Sequence]:
    """Clips as sequences.

    Args:
        folders: of still images and, for long clips, sequences.
        kind: a key of CLIPS.
        count: how many.
        put_aside: the clips held back for a final measurement; no setting may be chosen with them.

    Raises:
        ValueError: if the kind is unknown, or the folders hold no material for clips.
    """
    if kind not in CLIPS:
        raise ValueError(f"unknown clips '{kind}'; expected {' or '.join(CLIPS)}")
    material = find_material(folders)
    return [_as_sequence(kind, material, seed) for seed in clip_seeds(count, put_aside)]


def _as_sequence(kind: str, material: Material, seed: int) -> sequences.Sequence:
    boxes = CLIPS[kind](material, seed).truth()
    return sequences.Sequence(f"{kind}{seed:04d}", ClipFrames(kind, material, seed, len(boxes)), boxes)


def save_sequence(sequence: sequences.Sequence, folder: Path) -> None:
    """Writes a sequence in the simple layout, `NAME/img/*.jpg` and `NAME/groundtruth_rect.txt`.

    Raises:
        OSError: if it cannot be written.
    """
    images = folder / sequence.name / "img"
    images.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(sequence.frames):
        path = images / f"{index:05d}.jpg"
        if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, _QUALITY)):
            raise OSError(f"{path} cannot be written")
    np.savetxt(images.parent / "groundtruth_rect.txt", sequence.boxes, fmt="%.2f", delimiter=",")
