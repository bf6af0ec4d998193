# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The size that a jpeg or png file claims, read before anything is decoded: a small file may unfold to gigabytes.

Sources: ITU-T T.81, annex B (jpeg); the PNG specification, sections 5.2 and 11.2.2.
"""

from __future__ import annotations

import struct

MAX_PIXELS = 2**27  # 134 million; the largest cameras have 100 to 150, and RGB takes three bytes for each

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_END_OF_JPEG = b"\xff\xd9"  # coded data never holds it, since a 0 follows each of its 0xff
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of a segment that tells the size
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a segment
_SCAN, _END = 0xDA, 0xD9


def picture_size(data: bytes) -> tuple[int, int]:
    """The (width, height) in px of an encoded picture.

    Raises:
        ValueError: if it is no jpeg or png, does not tell its size, has more than `MAX_PIXELS`, or was cut off.
    """
    if data.startswith(_JPEG):
        size = _jpeg_size(data)
        if _END_OF_JPEG not in data:  # some decoders would fill the missing rows with grey
            raise ValueError(f"the jpeg of {len(data)} bytes is cut off: it has no end marker")
    elif data.startswith(_PNG):
        size = struct.unpack(">II", data[16:24]) if len(data) >= 24 else None
    else:
        raise ValueError(f"begins with the bytes {data[:8].hex(' ')}; expected jpeg or png")
    if size is None or 0 in size:
        raise ValueError(f"the file of {len(data)} bytes does not tell the picture's size")
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"claims {size[0]} x {size[1]} px; expected at most {MAX_PIXELS // 10**6} million pixels")
    return size


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walks from segment to segment until one tells the size; None where there is none."""
    position = len(_JPEG)
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        if marker in (_SCAN, _END):
            return None
        if marker == 0xFF:  # fills
            position += 1
        elif marker in _ALONE:
            position += 2
        else:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None
