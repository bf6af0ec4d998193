# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from hostile import png

from atom_ros.picture_size import picture_size

# By hand: a start, a comment of 2 bytes, a fill byte, then the frame: length 11, 8 bit, 300 rows of 515 px, grey.
JPEG = bytes.fromhex("ffd8 fffe0004 4d4d ff ffc0 000b 08 012c 0203 01 011100 ffd9")


def test_a_jpeg_by_hand() -> None:
    assert picture_size(JPEG) == (515, 300)
    assert picture_size(JPEG + bytes(100)) == (515, 300), "cameras pad their frames"


@pytest.mark.parametrize("extension", [".jpg", ".png"])
@pytest.mark.parametrize("shape", [(1, 7), (480, 641), (33, 20, 3)])
def test_what_opencv_writes(extension: str, shape: tuple[int, ...]) -> None:
    progressive = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1] if extension == ".jpg" else []
    for options in ([], progressive):
        data = cv2.imencode(extension, np.zeros(shape, np.uint8), options)[1].tobytes()
        assert picture_size(data) == (shape[1], shape[0])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "expected jpeg or png"),
        (b"BM" + bytes(50), "begins with the bytes 42 4d 00 00 00 00 00 00; expected jpeg or png"),
        (JPEG[:-2], "no end marker"),
        (bytes.fromhex("ffd8 ffd9"), "does not tell"),
        (bytes.fromhex("ffd8 ffda 000c") + bytes(20) + b"\xff\xd9", "does not tell"),
        (bytes.fromhex("ffd8 fffe ffff") + bytes(20) + b"\xff\xd9", "does not tell"),  # a segment beyond the end
        (JPEG.replace(struct.pack(">HH", 300, 515), struct.pack(">HH", 0, 515)), "does not tell"),
        (JPEG.replace(struct.pack(">HH", 300, 515), struct.pack(">HH", 65500, 65500)), "claims 65500 x 65500 px"),
        (png(20, 10, rows=0)[:23], "does not tell"),
        (png(2**31 - 1, 2**31 - 1, rows=0), "at most 134 million pixels"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        picture_size(data)


def test_the_largest_picture_is_taken() -> None:
    assert picture_size(png(2**14, 2**13, rows=0)) == (2**14, 2**13)
    with pytest.raises(ValueError, match="claims 16385 x 8192 px"):
        picture_size(png(2**14 + 1, 2**13, rows=0))
