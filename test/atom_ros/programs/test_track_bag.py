# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`track_bag` on real bags, which `rosbags` writes and reads back."""

import csv
import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from atom_core.tracker import AtomTracker
from atom_ros.programs import track_bag
from atom_ros.programs.bag_reader import BagReader
from atom_ros.programs.bag_writer import TRACK_TYPE, track_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
STAMP_0, LOG_0, PERIOD = 1_700_000_000_123_456_789, 1_700_000_000_200_000_000, 100_000_000  # ns
FRAMES = 12
SIDE = 32
BOX = (59.5, 39.5, float(SIDE), float(SIDE))  # of the square in the first image, whose pixels are 60..91 and 40..71
BOX_TEXT = "59.5,39.5,32,32"
ROOT = Path(track_bag.__file__).parents[2]


def make_image(index: int) -> np.ndarray:
    """(120, 160, 3) RGB: a textured square that moves 2 px an image over a textured ground."""
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 120, (15, 20, 3), np.uint8)
    image = cv2.resize(ground, (160, 120), interpolation=cv2.INTER_CUBIC)
    square = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    image[40 : 40 + SIDE, 60 + 2 * index : 60 + 2 * index + SIDE] = square
    return image


def header(index: int) -> Any:
    stamp = STAMP_0 + index * PERIOD
    time_type, header_type = STORE.types["builtin_interfaces/msg/Time"], STORE.types["std_msgs/msg/Header"]
    return header_type(time_type(sec=stamp // 10**9, nanosec=stamp % 10**9), "camera_optical")


def padded_bgr8(index: int) -> tuple[str, Any]:
    rows = make_image(index)[:, :, ::-1].reshape(120, 480)
    data = np.pad(rows, ((0, 0), (0, 32)), constant_values=7).ravel()
    return "Image", STORE.types["sensor_msgs/msg/Image"](header(index), 120, 160, "bgr8", 0, 512, data)


def mono16(index: int) -> tuple[str, Any]:
    grey = cv2.cvtColor(make_image(index), cv2.COLOR_RGB2GRAY).astype("<u2") * 257
    data = grey.view(np.uint8).ravel()
    return "Image", STORE.types["sensor_msgs/msg/Image"](header(index), 120, 160, "mono16", 0, 320, data)


def jpeg(index: int) -> tuple[str, Any]:
    _, data = cv2.imencode(".jpg", make_image(index)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    return "CompressedImage", STORE.types["sensor_msgs/msg/CompressedImage"](header(index), "jpeg", data.ravel())


def seen_by_the_tracker(make: Any, index: int) -> np.ndarray:
    """What the image holds after its way through the message, found without the program."""
    image = make_image(index)
    if make is padded_bgr8:
        return image
    if make is mono16:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64)
        low, high = np.percentile(grey[grey > 0], (1, 99))
        shown = np.clip((grey - low) / (high - low), 0, 1) * (grey > 0)
        return np.dstack([np.rint(255 * shown).astype(np.uint8)] * 3)
    return np.ascontiguousarray(cv2.imdecode(jpeg(index)[1].data, cv2.IMREAD_COLOR)[:, :, ::-1])


def write_bag(
    path: Path, make: Any = jpeg, storage: str = "sqlite3", frames: int = FRAMES, compression: str | None = None
) -> Path:
    """A bag with a line of text before each image."""
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    if compression is not None:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        kind = f"sensor_msgs/msg/{make(0)[0]}"
        camera = writer.add_connection("/camera/image", kind, typestore=STORE)
        notes = writer.add_connection("/notes", "std_msgs/msg/String", typestore=STORE)
        for index in range(frames):
            log = LOG_0 + index * PERIOD
            note = STORE.types["std_msgs/msg/String"](str(index))
            writer.write(notes, log - 1, STORE.serialize_cdr(note, "std_msgs/msg/String"))
            writer.write(camera, log, STORE.serialize_cdr(make(index)[1], kind))
    return path


def run(*arguments: object) -> int:
    return track_bag.main([str(argument) for argument in (*arguments, "--device", "cpu")])


def read_tracks(bag: Path) -> list[tuple[int, Any]]:
    """(log time, Track) of a bag, read by `rosbags`."""
    store = track_typestore()
    with Reader(bag) as reader:
        wanted = [c for c in reader.connections if c.topic == "/tracker/track"]
        return [(stamp, store.deserialize_cdr(data, TRACK_TYPE)) for _, stamp, data in reader.messages(wanted)]


def stamp_of(track: Any) -> int:
    return track.header.stamp.sec * 10**9 + track.header.stamp.nanosec


def own_boxes(images: list[np.ndarray]) -> list[tuple[float, ...]]:
    tracker = AtomTracker.from_pretrained("default", "cpu")
    tracker.initialize(images[0], BOX)
    return [BOX, *(tracker.track(image).box for image in images[1:])]


@pytest.mark.parametrize(
    ("make", "storage", "compression"),
    [(padded_bgr8, "sqlite3", "file"), (mono16, "mcap", "message"), (jpeg, "mcap", "storage")],
)
def test_every_image_has_its_track(tmp_path: Path, make, storage, compression) -> None:
    frames = 4
    bag = write_bag(tmp_path / "bag", make, storage, frames, compression)
    assert run(bag, "--box", BOX_TEXT) == 0
    output = tmp_path / "bag_tracks"
    with Reader(output) as reader:
        (connection,) = reader.connections
        assert (connection.topic, connection.msgtype) == ("/tracker/track", TRACK_TYPE)
    assert next(output.glob("bag_tracks.*")).suffix == {"sqlite3": ".db3", "mcap": ".mcap"}[storage]
    tracks = read_tracks(output)
    assert [log for log, _ in tracks] == [LOG_0 + index * PERIOD for index in range(frames)]
    assert [stamp_of(track) for _, track in tracks] == [STAMP_0 + index * PERIOD for index in range(frames)]
    assert {track.header.frame_id for _, track in tracks} == {"camera_optical"}
    assert {(track.target_id, track.status) for _, track in tracks} == {(1, 1)}
    boxes = [(track.x, track.y, track.width, track.height) for _, track in tracks]
    assert boxes == own_boxes([seen_by_the_tracker(make, index) for index in range(frames)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag", "bag_tracks"]


def test_the_track_type_is_the_installed_one() -> None:
    """Players and recorders compare types by this hash of the definition."""
    installed = ROOT / "install" / "atom_tracker" / "share" / "atom_tracker" / "msg" / "Track.json"
    if not installed.exists():
        pytest.skip("needs the colcon build")
    hashes = {t["type_name"]: t["hash_string"] for t in json.loads(installed.read_text())["type_hashes"]}
    assert track_typestore().hash_rihs01(TRACK_TYPE) == hashes[TRACK_TYPE]


def test_copied_topics_tables_and_a_start_in_the_middle(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", frames=5)
    table, lines, video = tmp_path / "t.csv", tmp_path / "t.jsonl", tmp_path / "t.webm"
    box = f"{BOX[0] + 4},{BOX[1]},{SIDE},{SIDE}"  # in the third image
    start = f"{(STAMP_0 + 2 * PERIOD) / 1e9 - 0.03:.3f}"
    files = ["--csv", table, "--json", lines, "--video", video]
    output = tmp_path / "out"
    arguments = ["--box", box, "--start-stamp", start, "--copy-all", "--storage", "mcap", "--output", output, *files]
    assert run(bag, *arguments) == 0
    with Reader(bag) as before, Reader(output) as after:
        copied = [(c.topic, stamp, data) for c, stamp, data in after.messages() if c.topic != "/tracker/track"]
        assert sorted(copied) == sorted((c.topic, stamp, bytes(data)) for c, stamp, data in before.messages())
    statuses = [(track.status, track.target_id, math.isnan(track.x)) for _, track in read_tracks(output)]
    assert statuses == [(0, 0, True), (0, 0, True), (1, 1, False), (1, 1, False), (1, 1, False)]
    with open(table) as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["idle", "idle", "given", "tracking", "tracking"]
    assert rows[4]["stamp"] == "1700000000.523456789"
    assert [json.loads(line)["stamp"] for line in lines.read_text().splitlines()] == [
        STAMP_0 + index * PERIOD for index in range(5)
    ]
    capture = cv2.VideoCapture(str(video))
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 5
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(5 / 0.4, rel=0.01)


def test_the_topic_must_be_chosen_where_there_are_several(tmp_path: Path, capsys) -> None:
    with Writer(tmp_path / "bag", version=9) as writer:
        for name in ("/left", "/right"):
            connection = writer.add_connection(name, "sensor_msgs/msg/CompressedImage", typestore=STORE)
            writer.write(connection, LOG_0, STORE.serialize_cdr(jpeg(0)[1], "sensor_msgs/msg/CompressedImage"))
    assert run(tmp_path / "bag", "--box", BOX_TEXT) == 2
    assert "--topic: /left (1 images), /right (1 images)" in capsys.readouterr().err
    assert run(tmp_path / "bag", "--box", BOX_TEXT, "--topic", "/up") == 2
    assert "no images on /up; its image topics: /left" in capsys.readouterr().err
    assert run(tmp_path / "bag", "--box", BOX_TEXT, "--topic", "right") == 0
    assert len(read_tracks(tmp_path / "bag_tracks")) == 1


def test_what_is_no_bag_is_named(tmp_path: Path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.db3").write_text("no database")
    for path, words in (("missing", "there is no bag"), ("empty", "cannot be read"), ("text.db3", "none of it")):
        assert run(tmp_path / path, "--box", BOX_TEXT) == 2
        assert words in (errors := capsys.readouterr().err) and path in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "text.db3"]


def damage(bag: Path, how: str) -> int:
    """Damages a bag's file; returns how many images can be read without any doubt."""
    (file,) = [path for path in bag.iterdir() if path.suffix in (".db3", ".mcap")]
    size = file.stat().st_size
    if how == "cut off":  # the recorder's disk was full, or its power failed: no end, no description
        os.truncate(file, size * 6 // 10)
        (bag / "metadata.yaml").unlink()
    else:  # a bad sector
        with open(file, "r+b") as opened:
            opened.seek(size * 6 // 10)
            opened.write(b"\xa5" * (size // 10))
    return FRAMES * 4 // 10


def write_noisy_bag(path: Path, storage: str) -> Path:
    """A bag of some megabytes: an mcap file of several chunks, and a database of many pages."""

    def noisy(index: int) -> tuple[str, Any]:
        kind, message = padded_bgr8(index)
        noise = np.random.default_rng(index).integers(0, 256, 400_000, np.uint8)
        message.data = np.concatenate([message.data, noise])  # behind the picture
        return kind, message

    return write_bag(path, noisy, storage)


@pytest.mark.parametrize("how", ["cut off", "overwritten"])
@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_damaged_bag_is_read_as_far_as_it_goes(tmp_path: Path, storage: str, how: str) -> None:
    bag = write_noisy_bag(tmp_path / "bag", storage)
    with BagReader(bag) as whole:
        expected = [bytes(data) for *_, data in whole.messages(["/camera/image"])]
        assert len(expected) == FRAMES and whole.damage is None and whole.storage == storage
    certain = damage(bag, how)
    with BagReader(bag) as damaged:
        assert damaged.storage == storage
        found = [bytes(data) for *_, data in damaged.messages(["/camera/image"])]
        assert damaged.damage is not None and str(bag) in damaged.damage
    assert certain <= len(found) < FRAMES or how == "overwritten"
    assert found[:certain] == expected[:certain]


def test_the_results_of_a_damaged_bag_are_kept(tmp_path: Path, capsys) -> None:
    bag = write_noisy_bag(tmp_path / "bag", "mcap")
    damage(bag, "cut off")
    assert run(bag, "--box", BOX_TEXT) == 1
    errors = capsys.readouterr().err
    found = len(read_tracks(tmp_path / "bag_tracks"))
    assert f"the results hold the {found} frames" in errors and ".mcap is damaged" in errors


def test_an_image_that_cannot_be_read_is_named_and_has_no_track(tmp_path: Path, capsys) -> None:
    def broken(index: int) -> tuple[str, Any]:
        kind, message = jpeg(index)
        if index == 1:
            message.data = message.data[:20]
        return kind, message

    bag = write_bag(tmp_path / "bag", broken, frames=3)
    table = tmp_path / "t.csv"
    assert run(bag, "--box", BOX_TEXT, "--csv", table) == 1
    assert "/camera/image, image 1: compressed image" in capsys.readouterr().err
    assert [stamp_of(track) for _, track in read_tracks(tmp_path / "bag_tracks")] == [STAMP_0, STAMP_0 + 2 * PERIOD]
    with open(table) as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["given", "unreadable", "tracking"]


def test_a_killed_run_is_the_same_when_it_is_resumed_and_needs_no_ros(tmp_path: Path) -> None:
    """The killed one is a process in which no ROS package can be imported."""
    bag = write_bag(tmp_path / "bag")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        f"stamp,target,x,y,width,height\n{STAMP_0 / 1e9:.9f},2,{BOX_TEXT}\n{STAMP_0 / 1e9 + 0.15:.9f},5,20,20,24,24\n"
    )
    assert run(bag, "--boxes", boxes, "--output", tmp_path / "whole", "--csv", tmp_path / "whole.csv") == 0
    arguments = [bag, "--boxes", boxes, "--output", tmp_path / "parts", "--csv", tmp_path / "parts.csv"]
    arguments += ["--checkpoint", 0]

    code = (
        "import sys\n"
        "names = 'rclpy', 'sensor_msgs', 'std_msgs', 'builtin_interfaces', 'atom_tracker'\n"
        "sys.modules |= dict.fromkeys(names)\n"
        "from atom_ros.programs.track_bag import main; sys.exit(main())"
    )
    words = [sys.executable, "-c", code, *map(str, arguments), "--device", "cpu"]
    environment = {k: v for k, v in os.environ.items() if k != "AMENT_PREFIX_PATH"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    journal = tmp_path / "parts.resume" / "results.jsonl"
    while not journal.exists() or journal.read_text().count("\n") < 4:
        assert process.poll() is None, process.communicate()[0].decode()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "parts").exists()
    partial = (tmp_path / "parts.part.csv").read_bytes()
    assert (tmp_path / "whole.csv").read_bytes().startswith(partial)

    assert run(*arguments, "--resume") == 0
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    whole, parts = read_tracks(tmp_path / "whole"), read_tracks(tmp_path / "parts")
    for _, track in (*whole, *parts):
        track.processing_time = 0.0
    assert str(parts) == str(whole) and len(whole) == FRAMES + (FRAMES - 2)
    assert {track.target_id for _, track in whole} == {2, 5}
    leftovers = {"parts.resume", "parts.part", "parts.part.csv"}
    assert not leftovers & {path.name for path in tmp_path.iterdir()}


def test_a_full_disk_is_named_and_the_run_can_go_on(tmp_path: Path, monkeypatch, capsys) -> None:
    """The database refuses the third write as it does on a full disk."""
    bag = write_bag(tmp_path / "bag", frames=3)
    write = Writer.write
    count = 0

    def write_on_a_full_disk(self: Writer, *arguments: object) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise sqlite3.OperationalError("database or disk is full")
        write(self, *arguments)

    arguments = [bag, "--box", BOX_TEXT, "--checkpoint", 0]
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "write", write_on_a_full_disk)
        assert run(*arguments) == 2
    errors = capsys.readouterr().err
    assert "bag_tracks.part cannot be written: database or disk is full" in errors
    assert run(bag, "--box", "60,40,30,30", "--resume") == 2, "the journal is kept where --resume is refused"
    assert "had other boxes in frame 0" in capsys.readouterr().err
    assert run(*arguments, "--resume") == 0
    assert len(read_tracks(tmp_path / "bag_tracks")) == 3


def test_an_earlier_bag_is_not_lost(tmp_path: Path, capsys) -> None:
    bag = write_bag(tmp_path / "bag", frames=1)
    output = tmp_path / "bag_tracks"
    output.mkdir()
    (output / "precious").write_text("")
    assert run(bag, "--box", BOX_TEXT) == 2 and "is there already" in capsys.readouterr().err
    assert (output / "precious").exists()
    assert run(bag, "--box", BOX_TEXT, "--overwrite") == 0
    assert len(read_tracks(output)) == 1


def test_a_topic_that_the_bag_holds_already_is_refused(tmp_path: Path, capsys) -> None:
    first = write_bag(tmp_path / "bag", frames=1)
    assert run(first, "--box", BOX_TEXT, "--copy-images") == 0
    second = tmp_path / "bag_tracks"
    assert run(second, "--box", BOX_TEXT, "--copy-all") == 2 and "--track-topic" in capsys.readouterr().err
    assert run(second, "--box", BOX_TEXT, "--copy-all", "--track-topic", "/again") == 0
    with Reader(tmp_path / "bag_tracks_tracks") as reader:
        assert {c.topic for c in reader.connections} == {"/camera/image", "/tracker/track", "/again"}
    shutil.rmtree(second)


def test_a_cluster_makes_the_local_bags_though_a_worker_is_killed_in_one(tmp_path: Path, capsys) -> None:
    """A real scheduler and two workers; the one that dies is in the middle of the longest bag."""
    pytest.importorskip("distributed")
    sys.path.insert(0, str(ROOT / "test" / "atom_core"))
    from dask_processes import cluster, reader_of

    bags = [write_bag(tmp_path / name, frames=frames) for name, frames in (("long", 30), ("short", 4), ("other", 4))]
    arguments = [*bags, "--box", BOX_TEXT, "--checkpoint", 0]
    assert run(*arguments, "--output", tmp_path / "local_{name}") == 0
    journal = tmp_path / "cluster_long.resume" / "results.jsonl"
    killed = []

    def kill_the_writer() -> None:
        while not journal.exists() or journal.read_text().count("\n") < 4 or (writer := reader_of(journal)) is None:
            time.sleep(0.005)
        os.kill(writer, signal.SIGKILL)
        killed.append(writer)

    thread = threading.Thread(target=kill_the_writer, daemon=True)
    with cluster(tmp_path) as address:
        thread.start()
        status = run(*arguments, "--output", tmp_path / "cluster_{name}", "--scheduler", address)
    assert status == 0, capsys.readouterr().err
    assert len(killed) == 1 and killed[0] != os.getpid()
    for bag in bags:
        tables = [read_tracks(tmp_path / f"{where}_{bag.name}") for where in ("local", "cluster")]
        for _, track in (*tables[0], *tables[1]):
            track.processing_time = 0.0
        assert str(tables[0]) == str(tables[1]), bag.name
    assert len(read_tracks(tmp_path / "cluster_long")) == 30
    assert not list(tmp_path.glob("*.resume")) and not list(tmp_path.glob("*.part"))
