# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Writing video files with the codecs of OpenCV's own packages."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from atom_core.data.images import is_utf8, printable

VIDEO_CODECS = {".avi": "MJPG", ".mkv": "MJPG", ".mp4": "mp4v", ".webm": "VP80"}  # browsers play only .webm


class VideoWriter:
    """A video file to which pictures are appended; the first one determines its size.

    Raises:
        ValueError: if the file's suffix is none of `VIDEO_CODECS`.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in VIDEO_CODECS:
            raise ValueError(f"{path}: cannot write {path.suffix or 'this'} video; use {', '.join(VIDEO_CODECS)}")
        if not is_utf8(path):
            raise ValueError(
                f"{printable(path)}: OpenCV cannot write a file whose name is not UTF-8; choose another name"
            )
        self._path = path
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)  # width, height

    def write(self, picture: np.ndarray) -> None:
        """Appends a picture (H, W, 3) uint8 BGR; one of another size is scaled to that of the first.

        Raises:
            OSError: if the file cannot be written.
        """
        if self._writer is None:
            self._size = (picture.shape[1], picture.shape[0])
            self._writer = self._open()
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(picture)

    def close(self) -> None:
        """Completes the file; without a picture there is none."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _open(self) -> cv2.VideoWriter:
        codec = VIDEO_CODECS[self._path.suffix.lower()]
        with _silenced_stderr():  # OpenCV prints a warning about the WebM tag, which is nevertheless right
            writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*codec), self._fps, self._size)
        if not writer.isOpened():
            raise OSError(f"{self._path}: cannot be written as {codec} video; is the folder there and writable?")
        return writer


@contextlib.contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Silences the output of compiled code, which bypasses sys.stderr."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
