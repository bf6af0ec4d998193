# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The camera for trying out, as a process that shows a folder of images."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from calibration_example import CALIBRATION
from robot import TIMEOUT, Robot, wait_until
from sensor_msgs.msg import CameraInfo, Image

from atom_ros.images import to_rgb


def _start(log: Path, *parameters: str) -> subprocess.Popen:
    arguments = [word for parameter in parameters for word in ("-p", parameter)]
    command = [sys.executable, "-m", "atom_ros.programs.video_camera", "--ros-args", "-r", "__ns:=/video", *arguments]
    with log.open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of 64 x 48 px, of red 10, 20, 30; the second file is spoilt later in their midst."""
    folder = tmp_path_factory.mktemp("images")
    for i in (1, 2, 3):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((48, 64, 3), (0, 0, 10 * i), np.uint8))
    (folder / "4.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def robot() -> Iterator[Robot]:
    robot = Robot("/video")
    yield robot
    robot.close()


def test_images_and_calibration(robot: Robot, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "webcam.yaml").write_text(CALIBRATION)
    images: list[Image] = []
    infos: list[CameraInfo] = []
    robot.node.create_subscription(Image, "image_raw", images.append, 100)
    robot.node.create_subscription(CameraInfo, "camera_info", infos.append, 100)
    process = _start(
        tmp_path / "log", f"source:={folder}", f"calibration:={tmp_path}/webcam.yaml", "fps:=50.0", "frame_id:=eye"
    )
    try:
        wait_until(lambda: len(images) >= 9 and len(infos) >= 9, "three rounds of images")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
    reds = [int(to_rgb(image)[20, 30, 0]) for image in images]
    start = reds.index(10)
    assert reds[start : start + 6] == [10, 20, 30] * 2, "in the order of the names, in a loop, without the spoilt file"
    assert {image.header.frame_id for image in images} == {"eye"}
    stamps = [(image.header.stamp.sec, image.header.stamp.nanosec) for image in images]
    assert stamps == sorted(set(stamps))
    assert {(info.header.stamp.sec, info.header.stamp.nanosec) for info in infos} & set(stamps)
    assert (infos[0].width, infos[0].k[0]) == (64, 70.0)
    log = (tmp_path / "log").read_text()
    assert "4.png" in log
    assert "Traceback" not in log and "ERROR" not in log, log


def test_ends_with_the_recording(folder: Path, tmp_path: Path) -> None:
    assert _start(tmp_path / "log", f"source:={folder}", "loop:=false", "fps:=100.0").wait(TIMEOUT) == 0
    assert "has ended" in (tmp_path / "log").read_text()


def test_wrong_sources_are_named(tmp_path: Path) -> None:
    missing = _start(tmp_path / "missing", "source:=/nowhere/film.mp4")
    camera = _start(tmp_path / "camera", "source:=97")
    assert (missing.wait(TIMEOUT), camera.wait(TIMEOUT)) == (2, 2)
    assert "source '/nowhere/film.mp4' does not exist; expected a camera" in (tmp_path / "missing").read_text()
    assert "camera 97 cannot be opened" in (tmp_path / "camera").read_text()
