# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files, with the real launch packages where they are installed (they come with ROS 2, not with pip)."""

import contextlib
import importlib.util
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from rcl_interfaces.srv import GetParameters
from robot import TIMEOUT, Robot, wait_until

from atom_ros.launch_arguments import end_with
from atom_tracker.msg import Track

launch = pytest.importorskip("launch", reason="the package launch is not installed")
pytest.importorskip("launch_ros", reason="the package launch_ros is not installed")

LaunchContext = launch.LaunchContext
FOLDER = Path(__file__).resolve().parents[2] / "launch"
OF_THE_TRACKER = {
    *("image", "camera_info", "depth", "namespace", "params_file", "weights", "device", "image_transport"),
    *(
        "reliability",
        "max_targets",
        "box",
        "target_frame",
        "publish_tf",
        "autostart",
        "use_sim_time",
        "respawn",
        "rviz",
        "rviz_config",
        "fixed_frame",
        "web",
        "web_host",
        "web_port",
    ),
}


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("tracker", set()),
        ("webcam", {"source", "fps", "loop", "frame_id", "calibration", "select"}),
        ("bag", {"bag", "rate", "loop", "delay"}),
    ],
)
def test_every_argument_is_described(name: str, own: set[str]) -> None:
    arguments = _module(name).generate_launch_description().get_launch_arguments()
    assert {argument.name for argument in arguments} == OF_THE_TRACKER | own
    assert all(argument.description for argument in arguments)


@pytest.mark.parametrize(("loop", "expected"), [("true", ["--loop"]), ("false", [])])
def test_the_bag_is_played_with_its_clock(
    loop: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = LaunchContext()
    context.launch_configurations.update(bag=str(tmp_path), rate="0.5", delay="3", loop=loop)
    (tmp_path / "ros2").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    last = _module("bag").generate_launch_description().entities[-1]
    (player,) = last.execute(context)
    words = ["".join(part.perform(context) for part in word) for word in player.cmd]
    start = ["ros2", "bag", "play", str(tmp_path), "--clock", "--rate", "0.5", "--delay", "3"]
    assert words == start + expected


def test_everything_ends_with_the_source_of_the_images() -> None:
    end, context = end_with("the camera"), LaunchContext()
    (action,) = end(SimpleNamespace(returncode=0), context)
    assert action.period == 3.0 and isinstance(action.actions[0], launch.actions.Shutdown)
    with pytest.raises(RuntimeError, match="the camera ended with status -9"):
        end(SimpleNamespace(returncode=-9), context)
    context._set_is_shutdown(True)
    assert end(SimpleNamespace(returncode=-9), context) == []


# What `ros2 launch <file> <arguments>` does.
LAUNCHER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

arguments = [argument.split(":=") for argument in sys.argv[2:]]
include = IncludeLaunchDescription(PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments)
service = LaunchService()
service.include_launch_description(LaunchDescription([include]))
sys.exit(service.run())
"""


@contextlib.contextmanager
def _launched(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-c", LAUNCHER, str(FOLDER / f"{name}.launch.py"), *arguments]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(TIMEOUT)
    assert status == 0, (folder / "log").read_text()


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot("/launched")
    yield robot
    robot.close()


def test_arguments_reach_the_node(robot: Robot, tmp_path: Path) -> None:
    arguments = ["namespace:=/launched", "image:=/camera/image_raw", "device:=cpu", "autostart:=false"]
    arguments += ["reliability:=reliable", "max_targets:=3", "box:=1,2,30,40"]
    with _launched(tmp_path, "tracker", *arguments) as process:
        wait_until(lambda: process.poll() is not None or robot.has_diagnostics(), "the node")
        diagnostics = robot.diagnostics()
        assert (diagnostics["lifecycle"], diagnostics["image topic"]) == ("unconfigured", "/camera/image_raw")
        names = ["autostart", "device", "weights", "tracker.not_found_threshold"]
        names += ["qos.reliability", "max_targets", "box"]
        values = robot.call(GetParameters, "tracker/get_parameters", GetParameters.Request(names=names)).values
        assert (values[0].bool_value, values[1].string_value) == (False, "cpu")
        assert (values[2].string_value, values[3].double_value) == ("default", 0.25), "as in the parameter file"
        assert (values[4].string_value, values[5].integer_value) == ("reliable", 3)
        assert values[6].string_value == "1,2,30,40"


@pytest.mark.parametrize("name", ["tracker", "webcam", "bag"])
def test_the_web_page_is_asked_for(name: str) -> None:
    arguments = _module(name).generate_launch_description().get_launch_arguments()
    defaults = {a.name: "".join(getattr(part, "text", "") for part in a.default_value or ()) for a in arguments}
    assert (defaults["web"], defaults["web_host"], defaults["web_port"]) == ("false", "127.0.0.1", "8080")


def test_a_folder_as_webcam(robot: Robot, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "1.png"), pixels)
    arguments = [f"source:={tmp_path}", "fps:=10.0", "namespace:=/launched", "device:=cpu", "select:=false"]
    with _launched(tmp_path, "webcam", *arguments, "box:=40,30,60,50") as process:
        wait_until(lambda: process.poll() is not None or robot.tracks, "a Track")
        assert process.poll() is None, (tmp_path / "log").read_text()
        wait_until(lambda: robot.tracks[-1].status == Track.TRACKING, "the target that was given as argument")
        assert robot.tracks[-1].header.frame_id == "camera_optical_frame"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("tracker", ["params_file:=/no/such.yaml"], "params_file:=/no/such.yaml does not exist"),
        ("tracker", ["rviz:=true", "rviz_config:=/no/such.rviz"], "rviz_config:=/no/such.rviz does not exist"),
        ("tracker", ["max_targets:=abc"], "max_targets:=abc is not a number"),
        ("webcam", ["fps:=abc", "select:=false"], "fps:=abc is not a number"),
        ("webcam", ["source:=/no/such.mp4", "select:=false"], "the camera ended with status 2"),
        ("bag", ["bag:=/no/such"], "bag:=/no/such does not exist"),
    ],
)
def test_a_wrong_argument_fails_the_launch(name: str, arguments: list[str], message: str) -> None:
    command = [sys.executable, "-c", LAUNCHER, str(FOLDER / f"{name}.launch.py"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert result.returncode == 1
    assert message in result.stdout + result.stderr
