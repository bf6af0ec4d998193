# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Frames on disk, decoded one at a time in each iteration: (H, W, 3) uint8 RGB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from atom_core.data.images import find_image_names, read_image
from atom_core.data.video_files import opened_video

VIDEO_SUFFIXES = {".mp4", ".avi", ".mkv", ".mov", ".webm"}


@dataclass(frozen=True)
class ImageFiles:
    """Frames in the image files of one folder. Only the file names are stored, since training keeps many folders.

    Iterating raises ValueError at a file that cannot be read.
    """

    folder: Path
    names: tuple[str, ...]

    @classmethod
    def find(cls, folder: Path) -> ImageFiles:
        """All images of a folder, see `find_images`; raises FileNotFoundError if there is no such folder."""
        return cls(folder, tuple(find_image_names(folder)))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file of each frame."""
        return tuple(map(self.path, range(len(self))))

    def path(self, index: int) -> Path:
        """The file of a frame."""
        return self.folder / self.names[index]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(read_image, self.paths)


@dataclass(frozen=True)
class VideoFile:
    """The first `length` frames of a video.

    Iterating raises ValueError where the video ends too early.
    """

    path: Path
    length: int

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[np.ndarray]:
        with opened_video(self.path) as video:
            for index in range(self.length):
                decoded, image = video.read()
                if not decoded:
                    raise ValueError(f"{self.path}: ends at frame {index}; its reference boxes need {self.length}")
                yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def open_video(path: Path) -> VideoFile:
    """A video that holds all frames of its header."""
    with opened_video(path) as video:
        return VideoFile(path, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
