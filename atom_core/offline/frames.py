# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The frames of a video file, of a folder of images and of a camera, in order and each exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from atom_core.data.images import PixelRange, find_images, opencv_to_rgb, printable, read_image
from atom_core.data.video_files import opened_video
from atom_core.offline.containers import structural_damage
from atom_core.offline.results import NANOSECONDS

_FOLDER_FPS = 30.0  # of the annotated video, if the recording has no rate
_GREY_16 = float(int.from_bytes(b"Y1\x00\x10", "little"))  # FFmpeg's code of 16-bit grey pixels
_ATTEMPTS = 8, 10_000  # minimum and maximum, to get past damage; after the end they cost almost nothing


@dataclass(frozen=True)
class SourceFrame:
    """One frame; its image is decoded only on request."""

    index: int  # counted from 0
    stamp: int | None  # ns
    decode: Callable[[], np.ndarray]  # (H, W, 3) uint8 RGB; raises ValueError. Call it before the next frame


class FrameSource(Protocol):
    """A recording, or a camera."""

    name: str  # for messages
    fps: float  # frames per second, for an annotated video
    pixel_range: PixelRange  # converts its pixels of more than 8 bits

    @property
    def damage(self) -> str | None:
        """The missing part, once the end is reached; None otherwise."""
        ...

    def __len__(self) -> int:
        """The number of frames; 0 if unknown in advance."""
        ...

    def __iter__(self) -> Generator[SourceFrame]:
        """The frames, from the first."""
        ...


class FolderSource:
    """A folder of images, in the order of their names."""

    fps = _FOLDER_FPS
    damage: str | None = None

    def __init__(self, path: Path, pixel_range: PixelRange | None = None) -> None:
        self.name = printable(path)
        self._paths = find_images(path)
        self.pixel_range = pixel_range or PixelRange()

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Generator[SourceFrame]:
        for index, path in enumerate(self._paths):
            yield SourceFrame(index, None, partial(read_image, path, self.pixel_range))


class VideoSource:
    """A video file. Stamps are positions in it: the first frame's is 0.

    Decoders skip frames that they cannot read, and read a truncated file as a short one. So at the end the number of
    frames that were read is compared with the file's own, and `damage` describes the missing ones.
    """

    def __init__(self, path: Path, pixel_range: PixelRange | None = None) -> None:
        self.name = printable(path)
        self.damage: str | None = None
        self._path = path
        self.pixel_range = pixel_range or PixelRange()
        with opened_video(path) as capture:
            self.fps = _positive(capture.get(cv2.CAP_PROP_FPS)) or _FOLDER_FPS
            self._count = int(_positive(capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Generator[SourceFrame]:
        self.damage = None
        timeline = _Timeline(self.fps)
        with opened_video(self._path) as capture:
            if capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT) == _GREY_16:
                capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # otherwise only the upper byte of each pixel remains
            while self._grab(capture, timeline.frames):
                stamp = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
                index = timeline.frames
                timeline.add(stamp)
                name = f"{self.name}, frame {index}"
                yield SourceFrame(index, stamp, partial(_retrieve, capture, name, self.pixel_range))
        self.damage = self._find_damage(timeline)

    def _grab(self, capture: cv2.VideoCapture, frames: int) -> bool:
        """Moves to the next readable frame: OpenCV stops at some unreadable ones, and continues when called again."""
        attempts = 1 + min(max(_ATTEMPTS[0], self._count - frames), _ATTEMPTS[1])
        return any(capture.grab() for _ in range(attempts))

    def _find_damage(self, timeline: _Timeline) -> str | None:
        structure = structural_damage(self._path)
        announced = self._count
        if announced > timeline.frames and self._path.suffix.lower() != ".avi":
            # Other containers state a duration, or count frames that an edit list excludes.
            announced = _count_packets(self._path, timeline)
        missing = announced - timeline.frames
        if structure is None and missing <= 0:
            return None
        text = f"{self.name} {structure or 'is damaged'}"
        if self._count > timeline.frames:
            text += f"; it announces {self._count} frames, and {timeline.frames} of them could be read"
        return text + timeline.describe_gap()


class _Timeline:
    """The frames that were read, and the first gap between them."""

    def __init__(self, fps: float) -> None:
        self.frames = 0
        self.first = self.last = 0  # stamps, ns
        self._period = NANOSECONDS / fps
        self._gap: tuple[int, int, int] | None = None  # the frame before it, that frame's stamp, and the next stamp

    def add(self, stamp: int) -> None:
        """Adds the next frame."""
        if self.frames == 0:
            self.first = stamp
        elif self._gap is None and stamp - self.last > 1.5 * self._period:
            self._gap = self.frames - 1, self.last, stamp
        self.frames += 1
        self.last = stamp

    def describe_gap(self) -> str:
        """Describes where frames are missing, as far as the stamps show it."""
        if self._gap is None:
            return f"; the last one is frame {self.frames - 1} ({self.last / NANOSECONDS:.3f} s)"
        index, before, after = self._gap
        return (
            f"; frames are missing behind frame {index}, between {before / NANOSECONDS:.3f} and "
            f"{after / NANOSECONDS:.3f} s, and the later ones are counted without them"
        )

    def half_a_frame_before(self) -> float:
        """The time in ns, half a frame before the first frame, from which packets count."""
        return self.first - self._period / 2


def _count_packets(path: Path, timeline: _Timeline) -> int:
    """The number of frames in the file's timeline, decodable or not."""
    count = 0
    with opened_video(path) as capture:
        if not capture.set(cv2.CAP_PROP_FORMAT, -1):  # undecoded packets
            return 0
        while capture.grab():
            count += capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6 >= timeline.half_a_frame_before()
    return count


def _positive(value: float) -> float:
    """A property of a video, 0 if unknown: OpenCV then returns -1, NaN or meaningless numbers."""
    return value if 0 < value < 1e12 else 0.0


class CameraSource:
    """A camera of this computer, until it stops. Stamps are from the computer's clock."""

    def __init__(self, index: int, pixel_range: PixelRange | None = None) -> None:
        self.name = f"camera {index}"
        self.damage: str | None = None
        self.pixel_range = pixel_range or PixelRange()
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise ValueError(f"{self.name} cannot be opened; is it plugged in, and does no other program use it?")
        self.fps = _positive(self._capture.get(cv2.CAP_PROP_FPS)) or _FOLDER_FPS

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Generator[SourceFrame]:
        index = 0
        try:
            while self._capture.grab():
                yield SourceFrame(index, time.time_ns(), lambda: _retrieve(self._capture, self.name, self.pixel_range))
                index += 1
            self.damage = f"{self.name} delivers no more images; is it still plugged in?"
        finally:
            self._capture.release()


def open_source(path: Path, pixel_range: PixelRange | None = None) -> FolderSource | VideoSource:
    """A folder of images or a video file.

    Args:
        path: of either.
        pixel_range: converts pixels of more than 8 bits.

    Raises:
        ValueError: if there is no frame.
    """
    if path.is_dir():
        source: FolderSource | VideoSource = FolderSource(path, pixel_range)
        if len(source) == 0:
            raise ValueError(f"{source.name} holds no image file; expected a video file or a folder of images")
        return source
    if not path.exists():
        raise ValueError(f"{printable(path)} does not exist; expected a video file or a folder of images")
    source = VideoSource(path, pixel_range)
    if next(iter(source), None) is None:
        damage = structural_damage(path)
        reason = f"; it {damage}" if damage else ""
        raise ValueError(
            f"{source.name} holds no frame that can be read{reason}; expected a video file or a folder of images"
        )
    return source


def _retrieve(capture: cv2.VideoCapture, name: str, pixel_range: PixelRange) -> np.ndarray:
    decoded, image = capture.retrieve()
    if not decoded:
        raise ValueError(f"{name} cannot be decoded")
    return opencv_to_rgb(image, pixel_range)
