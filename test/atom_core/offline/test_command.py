# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`atom-track` on real files: a textured square moves over a textured ground."""

import csv
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.data.images import find_images, read_image
from atom_core.offline import command
from atom_core.offline.frames import SourceFrame
from atom_core.offline.results import FrameResult
from atom_core.offline.sinks import CsvSink
from atom_core.tracker import AtomTracker

FRAMES = 20
SIDE = 32
FIRST_BOX = (59.5, 39.5, SIDE, SIDE)  # about the pixels 60..91 and 40..71
ROOT = Path(command.__file__).parents[2]


def place(index: int) -> tuple[int, int]:
    """Where the square's first pixel is: it moves 1 px a frame to the right."""
    return 60 + index, 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(60, 120, (15, 20, 3), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    square = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    folder = tmp_path_factory.mktemp("frames")
    for index in range(FRAMES):
        image = ground.copy()
        x, y = place(index)
        image[y : y + SIDE, x : x + SIDE] = square
        cv2.imwrite(str(folder / f"{index}.png"), image)
    return folder


def box_text(box: tuple[float, ...] = FIRST_BOX) -> str:
    return ",".join(map(str, box))


def run(*arguments: object) -> int:
    return command.main([str(argument) for argument in (*arguments, "--device", "cpu")])


def read_rows(path: Path) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


def count_frames(video: Path) -> int:
    capture = cv2.VideoCapture(str(video))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def test_the_boxes_are_the_trackers_own(folder: Path, tmp_path: Path) -> None:
    output, video = tmp_path / "out.csv", tmp_path / "out.avi"
    assert run(folder, "--box", box_text(), "--frames", 4, "--output", output, "--video", video) == 0
    rows = read_rows(output)
    assert [(row["frame"], row["target"], row["stamp"]) for row in rows] == [(str(i), "1", "") for i in range(4)]
    assert (rows[0]["state"], rows[0]["x"], rows[0]["score"]) == ("given", "59.50", "1.000")
    tracker = AtomTracker.from_pretrained("default", "cpu")
    images = [read_image(path) for path in find_images(folder)[:4]]
    tracker.initialize(images[0], FIRST_BOX)
    for image, row in zip(images[1:], rows[1:], strict=True):
        result = tracker.track(image)
        expected = [f"{value:.2f}" for value in result.box] + [f"{result.score:.3f}", f"{result.iou:.3f}"]
        assert [row[name] for name in ("x", "y", "width", "height", "score", "iou")] == expected
    assert count_frames(video) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.avi", "out.csv"]


def test_several_targets_are_set_moved_and_dropped(folder: Path, tmp_path: Path) -> None:
    boxes, output = tmp_path / "boxes.csv", tmp_path / "out.csv"
    x, y = place(3)
    boxes.write_text(
        "frame,target,x,y,width,height\n"
        f"1,7,{x - 2.5},{y - 0.5},{SIDE},{SIDE}\n"
        f"2,3,20,20,24,24\n3,7,{x - 0.5},{y - 0.5},{SIDE},{SIDE}\n4,7,,,,\n"
    )
    assert run(folder, "--boxes", boxes, "--frames", 6, "--output", output) == 0
    states = [(row["frame"], row["target"], row["state"] == "given") for row in read_rows(output)]
    assert states == [
        ("0", "", False),
        ("1", "7", True),
        ("2", "3", True),
        ("2", "7", False),
        ("3", "3", False),
        ("3", "7", True),
        ("4", "3", False),
        ("5", "3", False),
    ]


class Program:
    """`atom-track` as a process of its own, with one thread, as the tests themselves."""

    def __init__(self, *arguments: object) -> None:
        code = "import sys; from atom_core.offline.command import main; sys.exit(main())"
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-c", code, *map(str, arguments), "--device", "cpu"]
        self._process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def end(self, number: int, journal: Path, after: int) -> tuple[int, str]:
        """Sends a signal once the journal holds this many results; returns the exit status and what was printed."""
        while not journal.exists() or journal.read_text().count("\n") < after:
            assert self._process.poll() is None, self._process.communicate()[0].decode()
            time.sleep(0.01)
        self._process.send_signal(number)
        text = self._process.communicate()[0].decode()
        return self._process.returncode, text


def test_an_interrupted_and_then_killed_run_is_the_same_when_it_is_resumed(folder: Path, tmp_path: Path) -> None:
    whole, video = tmp_path / "whole.csv", tmp_path / "whole.avi"
    second = tmp_path / "boxes.csv"
    second.write_text(f"frame,target,x,y,width,height\n0,1,{box_text()}\n2,2,20,20,24,24\n")
    assert run(folder, "--boxes", second, "--output", whole, "--video", video) == 0

    parts, journal = tmp_path / "parts.csv", tmp_path / "parts.csv.resume" / "results.jsonl"
    drawn = tmp_path / "parts.avi"
    arguments = [folder, "--boxes", second, "--output", parts, "--video", drawn, "--checkpoint", 0.3]
    status, text = Program(*arguments).end(signal.SIGINT, journal, after=5)
    assert (status, "stopped after" in text) == (130, True), text
    found = len({row["frame"] for row in read_rows(parts)})
    assert 5 <= found < FRAMES
    assert count_frames(drawn) == found
    assert whole.read_bytes().startswith(parts.read_bytes())

    status, _ = Program(*arguments, "--resume").end(signal.SIGKILL, journal, after=found + 3)
    assert status == -signal.SIGKILL
    partial = (tmp_path / "parts.part.csv").read_bytes()
    assert whole.read_bytes().startswith(partial) and partial.endswith(b"\n")

    assert run(*arguments, "--resume") == 0
    assert parts.read_bytes() == whole.read_bytes()
    assert count_frames(drawn) == FRAMES
    assert drawn.read_bytes() == video.read_bytes()
    assert not journal.parent.exists()
    assert run(*arguments, "--resume") == 0, "complete already"


def test_an_unreadable_frame_is_named_and_the_others_are_kept(folder: Path, tmp_path: Path, capsys) -> None:
    frames, output = tmp_path / "frames", tmp_path / "out.csv"
    frames.mkdir()
    for index, path in enumerate(find_images(folder)[:3]):
        (frames / path.name).write_bytes(path.read_bytes() if index != 1 else b"no picture")
    assert run(frames, "--box", box_text(), "--output", output) == 1
    assert [row["state"] for row in read_rows(output)] == ["given", "unreadable", "tracking"]
    assert "1 frames could not be read" in (errors := capsys.readouterr().err) and "1.png" in errors


def test_a_box_after_the_end_is_named(folder: Path, tmp_path: Path, capsys) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(f"frame,target,x,y,width,height\n0,1,{box_text()}\n99,2,1,2,30,40\n")
    assert run(folder, "--boxes", boxes, "--frames", 2, "--output", tmp_path / "out.csv") == 1
    assert "line 3: " in (errors := capsys.readouterr().err) and "at or after frame 99" in errors


def test_a_bad_box_in_a_later_frame_loses_nothing_and_can_be_mended(folder: Path, tmp_path: Path, capsys) -> None:
    boxes, output = tmp_path / "boxes.csv", tmp_path / "out.csv"
    header = f"frame,target,x,y,width,height\n0,1,{box_text()}\n"
    boxes.write_text(f"{header}3,2,500,1,20,20\n")
    arguments = [folder, "--boxes", boxes, "--frames", 5, "--output", output, "--checkpoint", 0]
    assert run(*arguments) == 2
    assert "line 3: the box" in (errors := capsys.readouterr().err) and "outside the image" in errors
    assert [row["frame"] for row in read_rows(output)] == ["0", "1", "2"]
    assert run(*arguments) == 2 and "--resume" in capsys.readouterr().err
    boxes.write_text(f"{header}3,2,50,1,20,20\n")
    assert run(*arguments, "--resume") == 0
    assert [row["frame"] for row in read_rows(output) if row["target"] == "1"] == ["0", "1", "2", "3", "4"]


def test_a_full_disk_is_named_and_what_was_written_stays(folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """A limit on the size of files stands for a full disk: the system refuses the write just so."""
    output = tmp_path / "out.csv"
    write = CsvSink.write
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write_on_a_full_disk(sink: CsvSink, frame: SourceFrame, result: FrameResult) -> None:
        if result.index == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (130, hard))  # the header and the first line are 104 bytes
        write(sink, frame, result)

    monkeypatch.setattr(CsvSink, "write", write_on_a_full_disk)
    try:
        assert run(folder, "--box", box_text(), "--output", output) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "out.part.csv" in capsys.readouterr().err
    assert [row["frame"] for row in read_rows(output)] == ["0"]
    assert output.read_text().endswith("\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--box", "1,2,3"], "expected x,y,width,height"),
        (["--box", "a,b,c,d"], "expected x,y,width,height"),
        (["--box", "500,1,20,20"], "outside the image of 160 x 120 px"),
        (["--box", "1,2,20,20", "--weights", "nothing"], "no shipped weights named 'nothing'"),
        (["--box", "1,2,20,20", "--device", "gpu"], "unknown device 'gpu'"),
        (["--box", "1,2,20,20", "--video", "out.gif"], "cannot write .gif video"),
        (["--boxes", "nowhere.csv"], "nowhere.csv"),
        (["--box", "1,2,20,20", "--camera", "0"], "either videos"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(folder, tmp_path, capsys, arguments, message) -> None:
    assert command.main([str(folder), "--output", str(tmp_path / "out.csv"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_camera_that_is_not_there_is_named(tmp_path: Path, capsys) -> None:
    assert run("--camera", 99, "--box", "1,2,20,20", "--output", tmp_path / "out.csv") == 2
    assert "camera 99 cannot be opened" in capsys.readouterr().err


def test_earlier_results_are_not_lost(folder: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "out.csv"
    output.write_text("precious")
    assert run(folder, "--box", box_text(), "--output", output) == 2
    assert "is there already" in capsys.readouterr().err
    assert output.read_text() == "precious"
    assert run(folder, "--box", box_text(), "--output", output, "--frames", 1, "--overwrite") == 0
    assert len(read_rows(output)) == 1
