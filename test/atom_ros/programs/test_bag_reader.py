# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Bags that are damaged, and bags that only look so; no network is loaded."""

import itertools
import os
import sqlite3
import struct
from pathlib import Path
from unittest import mock

import pytest
from bag_example import FRAMES, LOG_0, STORAGES, STORE, file_of, image, write
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.reader import zstd

from atom_ros.programs.bag_images import BagImages
from atom_ros.programs.bag_reader import BagReader
from atom_ros.programs.bag_rows import SqliteRows


def read(bag: Path) -> tuple[list[int], str | None]:
    """The numbers of the images that were read, and the damage."""
    with BagReader(bag) as reader:
        stamps = [stamp - LOG_0 for _, stamp, _ in reader.messages(["/image"])]
        return stamps, reader.damage


@pytest.mark.parametrize("storage", STORAGES)
def test_a_whole_bag_is_not_damaged(tmp_path: Path, storage: str) -> None:
    assert read(write(tmp_path / "bag", storage)) == (list(range(FRAMES)), None)


@pytest.mark.parametrize("with_description", [True, False])
@pytest.mark.parametrize("storage", STORAGES)
def test_a_bag_that_is_cut_off_is_read_to_there(tmp_path: Path, storage: str, with_description: bool) -> None:
    bag = write(tmp_path / "bag", storage)
    os.truncate(file_of(bag), file_of(bag).stat().st_size // 2)
    if not with_description:
        (bag / "metadata.yaml").unlink()
    found, damage = read(bag)
    assert 6 <= len(found) <= 10 and found == list(range(len(found)))
    assert "is damaged" in damage and str(file_of(bag)) in damage


@pytest.mark.parametrize("compression", ["", "zstd"])
def test_the_messages_of_a_chunk_that_is_cut_off_are_read(tmp_path: Path, compression: str) -> None:
    """A small recording has but one chunk."""
    bag = write(tmp_path / "bag", "mcap", size=5000)
    data = file_of(bag).read_bytes()
    assert data.count(b"camera") == FRAMES
    chunk = data.index(b"\x06", 8)
    while struct.unpack_from("<Q", data, chunk + 1)[0] < 5000 * FRAMES:
        chunk = data.index(b"\x06", chunk + 1)
    (name_length,) = struct.unpack_from("<I", data, chunk + 37)
    assert name_length == 0, "rosbags does not compress by itself"
    records = data[chunk + 49 : chunk + 9 + struct.unpack_from("<Q", data, chunk + 1)[0]]
    compress = {"": bytes, "zstd": zstd.compress}[compression]
    content = data[chunk + 9 : chunk + 37] + struct.pack("<I", len(compression)) + compression.encode()
    content += struct.pack("<Q", len(compress(records))) + compress(records)
    cut = tmp_path / "cut.mcap"
    cut.write_bytes((data[:chunk] + b"\x06" + struct.pack("<Q", len(content)) + content)[: len(data) // 2])
    found, damage = read(cut)
    assert 2 <= len(found) <= FRAMES // 2 and found == list(range(len(found)))
    assert "is damaged" in damage


@pytest.mark.parametrize("storage", STORAGES)
def test_a_file_that_was_compressed_as_a_whole_and_is_cut_off(tmp_path: Path, storage: str) -> None:
    bag = write(tmp_path / "bag", storage)
    compressed = file_of(bag).with_name(f"{file_of(bag).name}.zstd")
    compressed.write_bytes(zstd.compress(file_of(bag).read_bytes()))
    file_of(bag).unlink()
    os.truncate(compressed, compressed.stat().st_size // 2)
    found, damage = read(bag)
    assert 6 <= len(found) <= 10 and found == list(range(len(found)))
    assert f"{compressed} is damaged" in damage


def test_a_database_that_is_cut_off_anywhere_is_read_once_and_to_an_end(tmp_path: Path) -> None:
    """A search in a tree of which a part is missing may end at rows before the place that it is for."""
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        camera = writer.add_connection("/image", "sensor_msgs/msg/CompressedImage", typestore=STORE)
        chat = writer.add_connection("/chat", "std_msgs/msg/String", typestore=STORE)
        text = STORE.serialize_cdr(STORE.types["std_msgs/msg/String"]("x" * 50), "std_msgs/msg/String")
        for index in range(40):
            writer.write(camera, LOG_0 + 2 * index, image(index, 4850))
            writer.write(chat, LOG_0 + 2 * index + 1, text)
    data = file_of(tmp_path / "bag").read_bytes()
    cut = tmp_path / "cut.db3"
    for half_pages in range(16, len(data) // 2048):
        cut.write_bytes(data[: 2048 * half_pages])
        with SqliteRows(cut) as rows:
            stamps = [stamp for _, stamp, _ in itertools.islice(rows.messages(rows.connections), 100)]
            assert stamps == sorted(set(stamps)) and len(stamps) <= 80, half_pages


@pytest.mark.parametrize("storage", STORAGES)
def test_behind_a_damaged_middle_it_goes_on(tmp_path: Path, storage: str) -> None:
    bag = write(tmp_path / "bag", storage)
    size = file_of(bag).stat().st_size
    with open(file_of(bag), "r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * (size // 20))
    found, damage = read(bag)
    assert found[:8] == list(range(8)) and found[-1] == FRAMES - 1
    assert storage == "sqlite3" or len(found) < FRAMES  # a database has no checksums: the content of a row may be wrong
    assert storage == "sqlite3" or "is damaged" in damage


def test_rows_behind_a_damaged_page_are_read(tmp_path: Path) -> None:
    """Small rows, some of a page each: a page that is overwritten takes only its own ones away."""
    bag = write(tmp_path / "bag", "sqlite3", size=1000)
    with open(file_of(bag), "r+b") as file:
        pages = file_of(bag).stat().st_size // 4096
        for page in range(pages - 1, 0, -1):  # the last page that holds messages of the middle
            file.seek(4096 * page)
            content = file.read(4096)
            if image(FRAMES // 2, 1000)[60:200] in content:
                file.seek(4096 * page)
                file.write(b"\xa5" * 4096)
    found, damage = read(bag)
    assert 10 <= len(found) < FRAMES and {0, FRAMES - 1} <= set(found) and FRAMES // 2 not in found
    assert "is damaged" in damage


def test_fewer_messages_than_announced_are_damage(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", "sqlite3", size=100)
    with sqlite3.connect(file_of(bag)) as database:
        database.execute("DELETE FROM messages WHERE id > 15")
    found, damage = read(bag)
    assert len(found) == 15 and "states 20 messages on /image, and 15 of them could be read" in damage


def test_messages_in_a_write_ahead_log_are_named(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", "sqlite3", size=100)
    log = file_of(bag).with_name(f"{file_of(bag).name}-wal")
    log.write_bytes(b"")
    assert read(bag)[1] is None
    log.write_bytes(b"pages")
    assert f"its newest messages are in {log.name}" in read(bag)[1]


@pytest.mark.parametrize("storage", STORAGES)
def test_a_definition_of_unknown_encoding_is_no_damage(tmp_path: Path, storage: str) -> None:
    """rosbag2 writes "unknown" where it finds no definition of a type; others record with other encodings."""
    bag = write_with_unknown(tmp_path / "bag", storage)
    assert read(bag) == (list(range(FRAMES)), None)
    with BagReader(bag) as reader:
        assert {c.topic for c in reader.connections} == {"/image", "/other"}
        assert BagImages(reader, None).topic == "/image"


def write_with_unknown(path: Path, storage: str) -> Path:
    with Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        camera = writer.add_connection("/image", "sensor_msgs/msg/CompressedImage", typestore=STORE)
        other = writer.add_connection("/other", "acme_msgs/msg/Odd", msgdef="uint8 value", rihs01="RIHS01_0")
        for index in range(FRAMES):
            writer.write(camera, LOG_0 + index, image(index, 100))
            writer.write(other, LOG_0 + index, b"odd")
    file = file_of(path)
    if storage == "sqlite3":
        with sqlite3.connect(file) as database:
            database.execute(
                "UPDATE message_definitions SET encoding = 'unknown' WHERE topic_type = 'acme_msgs/msg/Odd'"
            )
    else:  # of the same length, so that nothing else changes
        name = b"acme_msgs/msg/Odd" + (7).to_bytes(4, "little")
        data = file.read_bytes()
        assert name + b"ros2msg" in data
        file.write_bytes(data.replace(name + b"ros2msg", name + b"unknown"))
        drop_checksums(file)
    return path


def drop_checksums(file: Path) -> None:
    """Sets the chunks' checksums to 0, which means that there is none."""
    data, place = bytearray(file.read_bytes()), 8
    while data[place] not in (0x0F, 0x02):
        length = int.from_bytes(data[place + 1 : place + 9], "little")
        if data[place] == 0x06:
            data[place + 9 + 24 : place + 9 + 28] = bytes(4)
        place += 9 + length
    file.write_bytes(data)


def test_a_foreign_serialization_is_no_damage_and_is_named(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    with Writer(bag, version=9) as writer:
        camera = writer.add_connection("/image", "sensor_msgs/msg/CompressedImage", typestore=STORE)
        foreign = writer.add_connection(
            "/foreign", "sensor_msgs/msg/Image", typestore=STORE, serialization_format="protobuf"
        )
        for index in range(FRAMES):
            writer.write(camera, LOG_0 + index, image(index, 100))
            writer.write(foreign, LOG_0 + index, b"odd")
    assert read(bag) == (list(range(FRAMES)), None)
    with BagReader(bag) as reader:
        assert BagImages(reader, None).topic == "/image"
        with pytest.raises(ValueError, match="/foreign cannot be read, it is serialized as 'protobuf'"):
            BagImages(reader, "/foreign")


def test_a_missing_file_of_a_bag_is_named(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", "sqlite3", size=100)
    file = file_of(bag)
    file.rename(file.with_name("bag_1.db3"))
    found, damage = read(bag)
    assert len(found) == FRAMES and "was not closed" in damage
    with mock.patch.object(Path, "iterdir", return_value=iter(())), pytest.raises(ValueError, match="cannot be read"):
        BagReader(bag)
