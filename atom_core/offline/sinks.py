# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Writers of a recording's results. Each file is written under a `.part` name and renamed at the end."""

from __future__ import annotations

import errno
import math
import shutil
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from atom_core.drawing import Mark, annotate
from atom_core.offline.frames import SourceFrame
from atom_core.offline.results import FrameResult, TargetResult, format_stamp
from atom_core.offline.video import VideoWriter

CSV_COLUMNS = ("frame", "stamp", "target", "state", "x", "y", "width", "height", "score", "iou")
_LEAST_SPACE = 4_000_000  # bytes; OpenCV does not report a full disk, so writing stops before


class Sink(Protocol):
    """Takes the results of one run, in order. Either `close` or `discard` ends it."""

    path: Path  # of the result

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Writes the next frame; raises OSError that names the file if that fails."""
        ...

    def close(self) -> None:
        """Completes the file and gives it its final name."""
        ...

    def discard(self) -> None:
        """Removes what was written."""
        ...


class LineFile:
    """A file that always holds whole lines, even after a kill or on a full disk."""

    def __init__(self, path: Path, keep: bool = False) -> None:
        """Opens a file, which becomes empty unless `keep` is set."""
        self.path = path
        self._file = open(path, "ab" if keep else "wb", buffering=0)  # noqa: SIM115 - held until close
        self._size = self._file.tell()

    def write(self, line: str) -> None:
        """Appends a line completely, or raises OSError and appends nothing."""
        data = f"{line}\n".encode()
        try:
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, "only a part of the line could be written; is the disk full?")
        except OSError as error:
            self._file.truncate(self._size)
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._size += len(data)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class _TextSink:
    """A text file with one or more lines per frame."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = LineFile(part_of(path))

    def close(self) -> None:
        self._lines.close()
        self._lines.path.replace(self.path)

    def discard(self) -> None:
        self._lines.close()
        self._lines.path.unlink(missing_ok=True)


class CsvSink(_TextSink):
    """A line for each frame and target. The fields of a target that is not visible are empty.

    A frame without targets has one line with the state "idle", an unreadable frame one with "unreadable".
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lines.write(",".join(CSV_COLUMNS))

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Appends the frame's lines."""
        start = [str(result.index), format_stamp(result.stamp)]
        if not result.targets:
            state = "idle" if result.error is None else "unreadable"
            self._lines.write(",".join([*start, "", state, *[""] * 6]))
        for target in result.targets:
            self._lines.write(",".join(start + _fields(target)))


def _fields(target: TargetResult) -> list[str]:
    place = [f"{v:.2f}" for v in target.box] if target.box is not None else [""] * 4
    iou = "" if math.isnan(target.iou) else f"{target.iou:.3f}"
    return [str(target.target_id), target.state.value, *place, f"{target.score:.3f}", iou]


class JsonSink(_TextSink):
    """A line of JSON for each frame, with every digit."""

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Appends the frame's line."""
        self._lines.write(result.to_json())


class VideoSink:
    """The frames with the results drawn on them. An unreadable frame repeats the one before."""

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self._part = part_of(path)
        self._writer = VideoWriter(self._part, fps)
        self._last: np.ndarray | None = None

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Appends the frame."""
        if result.error is None:
            self._last = frame.decode()
        if self._last is None:
            return
        if shutil.disk_usage(self._part.absolute().parent).free < _LEAST_SPACE:
            raise OSError(errno.ENOSPC, "no space left for the video", str(self._part))
        self._writer.write(cv2.cvtColor(_annotated(self._last, result), cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Completes the file; without a readable frame there is none."""
        self._writer.close()
        if self._part.exists():
            self._part.replace(self.path)

    def discard(self) -> None:
        """Removes the file."""
        self._writer.close()
        self._part.unlink(missing_ok=True)


def _annotated(image: np.ndarray, result: FrameResult) -> np.ndarray:
    """The frame's image with its targets drawn."""
    marks = [Mark(t.state.name, f"{t.target_id}  {t.state.name}  {t.score:.2f}", t.box) for t in result.targets]
    if result.error is not None:
        marks.insert(0, Mark("LOST", "UNREADABLE", None))
    return annotate(image, marks, f"frame {result.index} {format_stamp(result.stamp)}".rstrip())


def part_of(path: Path) -> Path:
    """The temporary name of a file: it keeps the suffix, from which OpenCV infers the format."""
    return path.with_name(f"{path.stem}.part{path.suffix}")
