# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of a rosbag2, also of one whose recorder was killed or whose file is damaged. No ROS is needed.

`rosbags` reads the storages. It refuses a file without its proper end, so such a file is read here as far as it goes:
an mcap file to its last whole record, a sqlite3 file row by row.
"""

from __future__ import annotations

import io
import re
import sqlite3
import struct
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2 import Reader

from atom_core.data.images import visible

Message = tuple[Connection, int, bytes]  # topic and type, log time in ns, serialized message

STORAGES = {".db3": "sqlite3", ".mcap": "mcap"}
_MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _DATA_END = 0x02, 0x0F
# A file's end without an index: an empty DataEnd and Footer.
_END = struct.pack("<BQI", _DATA_END, 4, 0) + struct.pack("<BQQQI", _FOOTER, 20, 0, 0, 0) + _MAGIC


class BagReader:
    """A bag: its folder, or one of its files.

    Attributes:
        path: of the bag.
        storage: "sqlite3" or "mcap".
        connections: topics with their types; `msgcount` is 0 where the bag is damaged and does not tell.
        damage: what is wrong with the bag, None so far as nothing is.
    """

    def __init__(self, path: Path) -> None:
        """Opens a bag.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if nothing in it can be read; the message says why.
        """
        if not path.exists():
            raise FileNotFoundError(f"there is no bag {path}")
        self.path = path
        self.damage: str | None = None
        self._stack = ExitStack()
        self._readers: list[Reader | _SqliteRows] = []
        try:
            self._readers.append(self._stack.enter_context(Reader(path)))
        except Exception as error:  # the boundary to a library that may trip over anything in a damaged file
            self._open_parts(error)
        self.connections = [c for reader in self._readers for c in reader.connections]
        self.storage = self._storage()

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def seconds(self) -> float:
        """From the first message to the last; 0 where the bag is damaged and does not tell."""
        spans = [(r.start_time, r.end_time) for r in self._readers if isinstance(r, Reader) and r.message_count]
        return (max(end for _, end in spans) - min(start for start, _ in spans)) / 1e9 if spans else 0.0

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """The messages of some topics in the order of their log times. At a damaged place it ends and sets `damage`."""
        for reader in self._readers:
            wanted = [c for c in reader.connections if c.topic in topics]
            if not wanted:
                continue
            iterator = iter(reader.messages(wanted))
            while True:
                try:
                    message = next(iterator)
                except StopIteration:
                    break
                except Exception as error:  # see above
                    self.damage = f"{reader.path} is damaged ({_reason(error)})"
                    return
                yield message

    def _open_parts(self, error: Exception) -> None:
        """Opens the bag's files one by one, since the bag as a whole cannot be opened."""
        parts = _parts(self.path)
        for part in parts:
            try:
                self._readers.append(self._stack.enter_context(Reader(part)))
            except Exception as part_error:  # see above
                self._readers.append(self._mend(part, part_error))
        if not parts:
            raise ValueError(f"{self.path} cannot be read as a rosbag2: {_reason(error)}") from error
        if self.damage is None:
            self.damage = f"{self.path} was not closed ({_reason(error)})"

    def _mend(self, part: Path, error: Exception) -> Reader | _SqliteRows:
        self.damage = f"{part} is damaged ({_reason(error)})"
        try:
            if part.suffix == ".mcap":
                return self._stack.enter_context(Reader(_EndedMcap(part)))
            return self._stack.enter_context(_SqliteRows(part))
        except Exception as second:  # see above
            raise ValueError(f"{self.damage}, and nothing of it can be read: {_reason(second)}") from error

    def _storage(self) -> str:
        parts = _parts(self.path, compressed=True)
        return STORAGES[Path(parts[0].name.removesuffix(".zstd")).suffix] if parts else "sqlite3"


def _parts(path: Path, compressed: bool = False) -> list[Path]:
    """The bag's files in the order in which they were recorded; numbers count as numbers."""
    endings = tuple(STORAGES) + (tuple(f"{s}.zstd" for s in STORAGES) if compressed else ())
    files = visible(path.iterdir()) if path.is_dir() else [path]
    found = [file for file in files if file.name.endswith(endings)]
    return sorted(found, key=lambda file: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", file.name)])


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


class _EndedMcap:
    """An mcap file as if it had been closed after its last whole record. It is a path to `rosbags`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.suffix = path.suffix
        self.name = path.name
        self._end = _end_of_records(path)

    def __str__(self) -> str:
        return str(self._path)

    def exists(self) -> bool:
        return True

    def is_dir(self) -> bool:
        return False

    def open(self, mode: str = "rb") -> io.BufferedReader:
        return io.BufferedReader(_WithTail(self._path, self._end, _END))


def _end_of_records(path: Path) -> int:
    """The byte behind the last whole record of an mcap file's data."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("it does not begin as an mcap file")
        end = len(_MAGIC)
        while len(head := file.read(9)) == 9:
            kind, length = struct.unpack("<BQ", head)
            if not 0 < kind < _DATA_END or kind == _FOOTER or end + 9 + length > size:
                break
            end += 9 + length
            file.seek(end)
    return end


class _WithTail(io.RawIOBase):
    """The first bytes of a file, and behind them others."""

    def __init__(self, path: Path, length: int, tail: bytes) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - held until close
        self._length = length
        self._tail = tail
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._length + len(self._tail)}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: memoryview) -> int:
        if self._place < self._length:
            self._file.seek(self._place)
            data = self._file.read(min(len(buffer), self._length - self._place))
        else:
            start = self._place - self._length
            data = self._tail[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


class _SqliteRows:
    """The rows of a damaged sqlite3 file in the order in which they were recorded, without its index and its counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
        self._database.execute("PRAGMA writable_schema = ON")  # else a file that is cut off is refused as a whole
        rows = self._database.execute("SELECT id, name, type, serialization_format FROM topics").fetchall()
        none = MessageDefinition(MessageDefinitionFormat.NONE, "")
        self.connections = [
            Connection(number, name, kind, none, "", 0, ConnectionExtRosbag2(form, []), self)
            for number, name, kind, form in rows
        ]

    def __enter__(self) -> _SqliteRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def messages(self, connections: Collection[Connection]) -> Iterator[Message]:
        wanted = {connection.id: connection for connection in connections}
        for topic, stamp, data in self._database.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id"):
            if topic in wanted:
                yield wanted[topic], stamp, data
