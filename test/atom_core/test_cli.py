# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core import cli


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three frames (120, 160, 3) with a textured square of 32 px that moves 6 px a frame and is gone in the last."""
    rng = np.random.default_rng(0)
    square = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    frames = tmp_path / "frames"
    frames.mkdir()
    for index in range(3):
        image = np.full((120, 160, 3), 90, np.uint8)
        if index < 2:
            image[40:72, 60 + 6 * index : 92 + 6 * index] = square
        cv2.imwrite(str(frames / f"{index:03d}.png"), image)
    return frames


def test_track_writes_places_and_leaves_them_empty_where_lost(folder, tmp_path) -> None:
    output = tmp_path / "out.csv"
    assert cli.track_main([str(folder), "--box", "59.5,39.5,32,32", "--device", "cpu", "--output", str(output)]) == 0
    with open(output) as file:
        tracked, lost = csv.DictReader(file)
    assert (tracked["frame"], tracked["state"]) == ("1", "tracking")
    assert float(tracked["x"]) == pytest.approx(65.5, abs=5) and float(tracked["y"]) == pytest.approx(39.5, abs=5)
    assert (lost["frame"], lost["state"], lost["x"], lost["height"]) == ("2", "lost", "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--box", "1,2,3"], "four numbers"),
        (["--box", "a,b,c,d"], "expected x,y,width,height"),
        (["--box", "500,1,20,20"], "outside the image of 160 x 120 px"),
        (["--box", "1,2,20,20", "--weights", "nothing"], "no shipped weights named 'nothing'"),
        (["--box", "1,2,20,20", "--device", "gpu"], "unknown device 'gpu'"),
    ],
)
def test_track_names_what_is_wrong(folder, tmp_path, capsys, arguments, message) -> None:
    output = tmp_path / "out.csv"
    assert cli.track_main([str(folder), "--output", str(output), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_frames_of_a_video_are_those_written(tmp_path) -> None:
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for blue in (200, 40):
        writer.write(np.full((48, 64, 3), (blue, 0, 0), np.uint8))
    writer.release()
    frames = list(cli.read_frames(path))
    assert [f.shape for f in frames] == [(48, 64, 3)] * 2
    assert [int(f[..., 2].mean()) for f in frames] == pytest.approx([200, 40], abs=4)  # RGB: blue is last


def test_a_path_without_frames_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="holds no frame"):
        next(cli.read_frames(tmp_path))
    with pytest.raises(ValueError, match=r"missing\.mp4 holds no frame"):
        next(cli.read_frames(tmp_path / "missing.mp4"))


def test_train_names_a_missing_folder(tmp_path, capsys) -> None:
    missing = tmp_path / "nowhere"
    arguments = ["iou", "--data", str(missing), "--validation", str(missing), "--output", str(tmp_path / "out")]
    assert cli.train_main(arguments) == 2
    assert "nowhere" in capsys.readouterr().err
