# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import math
from pathlib import Path

import pytest
from bag_example import LOG_0, STORE, write
from rosbags.rosbag2 import Reader

from atom_core.offline.frames import SourceFrame
from atom_core.offline.results import FrameResult, TargetResult, TargetState
from atom_ros.programs.bag_images import BagImages
from atom_ros.programs.bag_reader import BagReader
from atom_ros.programs.bag_writer import TRACK_TYPE, BagSink, track_typestore

TOPIC = "/tracker/track"
BOX = (1.0, 2.0, 30.0, 40.0)
SEEN = TargetResult(7, TargetState.TRACKING, BOX, 0.75, 0.5, 0.9)
LOST = TargetResult(7, TargetState.LOST, None, 0.125, math.nan, 0.1)


def write_tracks(folder: Path, results: list[FrameResult], copied: bool = False) -> Path:
    """The results of a bag's first images, as a bag; with the images themselves where they are copied."""
    output = folder / "out"
    with BagReader(write(folder / "bag", "mcap", 100)) as reader:
        images = BagImages(reader, None)
        sink = BagSink(output, "mcap", TOPIC, images, reader.connections if copied else [])
        for frame, result in zip(images, results, strict=False):
            sink.write(frame, result)
        assert not output.exists()
        sink.close()
    return output


def read_tracks(bag: Path) -> list[tuple]:
    """Log time, stamp, target, status, x and confidence of each Track."""
    store = track_typestore()
    with Reader(bag) as reader:
        wanted = [c for c in reader.connections if c.topic == TOPIC]
        tracks = [(at, store.deserialize_cdr(data, TRACK_TYPE)) for _, at, data in reader.messages(wanted)]
    return [(at - LOG_0, t.header.stamp.nanosec, t.target_id, t.status, t.x, t.confidence) for at, t in tracks]


def test_each_result_is_a_track_with_its_images_header_and_log_time(tmp_path: Path) -> None:
    given = TargetResult.given(7, BOX)
    results = [FrameResult(0, None), FrameResult(1, None, (given,)), FrameResult(2, None, (SEEN,))]
    rows = read_tracks(write_tracks(tmp_path, [*results, FrameResult(3, None, (LOST,))]))
    kind = track_typestore().types[TRACK_TYPE]
    assert [row[:4] for row in rows] == [
        (0, 0, 0, kind.IDLE),
        (1, 1, 7, kind.TRACKING),
        (2, 2, 7, kind.TRACKING),
        (3, 3, 7, kind.LOST),
    ]
    assert [row[4] for row in rows[1:3]] == [1.0, 1.0] and math.isnan(rows[0][4]) and math.isnan(rows[3][4])
    assert rows[2][5] == pytest.approx(0.9)


def test_an_unreadable_image_has_no_track(tmp_path: Path) -> None:
    output = write_tracks(tmp_path, [FrameResult(0, None, error="damaged"), FrameResult(1, None, (SEEN,))])
    assert [row[0] for row in read_tracks(output)] == [1]


def test_images_are_copied_unchanged(tmp_path: Path) -> None:
    output = write_tracks(tmp_path, [FrameResult(0, None, (SEEN,))], copied=True)
    with Reader(tmp_path / "bag") as before, Reader(output) as after:
        images = [c for c in after.connections if c.topic == "/image"]
        first = next(iter(before.messages()))
        assert [(at, bytes(data)) for _, at, data in after.messages(images)] == [(first[1], bytes(first[2]))]


def test_a_topic_that_is_copied_cannot_be_the_tracks(tmp_path: Path) -> None:
    with BagReader(write(tmp_path / "bag", "mcap", 100)) as reader:
        images = BagImages(reader, None)
        with pytest.raises(ValueError, match="the bag holds /image already; choose another name with --track-topic"):
            BagSink(tmp_path / "out", "mcap", "/image", images, reader.connections)


def test_only_frames_of_a_bag_can_be_written_and_discarding_leaves_nothing(tmp_path: Path) -> None:
    with BagReader(write(tmp_path / "bag", "mcap", 100)) as reader:
        sink = BagSink(tmp_path / "out", "sqlite3", TOPIC, BagImages(reader, None), [])
        with pytest.raises(TypeError, match="expected a BagFrame"):
            sink.write(SourceFrame(0, None, lambda: pytest.fail("not needed")), FrameResult(0, None))
        sink.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]
    assert STORE.types, "the standard messages stay as they are"
