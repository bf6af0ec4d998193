# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from atom_core.data.picture_size import check_whole, picture_size

# By hand: a start, a comment of 2 bytes, a fill byte, then the frame: length 11, 8 bit, 300 rows of 515 px, grey.
JPEG = bytes.fromhex("ffd8 fffe0004 4d4d ff ffc0 000b 08 012c 0203 01 011100 ffd9")


def png(width: int, height: int, rows: int) -> bytes:
    """A grey, black PNG whose header tells that size, with `rows` of its rows."""
    packed = zlib.compress(bytes((width + 1) * rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


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
        (JPEG[:-2], "cut off"),
        (bytes.fromhex("ffd8 ffd9"), "does not state"),
        (bytes.fromhex("ffd8 ffda 000c") + bytes(20) + b"\xff\xd9", "does not state"),
        (bytes.fromhex("ffd8 fffe ffff") + bytes(20) + b"\xff\xd9", "does not state"),  # a segment beyond the end
        (JPEG.replace(struct.pack(">HH", 300, 515), struct.pack(">HH", 0, 515)), "does not state"),
        (JPEG.replace(struct.pack(">HH", 300, 515), struct.pack(">HH", 65500, 65500)), "claims 65500 x 65500 px"),
        (png(20, 10, rows=0)[:23], "does not state"),
        (png(2**31 - 1, 2**31 - 1, rows=0), "at most 134 million pixels"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        picture_size(data)


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """A jpeg with a segment behind its start."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + jpeg[2:]


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]])
def test_a_jpeg_of_which_only_the_thumbnail_is_whole_is_refused(options: list[int]) -> None:
    """The thumbnail, inside a segment, has an end marker of its own; as exiftool and phones write it."""
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    thumbnail = cv2.imencode(".jpg", picture[::4, ::4])[1].tobytes()
    whole = with_segment(cv2.imencode(".jpg", picture, options)[1].tobytes(), 0xE1, b"Exif\0\0" + thumbnail)
    assert picture_size(whole) == (64, 48)
    picture_size(whole + bytes(64))
    for length in (len(whole) // 2, len(whole) - 2):
        for tail in (b"", bytes(len(whole) - length)):  # cut off, or the disk's zeros in place of the rest
            with pytest.raises(ValueError, match="is cut off"):
                picture_size(whole[:length] + tail)


def test_stray_bytes_between_segments_are_no_damage() -> None:
    jpeg = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes()
    place = jpeg.index(b"\xff\xda")
    check_whole(jpeg[:place] + b"\0\0" + jpeg[place:])


def test_a_damaged_scan_is_named() -> None:
    jpeg = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8))[1].tobytes()
    place = len(jpeg) - 100
    with pytest.raises(ValueError, match=f"marker 0xc0 at byte {place}"):
        check_whole(jpeg[:place] + b"\xff\xc0" + jpeg[place + 2 :])


def test_a_png_is_checked_chunk_by_chunk() -> None:
    png = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8))[1].tobytes()
    picture_size(png)
    picture_size(png + b"behind the end")
    with pytest.raises(ValueError, match="cut off: it has no end"):
        picture_size(png[:-13])
    with pytest.raises(ValueError, match="wrong checksum at byte"):
        picture_size(png[:100] + b"\xa5" + png[101:])


@pytest.mark.parametrize("extension", [".bmp", ".webp"])
def test_a_bmp_or_webp_that_is_too_short_is_refused(extension: str) -> None:
    data = cv2.imencode(extension, np.zeros((20, 30, 3), np.uint8))[1].tobytes()
    check_whole(data)
    with pytest.raises(ValueError, match=f"cut off: it has {len(data) - 1} of {len(data)} bytes"):
        check_whole(data[:-1])


def test_the_largest_picture_is_taken() -> None:
    assert picture_size(png(2**14, 2**13, rows=0)) == (2**14, 2**13)
    with pytest.raises(ValueError, match="claims 16385 x 8192 px"):
        picture_size(png(2**14 + 1, 2**13, rows=0))
