# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares a video file's length with its own structure. Decoders read a truncated file as a short one.

Only headers are read, never the frames. This module has the formats that state a length; `streams` has the others.
Sources: RFC 8794 and RFC 9559 (Matroska, WebM), ISO/IEC 14496-12 (MP4, MOV), and the RIFF and OpenDML descriptions of
AVI.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from atom_core.offline import streams
from atom_core.offline.streams import NOT_CLOSED, cut_off, damaged_at

_EBML, _SEGMENT, _CLUSTER = b"\x1a\x45\xdf\xa3", 0x18538067, 0x1F43B675
_IN_SEGMENT = {
    _CLUSTER,
    0x114D9B74,  # SeekHead
    0x1549A966,  # Info
    0x1654AE6B,  # Tracks
    0x1C53BB6B,  # Cues
    0x1941A469,  # Attachments
    0x1043A770,  # Chapters
    0x1254C367,  # Tags
    0xEC,  # Void
    0xBF,  # CRC-32
}
_IN_CLUSTER = {0xE7, 0xA3, 0xA0, 0xA7, 0xAB, 0x5854, 0xAF, 0xEC, 0xBF}
_INDEX_BOXES = (b"moov", b"moof")


def structural_damage(path: Path) -> str | None:
    """The missing or damaged part of a video file, judged by its structure.

    Returns:
        A clause about the file for messages, or None if nothing is wrong or the format is not known.

    Raises:
        OSError: if the file cannot be read.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(200)
        if (packet := streams.transport_packet(head)) is not None:
            return streams.transport_damage(path, size, *packet)
        if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
            return _riff(file, size)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _boxes(file, size)
        return next((check(file, size) for start, check in _CHECKS.items() if head.startswith(start)), None)


def _riff(file: BinaryIO, size: int) -> str | None:
    place = 0
    while place + 8 <= size:
        file.seek(place)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF":  # appended by other programs
            return None
        if length == 0:
            return NOT_CLOSED
        if place + 8 + length > size:
            return cut_off(size, place + 8 + length)
        frames = [0]
        if (wrong := _broken_chunk(file, place + 12, place + 8 + length, frames)) is not None:
            return f"{damaged_at(wrong)}, behind frame {frames[0] - 1}"
        place += 8 + length + length % 2
    return None


def _broken_chunk(file: BinaryIO, place: int, limit: int, frames: list[int]) -> int | None:
    """The first position in an AVI where a chunk should begin and does not; None if all are right.

    Lists of frames are entered, and their frames are added to the number in `frames`.
    """
    while place + 8 <= limit:
        file.seek(place)
        kind, length, inside = struct.unpack("<4sI4s", file.read(12).ljust(12))
        if place + 8 + length > limit or not all(0x20 <= byte < 0x7F for byte in kind):
            return place
        if kind == b"LIST" and inside in (b"movi", b"rec "):
            wrong = _broken_chunk(file, place + 12, place + 8 + length, frames)
            if wrong is not None:
                return wrong
        frames[0] += kind[2:] in (b"dc", b"db")
        place += 8 + length + length % 2
    return None


def _boxes(file: BinaryIO, size: int) -> str | None:
    place = 0
    has_index = False
    while place + 8 <= size:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8))
        elif length == 0:  # to the end of the file
            length = size - place
        if length < 8 or not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind):
            return None if has_index and not any(kind) else damaged_at(place)  # zeros after the end are harmless
        if place + length > size:
            return cut_off(size, place + length) + _without_index(has_index)
        has_index |= kind in _INDEX_BOXES
        place += length
    return None if has_index else "is cut off" + _without_index(has_index)


def _without_index(has_index: bool) -> str:
    return "" if has_index else "; its index (moov), which the recorder writes last, is missing"


def _matroska(file: BinaryIO, size: int) -> str | None:
    """Walks through the segment's elements, and through the blocks of each cluster."""
    for element, place, begin, end in _elements(file, 0, size):
        if element == _SEGMENT:
            if end is not None and end > size:
                return cut_off(size, end)
            return _segment(file, begin, size if end is None else end)
        if element is None or end is None or end > size:
            return damaged_at(place)
    return "is cut off: it has no segment"


def _segment(file: BinaryIO, begin: int, limit: int) -> str | None:
    known = _IN_SEGMENT
    while begin < limit:
        for element, place, inside, end in _elements(file, begin, limit):
            if element not in known:
                if element is not None and known is _IN_CLUSTER and element in _IN_SEGMENT:
                    begin, known = place, _IN_SEGMENT  # the end of a cluster of unknown length
                    break
                return damaged_at(place)
            if element == _CLUSTER and end is None:
                begin, known = inside, _IN_CLUSTER
                break
            if end is None or end > limit:
                return damaged_at(place)
            if element == _CLUSTER and (complaint := _cluster(file, inside, end)) is not None:
                return complaint
        else:
            return None
    return None


def _cluster(file: BinaryIO, begin: int, limit: int) -> str | None:
    for element, place, _, end in _elements(file, begin, limit):
        if element not in _IN_CLUSTER or end is None or end > limit:
            return damaged_at(place)
    return None


def _elements(file: BinaryIO, begin: int, limit: int) -> Iterator[tuple[int | None, int, int, int | None]]:
    """The elements in order: (name, first byte, first byte of the content, the byte after it or None if unknown).

    The last one's name is None if no element begins there.
    """
    while begin < limit:
        file.seek(begin)
        head = file.read(12)
        name_length = 9 - head[0].bit_length() if head else 9
        size_length = 9 - head[name_length].bit_length() if name_length <= 4 and len(head) > name_length else 9
        inside = begin + name_length + size_length
        if name_length > 4 or size_length > 8 or inside > limit:
            yield None, begin, begin, None
            return
        name = int.from_bytes(head[:name_length])
        mask = (1 << (7 * size_length)) - 1
        length = int.from_bytes(head[name_length : name_length + size_length]) & mask
        end = None if length == mask else inside + length
        yield name, begin, inside, end
        if end is None:
            return
        begin = end


_CHECKS = {  # by the first bytes of the file
    _EBML: _matroska,
    b"\0\0\1\xba": streams.program_damage,
    b"FLV": streams.flash_damage,
    b"OggS": streams.ogg_damage,
    streams.ASF_HEADER: streams.asf_damage,
    streams.MXF_KEY: streams.mxf_damage,
    b"GIF8": streams.gif_damage,
    b"\xff\xd8": streams.jpegs_damage,
    b"YUV4MPEG2 ": streams.yuv4mpeg_damage,
}
