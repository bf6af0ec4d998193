# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The size of an encoded picture and whether it is complete, without decoding it.

A small file may decompress to gigabytes, and decoders fill missing parts with grey. Sources: ITU-T T.81, annex B
(jpeg); the PNG specification, sections 5.2, 5.3 and 11.2.2.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib

MAX_PIXELS = 2**27  # 134 million; the largest cameras have 100 to 150, and RGB takes three bytes for each

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of a segment that holds the size
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a segment
_SCAN, _END = 0xDA, 0xD9
_BEHIND_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)  # the next marker other than restarts
_CHUNK = struct.Struct(">I4s")  # of a png: its length and its type


def picture_size(data: bytes) -> tuple[int, int]:
    """The (width, height) in px of an encoded picture.

    Raises:
        ValueError: if it is not a jpeg or png, does not state its size, has more than `MAX_PIXELS`, is cut off, or has
            a damaged structure.
    """
    if data.startswith(_JPEG):
        size = _jpeg_size(data)
    elif data.startswith(_PNG):
        size = struct.unpack(">II", data[16:24]) if len(data) >= 24 else None
    else:
        raise ValueError(f"begins with the bytes {data[:8].hex(' ')}; expected jpeg or png")
    if size is None or 0 in size:
        raise ValueError(f"the file of {len(data)} bytes does not state the picture's size")
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"claims {size[0]} x {size[1]} px; expected at most {MAX_PIXELS // 10**6} million pixels")
    check_whole(data)
    return size


def check_whole(data: bytes) -> None:
    """Raises ValueError if the structure of a jpeg, png, bmp or webp file shows a missing or damaged part.

    Files of other formats pass.
    """
    if data.startswith(_JPEG):
        jpeg_end(data)
    elif data.startswith(_PNG):
        _check_png(data)
    elif data.startswith(b"BM") and len(data) >= 6:
        _check_length(data, "bmp", struct.unpack_from("<I", data, 2)[0])
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        _check_length(data, "webp", struct.unpack_from("<I", data, 4)[0] + 8)


def _check_length(data: bytes, kind: str, needed: int) -> None:
    if len(data) < needed:
        raise ValueError(f"the {kind} is cut off: it has {len(data)} of {needed} bytes")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walks from segment to segment until one holds the size; None if there is none."""
    position = len(_JPEG)
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        if marker in (_SCAN, _END):
            return None
        position = _behind_segment(data, position)
    return None


def _behind_segment(data: bytes | mmap.mmap, position: int) -> int:
    """The position of the next marker; a segment, such as one with a thumbnail, is skipped as a whole."""
    marker = data[position + 1]
    if marker == 0xFF:  # fill byte
        return position + 1
    if marker in _ALONE or position + 4 > len(data):
        return position + 2
    return position + 2 + struct.unpack_from(">H", data, position + 2)[0]


def jpeg_end(data: bytes | mmap.mmap, position: int = 0) -> int:
    """The position after a jpeg that begins at `position`.

    Walks through all segments and scans to the end marker: a thumbnail has its own, inside a segment.

    Raises:
        ValueError: if it is cut off or damaged.
    """
    begin = position
    position += len(_JPEG)
    while position + 2 <= len(data):
        if data[position] != 0xFF:  # stray bytes of some cameras, which decoders skip
            position = data.find(b"\xff", position)
            if position < 0:
                break
            continue
        marker = data[position + 1]
        if marker == _END:
            return position + 2
        position = _behind_segment(data, position)
        if marker == _SCAN:
            found = _BEHIND_SCAN.search(data, position)
            if found is None:
                break
            position = found.end() - 2
            if not _may_follow_a_scan(data[position + 1]):
                raise ValueError(
                    f"the jpeg of {len(data) - begin} bytes is damaged: marker {data[position + 1]:#x} at byte "
                    f"{position - begin}"
                )
    raise ValueError(f"the jpeg of {len(data) - begin} bytes is cut off: it has no end marker behind its picture")


def _may_follow_a_scan(marker: int) -> bool:
    """Tables, another scan, the number of lines, application data, a comment or the end: no other marker is allowed."""
    return marker in (0xC4, 0xCC, 0xFE) or _END <= marker <= 0xDD or marker == _SCAN or 0xE0 <= marker <= 0xEF


def _check_png(data: bytes) -> None:
    """Walks through all chunks and verifies the checksums of those that the picture needs."""
    position = len(_PNG)
    while position + 12 <= len(data):
        length, kind = _CHUNK.unpack_from(data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        is_needed = not kind[0] & 0x20  # a capital letter
        if is_needed and zlib.crc32(memoryview(data)[position + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise ValueError(f"the png of {len(data)} bytes is damaged: wrong checksum at byte {position}")
        if kind == b"IEND":
            return
        position = end + 4
    raise ValueError(f"the png of {len(data)} bytes is cut off: it has no end")
