# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Converts image messages to jpegs for the browser."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from atom_core.data.picture_size import picture_size
from atom_ros.images import ImageMessage, to_rgb

_PASSED_ON = 1_500_000  # bytes; a larger jpeg is re-encoded
_EXIF = b"Exif\x00\x00"  # may hold an orientation, which browsers apply and the tracker does not


@dataclass(frozen=True)
class Jpeg:
    """An encoded image, and the size of the image itself."""

    data: bytes
    width: int  # px of the image; the jpeg may be smaller
    height: int


def encode(message: ImageMessage, quality: int = 80, max_width: int = 1280) -> Jpeg:
    """Makes a jpeg. A CompressedImage with a suitable jpeg is passed on unchanged.

    Args:
        message: an Image or CompressedImage.
        quality: of the jpeg, 1 to 100.
        max_width: px; a wider image is shrunk.

    Raises:
        ValueError: if the message cannot be decoded; the error names the fields.
    """
    passed = None if hasattr(message, "encoding") else _as_it_is(bytes(message.data), max_width)
    if passed is not None:
        return passed
    rgb = to_rgb(message)
    height, width = rgb.shape[:2]
    if width > max_width:
        size = max_width, max(1, round(height * max_width / width))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    parameters = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), parameters)
    return Jpeg(data.tobytes(), width, height)


def _as_it_is(data: bytes, max_width: int) -> Jpeg | None:
    if not data.startswith(b"\xff\xd8") or len(data) > _PASSED_ON or _EXIF in data[:65536]:
        return None
    width, height = picture_size(data)
    return Jpeg(data, width, height) if width <= max_width else None
