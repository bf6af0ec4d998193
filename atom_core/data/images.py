# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Image files: finding them in a folder and reading them, and the one conversion of deeper pixels to 8 bits."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from atom_core.data.picture_size import check_whole

_SHARES = (1.0, 0.1, 0.01, 0.0)  # percent of the values that may lie below the range of pixel values, and above it
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


class PixelRange:
    """Converts pixels of more than 8 bits to 8: a range of values becomes black to white.

    Thermal and depth cameras use a narrow part of their 16 bits. So, unless the range is given, it is taken from each
    image: percentiles 1 to 99 of its valid values, or wider ones if these are equal, since a small target may be in
    front of a uniform background. Invalid values (0, NaN, infinite) are black.

    Attributes:
        last: the (low, high) values that were black and white in the last image of more than 8 bits; None before.
    """

    def __init__(self, given: tuple[float, float] | None = None) -> None:
        self._given = given
        self.last: tuple[float, float] | None = None

    def to_8_bit(self, values: np.ndarray) -> np.ndarray:
        """Pixels (H, W) or (H, W, C) of any real type as uint8; uint8 is returned unchanged."""
        if values.dtype == np.uint8:
            return values
        values = values.astype(np.float32)
        valid = np.isfinite(values) & (values != 0)
        low, high = self.last = self._given or _percentiles(values, valid)
        if high <= low:
            return np.where(valid, 128, 0).astype(np.uint8)
        shown = (np.where(valid, values, low) - low) * (255.0 / (high - low))
        return np.where(valid, np.rint(np.clip(shown, 0, 255)), 0).astype(np.uint8)

    def __str__(self) -> str:
        low, high = self.last or (math.nan, math.nan)
        return f"values {low:g} (black) to {high:g} (white)"


def _percentiles(values: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """The narrowest percentiles of `_SHARES` that differ, without alpha; the first needs only some pixels."""
    stride = max(1, min(values.shape[:2]) // 120)
    color = np.index_exp[:3] * (values.ndim - 2)
    some = (*np.index_exp[::stride, ::stride], *color)
    low, high = _pairs(values[some][valid[some]], _SHARES[:1])[0]
    if high > low:
        return low, high
    every = (*np.index_exp[:, :], *color)
    pairs = _pairs(values[every][valid[every]], _SHARES[1:])
    return next(((low, high) for low, high in pairs if high > low), pairs[-1])


def _pairs(sample: np.ndarray, shares: Sequence[float]) -> list[tuple[float, float]]:
    """For each share, the values below and above which that percentage of a sample (N,) lies; zeros without one."""
    lowest = float(sample.min()) if sample.size else 0.0
    if sample.size == 0 or lowest == sample.max():
        return [(lowest, lowest)] * len(shares)
    ends = np.percentile(sample, [*shares, *(100 - share for share in shares)])  # of one partition
    return [(float(low), float(high)) for low, high in ends.reshape(2, -1).T]


def parse_pixel_range(text: str) -> tuple[float, float] | None:
    """A range from the user's text: LOW,HIGH, or nothing for an automatic one.

    Raises:
        ValueError: if the text is not two finite numbers, the lower one first.
    """
    if not text.strip():
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the range of pixel values is {text!r}; expected LOW,HIGH, such as 29000,31000")
    return low, high


def find_images(folder: str | Path) -> list[Path]:
    """The image files in a folder, in the order of their names; numbers in them count as numbers: 2.jpg before 10.jpg.

    Hidden files, such as `._2.jpg`, and folders are left out.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    return [Path(folder, name) for name in find_image_names(folder)]


def find_image_names(folder: str | Path) -> list[str]:
    """The names of the files that `find_images` finds, in half the time: a sequence has thousands."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if os.path.splitext(e.name)[1].lower() in _SUFFIXES and not e.is_dir()]
    return sorted((name for name in names if not name.startswith(".")), key=_natural_order)


def jpeg_compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """An image (H, W, 3) uint8 after JPEG compression at a quality of 0..100."""
    _, encoded = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None, "what was just encoded can be decoded"
    return decoded


def read_image(path: str | Path, pixel_range: PixelRange | None = None) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB; `pixel_range` converts more than 8 bits to 8.

    Raises:
        ValueError: if the file is missing, cut off, or not an image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read the image {printable(path)}: {error.strerror}") from error
    try:
        return decode_image(data, pixel_range)
    except ValueError as error:
        raise ValueError(f"cannot read the image {printable(path)}: {error}") from error


def decode_image(data: bytes, pixel_range: PixelRange | None = None, ignore_orientation: bool = False) -> np.ndarray:
    """An encoded picture as (H, W, 3) uint8 RGB.

    Args:
        data: of a whole file.
        pixel_range: converts more than 8 bits to 8.
        ignore_orientation: do not rotate the picture by its EXIF orientation.

    Raises:
        ValueError: if it is cut off, damaged or of an unknown format.
    """
    check_whole(data)
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
    if ignore_orientation:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise ValueError(f"it cannot be decoded: {error.err}") from error
    if image is None:
        raise ValueError(f"its {len(data)} bytes are damaged or of an unknown format")
    return opencv_to_rgb(image, pixel_range)


def opencv_to_rgb(image: np.ndarray, pixel_range: PixelRange | None = None) -> np.ndarray:
    """An image as OpenCV reads it, grey (H, W), BGR or BGRA of any depth, as (H, W, 3) uint8 RGB."""
    image = (pixel_range or PixelRange()).to_8_bit(image)
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGB)


def printable(path: str | Path) -> str:
    """A path as text that can be printed and written to any file; bytes that are not UTF-8 become question marks."""
    return os.fsencode(path).decode("utf-8", "replace")


def is_utf8(path: str | Path) -> bool:
    """Whether OpenCV accepts a path; it crashes on bytes that are not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def visible(paths: Iterable[Path]) -> list[Path]:
    """The paths without the hidden files that other systems leave in folders, such as `._car.txt`."""
    return [path for path in paths if not path.name.startswith(".")]


def _natural_order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key that sorts numbers by value; the name itself decides between 1.jpg and 01.jpg."""
    parts = re.findall(r"(\d+)|(\D+)", name)
    return [(0, int(digits), "") if digits else (1, 0, text) for digits, text in parts], name
