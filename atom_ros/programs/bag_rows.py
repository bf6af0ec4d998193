# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The messages in one file of a bag, record by record, without its index: for a file that `rosbags` refuses.

Sources: the MCAP specification (https://mcap.dev/spec), and the tables of rosbag2's sqlite3 storage.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2.reader import zstd
from rosbags.rosbag2.storage_mcap import decompress

BagMessage = tuple[Connection, int, bytes]  # topic and type, log time in ns, serialized message

_ZSTD = b"\x28\xb5\x2f\xfd"  # the beginning of compressed data; a serialized message begins with 0
_NO_DEFINITION = MessageDefinition(MessageDefinitionFormat.NONE, "")
_FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}
_MAX_SKIP = 2**20  # rows that are skipped at one damaged place


def open_compressed(path: Path) -> zstd.ZstdFile:
    """Opens a bag's file that was compressed as a whole."""
    return zstd.open(path, "rb")


def _plain(data: bytes) -> bytes:
    return zstd.decompress(data) if data.startswith(_ZSTD) else data


class SqliteRows:
    """The rows of a sqlite3 file in the order of recording.

    Attributes:
        path: of the file.
        connections: its topics; `msgcount` is 0, since a damaged file does not state it.
        message_count: 0, for the same reason.
        has_foreign_encodings: whether a topic's message definition has an encoding that `rosbags` does not know.
        damage: found so far.
    """

    message_count = start_time = end_time = 0

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error if there is no list of topics."""
        self.path = path
        self.damage: str | None = None
        self._database = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
        self._database.execute("PRAGMA writable_schema = ON")  # otherwise a file that is cut off is refused as a whole
        rows = self._database.execute("SELECT id, name, type, serialization_format FROM topics").fetchall()
        self.connections = [
            Connection(number, name, kind, _NO_DEFINITION, "", 0, ConnectionExtRosbag2(form, []), self)
            for number, name, kind, form in rows
        ]
        try:
            used = {row[0] for row in self._database.execute("SELECT encoding FROM message_definitions")}
        except sqlite3.Error:  # older bags have no such table
            used = set()
        self.has_foreign_encodings = not used <= set(_FORMATS)

    def __enter__(self) -> SqliteRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def messages(self, connections: Iterable[Connection]) -> Iterator[BagMessage]:
        """The messages of some connections. Unreadable rows are skipped and noted in `damage`."""
        wanted = {connection.id: connection for connection in connections}
        last, skip = -1, 1
        while skip <= _MAX_SKIP:
            try:
                rows = self._database.execute(
                    "SELECT id, topic_id, timestamp, data FROM messages WHERE id > ? ORDER BY id", (last,)
                )
                for row, topic, stamp, data in rows:
                    if row <= last:  # a search in a damaged tree may repeatedly end before its place
                        raise sqlite3.DatabaseError("rows are out of order")
                    last, skip = row, 1
                    if topic in wanted:
                        yield wanted[topic], stamp, _plain(data)
                return
            except sqlite3.Error as error:
                self.damage = self.damage or str(error)
                last += skip
                skip = skip + 1 if skip < 64 else 2 * skip


_MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 0x02, 0x03, 0x04, 0x05, 0x06
_MESSAGE_INDEX, _CHUNK_INDEX, _DATA_END = 0x07, 0x08, 0x0F
_PIECE = 4096  # bytes of a damaged chunk that are decompressed at a time


class McapRows:
    """The messages of an mcap file in the order of recording, those within a chunk by log time.

    Attributes:
        path: of the file.
        connections: its topics, with the number of readable messages.
        message_count, start_time, end_time: of the readable messages; the times are in ns.
        has_foreign_encodings: whether a topic's message definition is of an encoding that `rosbags` does not know.
        damage: of the file.
    """

    def __init__(self, path: Path) -> None:
        """Reads the file once. Raises ValueError if it is not an mcap file."""
        self.path = path
        self.damage: str | None = None
        self.message_count = self.end_time = 0
        self.start_time = 2**63 - 1
        self.has_foreign_encodings = False
        self._schemas: dict[int, tuple[str, MessageDefinition]] = {}
        self._file = open(path, "rb")  # noqa: SIM115 - held until exit
        if self._file.read(len(_MAGIC)) != _MAGIC:
            self._file.close()
            raise ValueError("it does not begin as an mcap file")
        found: dict[int, Connection] = {}
        for kind, content in self._records():
            self._take(kind, content, found)
        self.connections = list(found.values())

    def __enter__(self) -> McapRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def messages(self, connections: Iterable[Connection]) -> Iterator[BagMessage]:
        """The messages of some connections."""
        wanted = {connection.id: connection for connection in connections}
        for kind, content in self._records():
            if kind == _MESSAGE:
                channel, _, stamp = struct.unpack_from("<HIQ", content)
                if channel in wanted:
                    yield wanted[channel], stamp, _plain(content[22:])

    def _take(self, kind: int, content: bytes, found: dict[int, Connection]) -> None:
        """Processes a record in the first pass."""
        if kind == _SCHEMA:
            (number,) = struct.unpack_from("<H", content)
            name, encoding, definition = _strings(content, 2, 3)
            self.has_foreign_encodings |= encoding not in (*_FORMATS, "omgidl", "")
            form = _FORMATS.get(encoding, MessageDefinitionFormat.NONE)
            self._schemas[number] = name, MessageDefinition(form, definition if encoding in _FORMATS else "")
        elif kind == _CHANNEL:
            number, schema = struct.unpack_from("<HH", content)
            topic, encoding = _strings(content, 4, 2)
            kind_name, known = self._schemas.get(schema, ("", _NO_DEFINITION))
            if number not in found:
                ext = ConnectionExtRosbag2(encoding, [])
                found[number] = Connection(number, topic, kind_name, known, "", 0, ext, self)
        elif kind == _MESSAGE:
            number, _, stamp = struct.unpack_from("<HIQ", content)
            if number in found:
                found[number] = found[number]._replace(msgcount=found[number].msgcount + 1)
            self.message_count += 1
            self.start_time, self.end_time = min(self.start_time, stamp), max(self.end_time, stamp)

    def _records(self) -> Iterator[tuple[int, bytes]]:
        """All records, including those inside chunks; damaged chunks are skipped and noted."""
        size = self.path.stat().st_size
        place = len(_MAGIC)
        while place + 9 <= size:
            self._file.seek(place)
            kind, length = struct.unpack("<BQ", self._file.read(9))
            if kind in (_DATA_END, _FOOTER):
                return
            if not 0 < kind < _DATA_END or place + 9 + length > size:
                self._note(f"there is no record at byte {place} of {size}")
                if kind == _CHUNK:
                    yield from self._inside(self._file.read(), size)
                following = [start for start in self._chunk_starts(size) if start > place]
                if not following:
                    return
                place = min(following)
                continue
            content = self._file.read(length)
            place += 9 + length
            if kind == _CHUNK:
                yield from self._inside(content, place, self._indexed(place, size))
            else:
                yield kind, content
        self._note("it has no end; the recorder was killed, or the file is cut off")

    def _inside(self, chunk: bytes, end: int, index: dict[int, int] | None = None) -> Iterator[tuple[int, bytes]]:
        """The records in a chunk, or in its first part: topics first, then the messages by log time.

        Args:
            chunk: its content.
            end: the byte after it, for messages.
            index: the log times of its messages by position, for continuing after a damaged record; None for a chunk
                that is cut off.
        """
        try:
            data, complaint = _decompressed(chunk, is_whole=index is not None)
        except Exception as error:  # the boundary to libraries that may fail in any way on a damaged file
            self._note(f"the chunk before byte {end}: {error or type(error).__name__}")
            return
        records, damaged_at = _parse(data, index or {})
        if index is not None and (complaint or damaged_at is not None):
            self._note(f"the chunk before byte {end}: {complaint or f'there is no record at its byte {damaged_at}'}")
        yield from (record for record in records if record[0] != _MESSAGE)
        messages = [content for kind, content in records if kind == _MESSAGE]
        for content in sorted(messages, key=lambda content: struct.unpack_from("<Q", content, 6)):
            yield _MESSAGE, content

    def _indexed(self, place: int, size: int) -> dict[int, int]:
        """The log times (ns) of a chunk's messages by position in it, from the records after the chunk."""
        index: dict[int, int] = {}
        while place + 9 <= size:
            self._file.seek(place)
            kind, length = struct.unpack("<BQ", self._file.read(9))
            if kind != _MESSAGE_INDEX or place + 9 + length > size or length < 6:
                break
            rows = self._file.read(length)[6:]
            index |= {offset: stamp for stamp, offset in struct.iter_unpack("<QQ", rows[: len(rows) // 16 * 16])}
            place += 9 + length
        return index

    def _chunk_starts(self, size: int) -> list[int]:
        """The positions of chunks from the file's index; empty if it has none."""
        self._file.seek(max(0, size - 37))
        end = self._file.read(37)
        if len(end) < 37 or not end.endswith(_MAGIC) or end[0] != _FOOTER:
            return []
        (place,) = struct.unpack_from("<Q", end, 9)
        starts = []
        while place > 0 and place + 9 <= size - 37:
            self._file.seek(place)
            kind, length = struct.unpack("<BQ", self._file.read(9))
            content = self._file.read(length)
            if kind == _CHUNK_INDEX and length >= 24:
                starts.append(struct.unpack_from("<Q", content, 16)[0])
            place += 9 + length
        return starts

    def _note(self, damage: str) -> None:
        self.damage = self.damage or damage


def _parse(data: bytes, index: dict[int, int]) -> tuple[list[tuple[int, bytes]], int | None]:
    """The records in a chunk's content, and the position of the first damaged one.

    After a damaged record it continues with the next message that the index locates correctly.
    """
    records: list[tuple[int, bytes]] = []
    place, damaged_at = 0, None
    while place + 9 <= len(data):
        kind, length = struct.unpack_from("<BQ", data, place)
        is_message = kind == _MESSAGE and length >= 22
        stamp = struct.unpack_from("<Q", data, place + 15)[0] if is_message and place + 23 <= len(data) else None
        is_right = is_message or kind in (_SCHEMA, _CHANNEL)
        if not is_right or place + 9 + length > len(data) or (is_message and index and index.get(place) != stamp):
            damaged_at = place if damaged_at is None else damaged_at
            following = [start for start in index if start > place]
            if not following:
                break
            place = min(following)
            continue
        records.append((kind, data[place + 9 : place + 9 + length]))
        place += 9 + length
    return records, damaged_at


def _decompressed(chunk: bytes, is_whole: bool) -> tuple[bytes, str]:
    """The content of a chunk, and its fault; for a partial or damaged chunk, the content that can be decompressed."""
    uncompressed_size, checksum = struct.unpack_from("<QI", chunk, 16)
    (compression,) = _strings(chunk, 28, 1)
    content = chunk[32 + len(compression.encode()) + 8 :]
    complaint = ""
    if is_whole:
        try:
            return decompress(content, compression, uncompressed_size, checksum), ""
        except Exception as error:  # the boundary, as above
            complaint = str(error) or type(error).__name__
    if compression == "zstd":
        return _first_part(content), complaint
    return b"" if compression else content, complaint  # recorders of ROS 2 write zstd, or do not compress


def _first_part(content: bytes) -> bytes:
    """Decompresses up to the damage."""
    decompressor = zstd.ZstdDecompressor()
    plain = b""
    for place in range(0, len(content), _PIECE):
        try:
            plain += decompressor.decompress(content[place : place + _PIECE])
        except Exception:  # the boundary, as above
            break
    return plain


def _strings(content: bytes, place: int, count: int) -> list[str]:
    """Consecutive strings, each preceded by its length."""
    found = []
    for _ in range(count):
        (length,) = struct.unpack_from("<I", content, place)
        found.append(content[place + 4 : place + 4 + length].decode("utf-8", "replace"))
        place += 4 + length
    return found
