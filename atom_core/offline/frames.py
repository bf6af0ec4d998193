# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The frames of a video file, of a folder of images and of a camera, in order and each exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from atom_core.data.images import find_images, read_image

_FOLDER_FPS = 30.0  # of the annotated video, where the recording has no rate


@dataclass(frozen=True)
class Frame:
    """One frame; its image is decoded only when it is asked for."""

    index: int  # counted from 0
    stamp: int | None  # ns
    decode: Callable[[], np.ndarray]  # (H, W, 3) uint8 RGB; raises ValueError. To be called before the next frame


class Source(Protocol):
    """A recording, or a camera."""

    name: str  # for messages
    fps: float  # frames a second, for an annotated video
    damage: str | None  # why it ends early, once it has; None otherwise

    def __len__(self) -> int:
        """The number of frames as far as it is known beforehand; 0 if it is not."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """The frames, from the first on."""
        ...


class Folder:
    """A folder of images, in the order of their names."""

    fps = _FOLDER_FPS
    damage = None

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._paths = find_images(path)

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            yield Frame(index, None, lambda path=path: read_image(path))


class Video:
    """A video file. Stamps are places in it: the first frame's is 0."""

    damage = None  # OpenCV does not tell a damaged place from the end

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        capture = cv2.VideoCapture(str(path))
        self.fps = capture.get(cv2.CAP_PROP_FPS) or _FOLDER_FPS
        self._count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        capture.release()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        capture = cv2.VideoCapture(self.name)
        try:
            index = 0
            while capture.grab():
                stamp = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
                yield Frame(index, stamp, lambda index=index: _retrieve(capture, f"{self.name}, frame {index}"))
                index += 1
        finally:
            capture.release()


class Camera:
    """A camera of this computer, until it stops. Stamps are the computer's clock."""

    damage = None

    def __init__(self, index: int) -> None:
        self.name = f"camera {index}"
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise ValueError(f"{self.name} cannot be opened; is it plugged in, and does no other program use it?")
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or _FOLDER_FPS

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        try:
            while self._capture.grab():
                yield Frame(index, time.time_ns(), lambda: _retrieve(self._capture, self.name))
                index += 1
        finally:
            self._capture.release()


def open_source(path: Path) -> Folder | Video:
    """A folder of images or a video file.

    Raises:
        ValueError: if there is no frame.
    """
    source = Folder(path) if path.is_dir() else Video(path)
    if next(iter(source), None) is None:
        raise ValueError(f"{path} holds no frame that can be read; expected a video file or a folder of images")
    return source


def _retrieve(capture: cv2.VideoCapture, name: str) -> np.ndarray:
    decoded, image = capture.retrieve()
    if not decoded:
        raise ValueError(f"{name} cannot be decoded")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
