# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.evaluation.command import main


@pytest.fixture
def sequences(tmp_path):
    """Two sequences of two blank frames: one target stays, one leaves its place."""
    for name, boxes in (("stays", "1,2,8,8\n1,2,8,8\n"), ("leaves", "1,2,8,8\n9,2,8,8\n")):
        (tmp_path / name / "img").mkdir(parents=True)
        for index in range(2):
            cv2.imwrite(str(tmp_path / name / "img" / f"{index}.png"), np.zeros((16, 20, 3), np.uint8))
        (tmp_path / name / "groundtruth_rect.txt").write_text(boxes)
    return tmp_path


def test_writes_figures_and_prints_a_table(sequences, tmp_path, capsys):
    output = tmp_path / "output"
    assert main([str(sequences), "--trackers", "identity", "--output", str(output)]) == 0
    result = json.loads((output / "results.json").read_text())
    figures = {name: entry["figures"] for name, entry in result["trackers"]["identity"]["sequences"].items()}
    assert figures["stays"]["mean_overlap"] == 1.0
    assert figures["leaves"]["mean_overlap"] == 0.5
    assert result["trackers"]["identity"]["mean"]["mean_overlap"] == 0.75
    assert result["settings"]["lost_is_miss"] is False
    assert "identity  mean" in capsys.readouterr().out


def test_sequences_are_chosen_by_pattern(sequences, tmp_path):
    output = tmp_path / "output"
    assert main([str(sequences), "--trackers", "identity", "--sequences", "st*", "--output", str(output)]) == 0
    assert list(json.loads((output / "results.json").read_text())["trackers"]["identity"]["sequences"]) == ["stays"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--sequences", "x*"], r"--sequences x*: matches none of leaves, stays"),
        (["--set", "memory_sise=9"], "did you mean memory_size"),
        (["--trackers", "identity,goturn"], "there are: efficientnet_lite0"),
        (["--trackers", "identity,identity"], "identity is named twice"),
    ],
)
def test_mistakes_are_told_and_end_with_status_2(sequences, arguments, message, capsys):
    assert main([str(sequences), "--trackers", "identity", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_sequences_is_named(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere"), "--trackers", "identity"]) == 2
    assert "nowhere: no sequence here" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--seeds", "1,1"], ["--seeds", "x"], ["--jobs", "0"], ["--runs", "2", "--seeds", "1"]]
)
def test_impossible_numbers_are_refused(sequences, arguments):
    with pytest.raises(SystemExit) as raised:
        main([str(sequences), *arguments])
    assert raised.value.code == 2


def run_files(output):
    return {path.relative_to(output / "runs"): path.stat().st_mtime_ns for path in output.glob("runs/**/*.json")}


def test_a_second_call_makes_only_what_is_missing(sequences, tmp_path):
    output = tmp_path / "output"
    call = [str(sequences), "--trackers", "identity", "--output", str(output)]
    assert main(call) == 0
    first, figures = run_files(output), (output / "results.json").read_text()
    assert len(first) == 2
    (output / "runs" / "identity" / "seed0" / "leaves.json").unlink()
    (output / "results.json").unlink()
    assert main(call) == 0
    kept = [name for name, time in run_files(output).items() if time == first[name]]
    assert [name.name for name in kept] == ["stays.json"]
    trackers = [json.loads(text)["trackers"] for text in (figures, (output / "results.json").read_text())]
    speeds = ("initialize_seconds", "median_ms", "mean_ms", "p95_ms")
    accuracy = [{k: v for k, v in entry["identity"]["mean"].items() if k not in speeds} for entry in trackers]
    assert accuracy[0] == accuracy[1]


def test_a_changed_setting_is_named_and_restart_makes_all_anew(sequences, tmp_path, capsys, network_file):
    output = tmp_path / "output"
    call = [str(sequences), "--trackers", str(network_file), "--sequences", "stays", "--output", str(output)]
    assert main(call) == 0
    before = run_files(output)
    assert main([*call, "--set", "memory_size=100"]) == 2
    assert "tracker.config.memory_size was 250, is 100. Choose another --output" in capsys.readouterr().err
    assert run_files(output) == before
    assert main([*call, "--set", "memory_size=100", "--restart"]) == 0
    assert run_files(output).keys() == before.keys()
    assert run_files(output) != before


def test_a_failed_run_is_named_and_the_others_are_kept(sequences, tmp_path, capsys):
    output = tmp_path / "output"
    (sequences / "stays" / "img" / "1.png").write_bytes(b"no image")
    assert main([str(sequences), "--trackers", "identity", "--output", str(output)]) == 1
    assert "failed: identity, seed 0, stays: " in capsys.readouterr().err
    result = json.loads((output / "results.json").read_text())
    assert list(result["trackers"]["identity"]["sequences"]) == ["leaves"]
    assert result["failures"][0]["run"] == "identity, seed 0, stays"


def test_several_configurations_and_seeds(sequences, tmp_path, network_file):
    output = tmp_path / "output"
    trackers = f"{network_file},{network_file}:proposals=3,identity"
    call = [str(sequences), "--trackers", trackers, "--sequences", "stays", "--seeds", "3,5", "--device", "cpu"]
    assert main([*call, "--output", str(output)]) == 0
    plain, changed, identity = json.loads((output / "results.json").read_text())["trackers"].values()
    assert plain["seeds"] == changed["seeds"] == [3, 5]
    assert identity["seeds"] == [3]  # its runs would all be the same
    assert (plain["settings"]["config"]["proposals"], changed["settings"]["config"]["proposals"]) == (10, 3)
    assert list(plain["sequences"]["stays"]["runs"]) == ["3", "5"]
    assert plain["spread"]["auc"] is not None
    assert identity["spread"]["auc"] is None


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers as Linux shows them")
def test_a_killed_evaluation_leaves_no_process_and_goes_on(sequences, tmp_path):
    output = tmp_path / "output"
    call = [str(sequences), "--trackers", "identity", "--jobs", "2", "--output", str(output)]
    image = sequences / "leaves" / "img" / "1.png"
    content = image.read_bytes()
    image.unlink()
    os.mkfifo(image)  # reading it lasts until somebody writes, which nobody does
    process = subprocess.Popen([sys.executable, "-m", "atom_core.evaluation.command", *call], cwd=tmp_path)
    while not run_files(output) and process.poll() is None:
        time.sleep(0.05)
    workers = children(process.pid)
    process.kill()
    process.wait()
    assert [name.name for name in run_files(output)] == ["stays.json"]
    while any(Path(f"/proc/{worker}").is_dir() for worker in workers):
        time.sleep(0.05)

    before = run_files(output)
    image.unlink()
    image.write_bytes(content)
    assert main(call[:3] + call[5:]) == 0
    after = run_files(output)
    assert {name.name for name in after} == {"stays.json", "leaves.json"}
    assert before.items() <= after.items()


def test_ctrl_c_tells_how_to_go_on(sequences, tmp_path, capsys):
    image = sequences / "stays" / "img" / "1.png"
    image.unlink()
    os.mkfifo(image)
    output = tmp_path / "output"

    def interrupt_after_the_first_run() -> None:
        while not run_files(output):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_after_the_first_run, daemon=True).start()
    assert main([str(sequences), "--trackers", "identity", "--output", str(output)]) == 130
    assert f"the same command continues from {output}" in capsys.readouterr().err
    assert [name.name for name in run_files(output)] == ["leaves.json"]


def test_withheld_boxes_give_speed_and_files_for_the_server(tmp_path):
    folder = tmp_path / "GOT-10k_Test_000001"
    folder.mkdir()
    for index in range(1, 4):
        cv2.imwrite(str(folder / f"{index:08}.jpg"), np.zeros((16, 20, 3), np.uint8))
    (folder / "groundtruth.txt").write_text("2,3,8,8\n")
    output = tmp_path / "output"
    assert main([str(tmp_path), "--layout", "got10k", "--trackers", "identity", "--output", str(output)]) == 0
    result = output / "submission" / "identity-seed0" / folder.name / f"{folder.name}_001.txt"
    assert result.read_text().splitlines() == ["2.000,3.000,8.000,8.000"] * 3
    figures = json.loads((output / "results.json").read_text())["trackers"]["identity"]["mean"]
    assert figures["auc"] is None
    assert figures["median_ms"] > 0


def test_the_shipped_network_follows_and_the_page_shows_it(tmp_path):
    generator = np.random.default_rng(3)
    background = generator.integers(60, 180, (8, 10, 3), dtype=np.uint8)
    background = cv2.resize(background, (160, 120), interpolation=cv2.INTER_CUBIC)
    target = cv2.resize(
        generator.integers(0, 255, (5, 4, 3), dtype=np.uint8), (24, 30), interpolation=cv2.INTER_NEAREST
    )
    (tmp_path / "square" / "img").mkdir(parents=True)
    for index in range(4):
        image = background.copy()
        image[40:70, 50 + 4 * index : 74 + 4 * index] = target
        cv2.imwrite(str(tmp_path / "square" / "img" / f"{index}.png"), image)
    boxes = "".join(f"{50 + 4 * index},40,24,30\n" for index in range(4))
    (tmp_path / "square" / "groundtruth_rect.txt").write_text(boxes)
    output = tmp_path / "output"
    call = [str(tmp_path / "square"), "--trackers", "default,identity", "--device", "cpu", "--output", str(output)]
    assert main([*call, "--jobs", "2"]) == 0
    trackers = json.loads((output / "results.json").read_text())["trackers"]
    assert trackers["default"]["mean"]["success_50"] == 1
    assert trackers["default"]["mean"]["mean_overlap"] > trackers["identity"]["mean"]["mean_overlap"]
    page = (output / "report.html").read_text()
    assert page.count("<svg") == 5  # three of the boxes, two of the confidence
    assert page.count("data:image/jpeg;base64,") == len(trackers["default"]["sequences"]) * 4
