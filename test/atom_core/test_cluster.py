# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A real scheduler and real workers as processes; some of them are killed."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.cluster import DaskCluster
from atom_core.evaluation.command import main
from atom_core.jobs import Failure

pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers as Linux shows them")
sys.path.insert(0, str(Path(__file__).parent))
from dask_processes import cluster, reader_of  # noqa: E402
from example_work import work  # noqa: E402


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory):
    with cluster(tmp_path_factory.mktemp("dask")) as address:
        yield address


def test_a_job_that_kills_two_workers_is_given_up_and_costs_no_other_job(address):
    jobs = [2, "kill", 3, "broken", 4]
    frames = []
    with DaskCluster(address, threads=1) as runner:
        outcomes = dict(runner.run(jobs, work, frames.append))
    assert [outcomes[job] for job in (2, 3, 4)] == [20, 30, 40]
    assert outcomes["broken"] == Failure("no box in line 3")
    assert "2 workers died of it or beside it (tcp://127.0.0.1:" in outcomes["kill"].reason
    assert sum(frames) == 2 + 3 + 4


def test_closing_the_run_ends_the_jobs_on_the_workers(address):
    with DaskCluster(address, threads=1) as runner:
        begun = threading.Event()
        made = runner.run(["endless", 5], work, lambda frames: begun.set())
        assert next(made) == (5, 50)
        made.close()
        assert dict(runner.run([1, 2], work, print)) == {1: 10, 2: 20}  # both workers are free again


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    """Six sequences of four frames with a bright square that moves."""
    folder = tmp_path / "sequences"
    rng = np.random.default_rng(0)
    for number in range(6):
        images = folder / f"s{number}" / "img"
        images.mkdir(parents=True)
        ground = rng.integers(60, 120, (60, 80, 3), np.uint8)
        boxes = []
        for index in range(4):
            image = ground.copy()
            x = 20 + index * number
            image[20:36, x : x + 16] = (240, 200 - 20 * number, 30)
            cv2.imwrite(str(images / f"{index}.png"), image)
            boxes.append(f"{x},20,16,16\n")
        (folder / f"s{number}" / "groundtruth_rect.txt").write_text("".join(boxes))
    return folder


def accuracy(output: Path) -> dict[str, object]:
    """All figures but the times."""
    trackers = json.loads((output / "results.json").read_text())["trackers"]
    times = ("initialize_seconds", "median_ms", "mean_ms", "p95_ms")
    return {
        (tracker, name): {key: value for key, value in sequence["figures"].items() if key not in times}
        for tracker, entry in trackers.items()
        for name, sequence in entry["sequences"].items()
    }


def test_the_table_is_the_local_one_though_a_worker_is_killed_in_the_middle(
    address, sequences, tmp_path, network_file, capsys
):
    call = [str(sequences), "--trackers", f"{network_file},identity", "--device", "cpu", "--threads", "1"]
    assert main([*call, "--output", str(tmp_path / "local")]) == 0

    image = sequences / "s3" / "img" / "2.png"
    content = image.read_bytes()
    image.unlink()
    os.mkfifo(image)  # the worker that reads it waits for a writer
    killed = []

    def kill_the_reader() -> None:
        writer = os.open(image, os.O_RDWR)  # a reader's open returns
        while (reader := reader_of(image)) is None or reader == os.getpid():
            time.sleep(0.05)
        image.with_suffix(".whole").write_bytes(content)
        image.with_suffix(".whole").replace(image)
        os.kill(reader, signal.SIGKILL)
        killed.append(reader)
        os.close(writer)

    thread = threading.Thread(target=kill_the_reader, daemon=True)
    thread.start()
    call += ["--output", str(tmp_path / "cluster"), "--scheduler", address]
    assert main(call) == 0, capsys.readouterr().err
    thread.join(10)
    assert len(killed) == 1
    assert accuracy(tmp_path / "cluster") == accuracy(tmp_path / "local")

    # The runs are kept as those of this machine: the same command makes nothing new.
    runs = {path: path.stat().st_mtime_ns for path in (tmp_path / "cluster" / "runs").rglob("*.json")}
    assert len(runs) == 12
    assert main(call) == 0
    assert {path: path.stat().st_mtime_ns for path in runs} == runs


def test_a_cluster_that_cannot_be_used_is_named(tmp_path, sequences, capsys, monkeypatch):
    monkeypatch.setattr("atom_core.cluster.PATIENCE", 0.5)
    with cluster(tmp_path, workers=0) as address:
        assert main([str(sequences), "--trackers", "identity", "--scheduler", address]) == 2
        assert f"{address}: it has no worker; start some: dask worker {address} --nthreads 1" in capsys.readouterr().err
    assert main([str(sequences), "--trackers", "identity", "--scheduler", address]) == 2
    assert f"{address}: no Dask scheduler answers there; start one with: dask scheduler" in capsys.readouterr().err


def test_without_dask_the_error_names_what_to_install(sequences, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([str(sequences), "--trackers", "identity", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "Dask is not installed here; pip install 'distributed', or 'atom_core[cluster]'" in capsys.readouterr().err
