# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of a rosbag2, even if its recorder was killed or its file is damaged. ROS is not needed.

`rosbags` reads the storages. It refuses a file that was not closed or has a topic of unknown encoding, and stops at
damage. From there `bag_rows` continues, record by record.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path

import yaml
from rosbags.rosbag2 import Reader

from atom_core.data.images import printable, visible
from atom_ros.programs.bag_rows import BagMessage, McapRows, SqliteRows, open_compressed

STORAGES = {".db3": "sqlite3", ".mcap": "mcap"}


class BagReader:
    """A bag: its folder, or one of its files.

    Attributes:
        path: of the bag.
        storage: "sqlite3" or "mcap".
        connections: topics with their types; `msgcount` is 0 if the bag is damaged and does not state it.
        damage: the first damage found so far, or None.
    """

    def __init__(self, path: Path) -> None:
        """Opens a bag.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if none of it can be read; the message says why.
        """
        if not path.exists():
            raise FileNotFoundError(f"there is no bag {path}")
        self.path = path
        self.damage: str | None = None
        self._stack = ExitStack()
        self._readers: list[Reader | McapRows | SqliteRows] = []
        try:
            self._readers.append(self._stack.enter_context(Reader(path)))
        except Exception as error:  # the boundary to a library that may fail in any way on a damaged file
            self._open_parts(error)
        self.connections = [c for reader in self._readers for c in reader.connections]
        self.storage = self._storage()
        self._note_write_ahead_log()

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def seconds(self) -> float:
        """Duration from the first message to the last; 0 if the bag is damaged and does not state it."""
        spans = [(r.start_time, r.end_time) for r in self._readers if r.message_count]
        return (max(end for _, end in spans) - min(start for start, _ in spans)) / 1e9 if spans else 0.0

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """The messages of some topics in the order of their log times.

        Unreadable ones are skipped and reported by `damage`.
        """
        for reader in self._readers:
            wanted = [c for c in reader.connections if c.topic in topics]
            if not wanted:
                continue
            seen: Counter[tuple[str, int]] = Counter()
            newest = 0  # log time, ns
            try:
                for message in reader.messages(wanted):
                    seen[message[0].topic, message[1]] += 1
                    newest = max(newest, message[1])
                    yield message
            except Exception as error:  # see above
                yield from self._rest(reader, topics, seen, error)
                continue
            if not isinstance(reader, Reader) and reader.damage is not None:
                self._note(f"{printable(reader.path)} is damaged ({reader.damage})")
            announced = sum(connection.msgcount for connection in wanted)
            if seen.total() < announced:
                yield from self._passed_over(reader, topics, seen, announced, newest)

    def _passed_over(
        self,
        reader: Reader | McapRows | SqliteRows,
        topics: Collection[str],
        seen: Counter,
        announced: int,
        newest: int,
    ) -> Iterator[BagMessage]:
        """The messages that a reader skipped without an error; those before the newest would be late."""
        earlier_damage, read = self.damage, seen.total()
        for message in self._rest(reader, topics, seen, ValueError("messages are missing")):
            if message[1] >= newest:
                read += 1
                yield message
        self.damage = earlier_damage or (
            f"{printable(str(reader.path))} is damaged: it states {announced} messages on "
            f"{', '.join(topics)}, and {read} of them could be read"
        )

    def _rest(
        self, reader: Reader | McapRows | SqliteRows, topics: Collection[str], seen: Counter, error: Exception
    ) -> Iterator[BagMessage]:
        """The readable messages that a reader did not deliver before it failed."""
        files = list(self._rows_of(reader))
        for rows in files:
            for message in rows.messages([c for c in rows.connections if c.topic in topics]):
                key = message[0].topic, message[1]
                if seen[key]:
                    seen[key] -= 1
                else:
                    yield message
        # An mcap file without an index is refused if its messages are not ordered by time.
        if not files or any(isinstance(rows, SqliteRows) or rows.damage is not None for rows in files):
            self._note(f"{printable(str(reader.path))} is damaged ({_reason(error)})")

    def _note(self, damage: str) -> None:
        """Keeps the first damage found."""
        self.damage = self.damage or damage

    def _open_parts(self, error: Exception) -> None:
        """Opens the bag's files one by one, since the whole bag cannot be opened."""
        parts = _parts(self.path)
        for part in parts:
            try:
                plain = self._decompressed(part)
                self._readers.append(self._open_part(plain, printable(part)))
            except Exception as part_error:  # see above
                self._note(f"{printable(part)} is damaged, and none of it can be read ({_reason(part_error)})")
        if not parts:
            raise ValueError(f"{printable(self.path)} cannot be read as a rosbag2: {_reason(error)}") from error
        if not self._readers:
            raise ValueError(self.damage) from error
        if self.path.is_dir() and not _is_closed(self.path, parts):
            self._note(f"{printable(self.path)} was not closed ({_reason(error)})")

    def _open_part(self, part: Path, name: str) -> Reader | McapRows | SqliteRows:
        try:
            return self._stack.enter_context(Reader(part))
        except Exception as error:  # see above
            rows = self._open_rows(part)
            if rows.damage is not None or not rows.has_foreign_encodings:
                self._note(f"{name} is damaged ({rows.damage or _reason(error)})")
            return rows

    def _open_rows(self, part: Path) -> McapRows | SqliteRows:
        """A file's messages, read record by record; it is closed with the bag."""
        if part.suffix == ".mcap":
            return self._stack.enter_context(McapRows(part))
        return self._stack.enter_context(SqliteRows(part))

    def _decompressed(self, part: Path) -> Path:
        if part.suffix != ".zstd":
            return part
        plain = Path(self._stack.enter_context(tempfile.TemporaryDirectory())) / part.stem
        try:
            with open_compressed(part) as source, open(plain, "wb") as target:
                shutil.copyfileobj(source, target)
        except Exception as error:  # see above
            if plain.stat().st_size == 0:
                raise
            self._note(f"{printable(part)} is damaged ({_reason(error)})")  # the part before the damage is read
        return plain

    def _rows_of(self, reader: Reader | McapRows | SqliteRows) -> Iterator[McapRows | SqliteRows]:
        """The reader's files, to be read record by record after the reader failed."""
        if not isinstance(reader, Reader):
            return
        for storage in getattr(reader.storage, "storages", [reader.storage]):
            try:
                yield self._open_rows(Path(storage.path))
            except Exception as error:  # see above
                self._note(f"{storage.path} cannot be read ({_reason(error)})")

    def _note_write_ahead_log(self) -> None:
        for part in _parts(self.path):
            log = part.with_name(f"{part.name}-wal")
            if log.is_file() and log.stat().st_size:
                self._note(
                    f"{printable(part)} was not closed: its newest messages are in {log.name}; use ros2 bag reindex"
                )

    def _storage(self) -> str:
        parts = _parts(self.path)
        return STORAGES[Path(parts[0].name.removesuffix(".zstd")).suffix] if parts else "sqlite3"


def _parts(path: Path) -> list[Path]:
    """The bag's files in the order of recording; numbers in names are compared as numbers."""
    endings = (*STORAGES, *(f"{suffix}.zstd" for suffix in STORAGES))
    files = visible(path.iterdir()) if path.is_dir() else [path]
    found = [file for file in files if file.name.endswith(endings)]
    return sorted(found, key=lambda file: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", file.name)])


def _is_closed(folder: Path, parts: list[Path]) -> bool:
    """Whether the bag has its metadata, which is written last, and all files that it lists."""
    try:
        description = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        listed = {Path(name).name for name in description["relative_file_paths"]}
    except Exception:  # see above
        return False
    return listed <= {part.name for part in parts}


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
