# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The launch file, with the real launch packages where they are installed (they come with ROS 2, not with pip)."""

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from rcl_interfaces.srv import GetParameters
from robot import TIMEOUT, Robot, wait_until

pytest.importorskip("launch", reason="the package launch is not installed")
pytest.importorskip("launch_ros", reason="the package launch_ros is not installed")

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch/tracker.launch.py"


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tracker_launch", LAUNCH_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_argument_is_described(module: ModuleType) -> None:
    arguments = module.generate_launch_description().get_launch_arguments()
    assert {argument.name for argument in arguments} == {
        *("image", "namespace", "params_file", "weights", "device", "image_transport", "autostart", "rviz")
    }
    assert all(argument.description for argument in arguments)


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


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[subprocess.Popen]:
    arguments = ["namespace:=/launched", "image:=/camera/image_raw", "device:=cpu", "autostart:=false"]
    command = [sys.executable, "-c", LAUNCHER, str(LAUNCH_FILE), *arguments]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
        yield process
        process.send_signal(signal.SIGINT)
        status = process.wait(TIMEOUT)
    assert status == 0, (tmp_path / "log").read_text()


def test_arguments_reach_the_node(launched: subprocess.Popen) -> None:
    robot = Robot("/launched")
    try:
        wait_until(lambda: launched.poll() is not None or robot.has_diagnostics(), "the node")
        diagnostics = robot.diagnostics()
        assert (diagnostics["lifecycle"], diagnostics["image topic"]) == ("unconfigured", "/camera/image_raw")
        names = ["autostart", "device", "weights", "tracker.not_found_threshold"]
        values = robot.call(GetParameters, "tracker/get_parameters", GetParameters.Request(names=names)).values
        assert (values[0].bool_value, values[1].string_value) == (False, "cpu")
        assert (values[2].string_value, values[3].double_value) == ("default", 0.25), "as in the parameter file"
    finally:
        robot.close()
