# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from bag_example import FRAMES, LOG_0, file_of, write

from atom_ros.programs.bag_reader import BagReader
from atom_ros.programs.bag_rows import McapRows, SqliteRows


def test_the_rows_are_those_of_rosbags(tmp_path: Path) -> None:
    for storage, rows in (("sqlite3", SqliteRows), ("mcap", McapRows)):
        bag = write(tmp_path / storage, storage, size=1000)
        with BagReader(bag) as reader, rows(file_of(bag)) as found:
            expected = [(c.topic, c.msgtype, stamp, bytes(data)) for c, stamp, data in reader.messages(["/image"])]
            own = found.messages(found.connections)
            assert [(c.topic, c.msgtype, stamp, data) for c, stamp, data in own] == expected
            assert found.damage is None


def test_an_mcap_file_counts_its_messages_and_knows_its_times(tmp_path: Path) -> None:
    with McapRows(file_of(write(tmp_path / "bag", "mcap", 100))) as rows:
        (connection,) = rows.connections
        assert (connection.topic, connection.msgcount, rows.message_count) == ("/image", FRAMES, FRAMES)
        assert (rows.start_time, rows.end_time) == (LOG_0, LOG_0 + FRAMES - 1)
        assert not rows.has_foreign_encodings


def test_what_is_behind_the_cut_is_missing_and_noted(tmp_path: Path) -> None:
    file = file_of(write(tmp_path / "bag", "mcap"))
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with McapRows(file) as rows:
        found = [stamp - LOG_0 for _, stamp, _ in rows.messages(rows.connections)]
        assert found == list(range(len(found))) and 0 < len(found) < FRAMES
        assert rows.damage is not None


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.mcap"
    file.write_bytes(b"not a bag at all")
    with pytest.raises(ValueError):
        McapRows(file)


@pytest.mark.parametrize("filling", [b"\0", b"\xa5"])
def test_behind_a_damaged_record_of_a_chunk_its_index_leads_on(tmp_path: Path, filling: bytes) -> None:
    """The whole recording is one chunk, not compressed; a tenth of it in the middle is overwritten."""
    file = file_of(write(tmp_path / "bag", "mcap", size=5000))
    data = file.read_bytes()
    assert data.count(b"camera") == FRAMES
    half, tenth = len(data) // 2, len(data) // 10
    file.write_bytes(data[:half] + filling * tenth + data[half + tenth :])
    with McapRows(file) as rows:
        found = [stamp - LOG_0 for _, stamp, _ in rows.messages(rows.connections)]
        assert found[:9] == list(range(9)) and found[-7:] == list(range(FRAMES - 7, FRAMES))
        assert len(found) < FRAMES and "there is no record at its byte" in rows.damage
    with BagReader(tmp_path / "bag") as bag:
        assert [stamp - LOG_0 for _, stamp, _ in bag.messages(["/image"])] == found
        assert "is damaged" in bag.damage
