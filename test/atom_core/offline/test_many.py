# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`atom-track` on several recordings: in this process, in several, and on a cluster of which a worker is killed."""

import csv
import os
import signal
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.offline import command

FRAMES = 6
SIDE = 32


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    """Three folders of images with a square, which stands in the first and moves faster in each of the others."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(60, 120, (15, 20, 3), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    square = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    folders = [tmp_path / "recordings" / name for name in ("still", "slow", "fast")]
    for speed, folder in enumerate(folders):
        folder.mkdir(parents=True)
        for index in range(FRAMES):
            image = ground.copy()
            x = 60 + speed * index
            image[40 : 40 + SIDE, x : x + SIDE] = square
            cv2.imwrite(str(folder / f"{index}.png"), image)
        (tmp_path / f"{folder.name}.csv").write_text(f"frame,x,y,width,height\n0,59.5,39.5,{SIDE},{SIDE}\n")
    return folders


def track(recordings: list[Path], output: Path, *arguments: object) -> int:
    output.mkdir(exist_ok=True)
    boxes = recordings[0].parents[1] / "{name}.csv"
    call = [*recordings, "--boxes", boxes, "--output", output / "{name}.csv", "--device", "cpu", *arguments]
    return command.main([str(argument) for argument in call])


def tables(folder: Path) -> dict[str, list[list[str]]]:
    return {path.name: list(csv.reader(path.read_text().splitlines())) for path in sorted(folder.glob("*.csv"))}


def test_each_recording_has_its_boxes_and_its_results(recordings, tmp_path, capsys):
    assert track(recordings, tmp_path / "together") == 0
    for recording in recordings:
        assert track([recording], tmp_path / "alone") == 0
    together = tables(tmp_path / "together")
    assert list(together) == ["fast.csv", "slow.csv", "still.csv"]
    assert together == tables(tmp_path / "alone")
    last = {name: float(rows[-1][4]) for name, rows in together.items()}
    assert last == pytest.approx({"still.csv": 59.5, "slow.csv": 64.5, "fast.csv": 69.5}, abs=2)
    assert f"{recordings[1]}: followed through {FRAMES} frames" in capsys.readouterr().out

    assert track(recordings, tmp_path / "together") == 2  # nothing is overwritten unasked
    assert "still.csv is there already" in capsys.readouterr().err
    assert track(recordings, tmp_path / "together", "--resume") == 0
    assert capsys.readouterr().out.count("complete already") == 3


def test_a_recording_that_fails_is_named_and_costs_no_other(recordings, tmp_path, capsys):
    (tmp_path / "slow.csv").write_text("frame,x,y,width,height\n0,1,2,-3,4\n")
    assert track(recordings, tmp_path / "out", "--jobs", 2) == 2
    error = capsys.readouterr().err
    assert f"{recordings[1]}: failed: " in error and "width and height above 0" in error
    assert list(tables(tmp_path / "out")) == ["fast.csv", "still.csv"]


def test_results_of_one_name_are_refused_before_anything_is_written(recordings, tmp_path, capsys):
    call = [*recordings, "--box", "59.5,39.5,32,32", "--output", tmp_path / "all.csv"]
    assert command.main([str(argument) for argument in call]) == 2
    assert f"{recordings[0]} and {recordings[1]} would both be written to {tmp_path / 'all.csv'}" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "all.csv").exists()


def test_a_cluster_goes_on_where_a_killed_worker_was(recordings, tmp_path, capsys):
    pytest.importorskip("distributed")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from dask_processes import cluster, reader_of

    assert track(recordings, tmp_path / "local") == 0
    image = recordings[1] / f"{FRAMES - 1}.png"
    content = image.read_bytes()
    image.unlink()
    os.mkfifo(image)
    killed = []

    def kill_the_reader() -> None:
        writer = os.open(image, os.O_RDWR)
        while (reader := reader_of(image)) is None or reader == os.getpid():
            time.sleep(0.05)
        image.with_suffix(".whole").write_bytes(content)
        image.with_suffix(".whole").replace(image)
        assert (tmp_path / "cluster" / "slow.csv.resume").is_dir()
        os.kill(reader, signal.SIGKILL)
        killed.append(reader)
        os.close(writer)

    thread = threading.Thread(target=kill_the_reader, daemon=True)
    with cluster(tmp_path) as address:
        thread.start()
        assert track(recordings, tmp_path / "cluster", "--scheduler", address, "--checkpoint", "0") == 0, (
            capsys.readouterr().err
        )
    thread.join(10)
    assert len(killed) == 1
    assert tables(tmp_path / "cluster") == tables(tmp_path / "local")
    assert not list((tmp_path / "cluster").glob("*.resume"))
