# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""As `containers`, for formats made of small parts: MPEG streams, Flash and Windows video, Ogg, MXF, GIF and Y4M.

Most of them state no length: a file that ends between two of its parts looks like a shorter recording.
Sources: ISO/IEC 13818-1 (MPEG-2 systems) and 11172-1, Adobe's Flash Video File Format Specification 10.1, RFC 3533
(Ogg), Microsoft's Advanced Systems Format Specification, SMPTE 377-1 (MXF), GIF89a, and
the manual page yuv4mpeg(5) of the mjpegtools.
"""

from __future__ import annotations

import mmap
import re
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from atom_core.data.picture_size import jpeg_end

ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
MXF_KEY = bytes.fromhex("060e2b34")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_MXF_FOOTER = bytes.fromhex("060e2b34020501010d01020101")
_SYNC = 0x47  # the first byte of each packet of an MPEG transport stream
_FIRST_PID = 0x20  # of audio, video and other streams of the recording; tables are below
_NULL_PACKETS = 0x1FFF  # their PID
_BEGINNINGS = 1000  # of units; one of them must be a picture's
_LINE = 1000  # bytes that a line of a Y4M file may have
_YUV_KIND = re.compile(rb"(mono|444alpha|420|422|411|444)(?:p?(\d+)|jpeg|mpeg2|paldv)?")
_YUV = {  # columns and rows of pixels that share a colour, and planes besides the grey one
    b"420": (2, 2, 2),
    b"422": (2, 1, 2),
    b"411": (4, 1, 2),
    b"444": (1, 1, 2),
    b"444alpha": (1, 1, 3),
    b"mono": (1, 1, 0),
}
_ENDS = "is cut off: it ends within a "
NOT_CLOSED = "was not closed by its recorder"


def damaged_at(place: int) -> str:
    """A clause for messages."""
    return f"is damaged at byte {place}"


def cut_off(size: int, needed: int) -> str:
    """A clause for messages: the file's actual and expected size, in bytes."""
    return f"is cut off: it has {size} of {needed} bytes"


def transport_packet(head: bytes) -> tuple[int, int] | None:
    """Packet length and position of the sync byte of an MPEG transport stream, from its first 200 bytes; or None."""
    for length, place in ((188, 0), (192, 4)):  # the second: .m2ts, with a time before each packet
        if len(head) > place + length and head[place] == head[place + length] == _SYNC:
            return length, place
    return None


def transport_damage(path: Path, size: int, length: int, sync: int) -> str | None:
    """Damage to an MPEG transport stream: lost packets, by their counters, or an incomplete last picture."""
    packets = np.memmap(path, np.uint8, "r", shape=(size // length, length))[:, sync:]
    heads = np.array(packets[:, :6])
    wrong = np.flatnonzero(heads[:, 0] != _SYNC)
    places = [int(wrong[0])] if wrong.size else []
    heads = heads[: places[0]] if places else heads
    pids = (heads[:, 1].astype(np.int32) & 0x1F) << 8 | heads[:, 2]
    restarts = _jumps(heads, pids < _FIRST_PID)  # each recording begins with tables: several were joined
    for pid in set(pids[pids >= _FIRST_PID].tolist()) - {_NULL_PACKETS}:
        for before, after in zip(*_jumps(heads, pids == pid), strict=True):
            if not np.any((restarts[1] > before) & (restarts[1] < after)):
                places.append(int(after))
                break
    if places:
        return damaged_at(min(places) * length)
    if size % length:
        return f"{_ENDS}packet"
    return f"{_ENDS}picture" if _has_open_picture(packets, pids) else None


def _has_open_picture(packets: np.ndarray, pids: np.ndarray) -> bool:
    """Whether the last packet of pictures is full: after a picture's end, packets are almost always padded."""
    for number in np.flatnonzero((packets[:, 1] & 0x40 != 0) & (pids >= _FIRST_PID))[:_BEGINNINGS]:
        packet = packets[number].tobytes()
        payload = packet[5 + packet[4] if packet[3] & 0x20 else 4 :]
        if payload[:3] == b"\0\0\1" and payload[3:4] and payload[3] & 0xF0 == 0xE0:
            return not _is_filled_up(packets[np.flatnonzero(pids == pids[number])[-1]].tobytes())
    return False


def _is_filled_up(packet: bytes) -> bool:
    """Whether a packet's adaptation field is longer than its content: clocks and a splice countdown."""
    if not packet[3] & 0x20:
        return False
    length, flags = packet[4], packet[5]
    needed = 1 + 6 * bool(flags & 0x10) + 6 * bool(flags & 0x08) + bool(flags & 0x04)
    return length == 0 or length > needed or flags == 0


def _jumps(heads: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the counter of a PID's packets jumps: the indices of the packets before and after."""
    flags = heads[:, 3]
    numbers = np.flatnonzero(chosen & (flags & 0x10 != 0))  # only packets with a payload are counted
    step = np.diff(flags[numbers] & 0x0F) & 0x0F  # 0: a packet sent twice
    announced = (flags & 0x20 != 0) & (heads[:, 4] > 0) & (heads[:, 5] & 0x80 != 0)
    jump = np.flatnonzero((step > 1) & ~announced[numbers[1:]])
    return numbers[jump], numbers[jump + 1]


def program_damage(file: BinaryIO, size: int) -> str | None:
    """Damage to an MPEG program stream (.mpg, .vob)."""
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(14).ljust(14, b"\0")
        if not any(head):
            return None if _is_zero_from(file, place) else damaged_at(place)
        if head[:3] != b"\0\0\1" or head[3] < 0xB9:
            return f"{_ENDS}packet" if place + 4 > size else damaged_at(place)
        if head[3] == 0xB9:
            length = 4
        elif head[3] == 0xBA:
            length = 12 if head[4] >> 4 == 2 else 14 + (head[13] & 7)  # MPEG-1; MPEG-2 with stuffing
        else:
            length = 6 + int.from_bytes(head[4:6])
        place += length
    return f"{_ENDS}packet" if place > size else None


def _is_zero_from(file: BinaryIO, place: int) -> bool:
    """Whether only zeros follow, which some recorders append as padding."""
    file.seek(place)
    return not any(any(part) for part in iter(lambda: file.read(2**20), b""))


def flash_damage(file: BinaryIO, size: int) -> str | None:
    """Damage to an FLV file."""
    file.seek(5)
    place = int.from_bytes(file.read(4)) + 4
    while place < size:
        file.seek(place)
        head = file.read(4).ljust(4, b"\0")
        if head[0] & 0x1F not in (8, 9, 18):
            return damaged_at(place)
        length = 11 + int.from_bytes(head[1:4])
        file.seek(place + length)
        repeated = file.read(4)  # each tag's length is repeated after it
        if len(repeated) < 4:
            return f"{_ENDS}tag"
        if int.from_bytes(repeated) != length:
            return damaged_at(place)
        place += length + 4
    return None


def ogg_damage(file: BinaryIO, size: int) -> str | None:
    """Damage to an Ogg file: each of its streams has numbered pages, the last of which is marked."""
    place = 0
    following: dict[int, int] = {}  # the number of the next page, by stream
    while place < size:
        file.seek(place)
        head = file.read(27)
        lengths = file.read(head[26]) if len(head) == 27 else b""
        if head[:4] != b"OggS"[: len(head)]:
            return damaged_at(place)
        length = 27 + len(lengths) + sum(lengths)
        if len(head) < 27 or len(lengths) < head[26] or place + length > size:
            return f"{_ENDS}page"
        stream, number = struct.unpack_from("<II", head, 14)
        if number != following.get(stream, number):
            return damaged_at(place)
        following[stream] = number + 1
        if head[5] & 4:
            del following[stream]
        place += length
    return "is cut off: its last page is missing" if following else None


def asf_damage(file: BinaryIO, size: int) -> str | None:
    """Damage to an ASF file (.wmv)."""
    place, packet, count = 0, 0, 0
    while place + 24 <= size:
        file.seek(place)
        head = file.read(104)
        length = int.from_bytes(head[16:24], "little")
        if head[:16] == ASF_HEADER:
            length = 30  # its parts follow
        elif head[:16] == _ASF_PROPERTIES:
            announced, count = struct.unpack_from("<Q8xQ", head, 40)
            flags, packet = struct.unpack_from("<II", head, 88)
            if flags & 1 or announced == 0:
                return NOT_CLOSED
            if announced > size:
                return cut_off(size, announced)
        elif head[:16] == _ASF_DATA:
            return _broken_asf_packet(file, place + 50, packet, count)
        if length < 24:
            return damaged_at(place)
        place += length
    return "is cut off: it has no data"


def _broken_asf_packet(file: BinaryIO, place: int, length: int, count: int) -> str | None:
    for number in range(count if length else 0):
        file.seek(place + number * length)
        if file.read(3) != b"\x82\0\0":  # error correction data, which is present but unused in files
            return damaged_at(place + number * length)
    return None


def mxf_damage(file: BinaryIO, size: int) -> str | None:
    """Damage to an MXF file: keys and lengths, and the part that the recorder writes last."""
    place = 0
    is_closed = False
    while place < size:
        file.seek(place)
        head = file.read(25)
        if head[:4] != MXF_KEY[: len(head)]:
            return damaged_at(place)
        if len(head) < 17:
            return f"{_ENDS}part"
        bytes_of_length = head[16] & 0x7F if head[16] & 0x80 else 0
        length = int.from_bytes(head[17 : 17 + bytes_of_length]) if bytes_of_length else head[16]
        is_closed |= head[:13] == _MXF_FOOTER and head[13] == 4
        place += 17 + bytes_of_length + length
        if bytes_of_length > 8 or place > size:
            return f"{_ENDS}part"
    return None if is_closed else NOT_CLOSED


def gif_damage(file: BinaryIO, size: int) -> str | None:
    """Damage to a GIF image or animation: its blocks up to the trailer."""
    file.seek(10)
    flags = file.read(3)
    place = 13 + _colours(flags[:1])
    while place < size:
        file.seek(place)
        head = file.read(10)
        if head[:1] == b"\x3b":
            return None
        if head[:1] == b"\x21":
            place += 2
        elif head[:1] == b"\x2c":
            place += 11 + _colours(head[9:10])
        else:
            return damaged_at(place)
        while (length := _byte_at(file, place)) != 0:
            if length is None:
                return f"{_ENDS}block"
            place += 1 + length
        place += 1
    return "is cut off: the mark of its end is missing"


def _colours(flags: bytes) -> int:
    """Bytes of a GIF's colour table, 0 if there is none."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _byte_at(file: BinaryIO, place: int) -> int | None:
    file.seek(place)
    data = file.read(1)
    return data[0] if data else None


def jpegs_damage(file: BinaryIO, size: int) -> str | None:
    """Damage to a stream of JPEG pictures."""
    place, pictures = 0, 0
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while place < size:
            if data[place : place + 2] != b"\xff\xd8":
                return None if pictures < 2 or _is_zero_from(file, place) else damaged_at(place)
            try:
                place = jpeg_end(data, place)
            except ValueError:
                return f"{_ENDS}picture" if data.find(b"\xff\xd8\xff", place + 2) < 0 else damaged_at(place)
            pictures += 1
    return None


def yuv4mpeg_damage(file: BinaryIO, size: int) -> str | None:
    """Damage to a Y4M file: uncompressed frames of one size, each after its own header line."""
    file.seek(0)
    head = file.readline(_LINE)
    frame = _yuv_bytes(head.split()[1:])
    place = len(head)
    while frame and place < size:
        file.seek(place)
        line = file.readline(_LINE)
        if not line.startswith(b"FRAME") or not line.endswith(b"\n"):
            return f"{_ENDS}frame" if place + len(line) == size and b"FRAME".startswith(line[:5]) else damaged_at(place)
        place += len(line) + frame
    return f"{_ENDS}frame" if place > size else None


def _yuv_bytes(fields: list[bytes]) -> int:
    """Bytes of a Y4M frame, from the fields of the file's first line; 0 if its pixel format is unknown."""
    values = {field[:1]: field[1:] for field in fields}
    kind = _YUV_KIND.fullmatch(values.get(b"C", b"420"))
    if kind is None or not values.get(b"W", b"").isdigit() or not values.get(b"H", b"").isdigit():
        return 0
    step_x, step_y, colour_planes = _YUV[kind[1]]
    width, height = int(values[b"W"]), int(values[b"H"])
    values_in_frame = width * height + colour_planes * -(-width // step_x) * -(-height // step_y)
    return values_in_frame * (2 if int(kind[2] or 8) > 8 else 1)
