# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Opening video files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2

from atom_core.data.images import is_utf8

_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"


@contextlib.contextmanager
def opened_video(path: Path) -> Iterator[cv2.VideoCapture]:
    """A file opened with FFmpeg, set to drop incomplete packets and print nothing.

    By default it prints a line for each damaged block; `atom_core.offline.frames` reports missing frames once.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    before = os.environ.get(_OPTIONS)
    os.environ.setdefault(_OPTIONS, "fflags;+discardcorrupt")
    with _utf8_name(path) as name:
        capture = cv2.VideoCapture(name)
        if before is None:
            del os.environ[_OPTIONS]
        try:
            yield capture
        finally:
            capture.release()


@contextlib.contextmanager
def _utf8_name(path: Path) -> Iterator[str]:
    """A name of the file that OpenCV accepts: it crashes on bytes that are not UTF-8."""
    if is_utf8(path):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "video"
        link.symlink_to(path.absolute())
        yield str(link)
