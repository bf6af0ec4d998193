# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes beside the tracker, as processes: they answer every request, and none ends them."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters
from robot import TIMEOUT, Robot, wait_until
from type_description_interfaces.srv import GetTypeDescription

BURST = 30  # requests
VIDEO = Path(__file__).parents[3] / "demo" / "street" / "street.mp4"
PROGRAMS = {  # module: its node's name and its arguments
    "atom_ros.programs.video_camera": ("camera", ["--ros-args", "-p", f"source:={VIDEO}"]),
    "atom_ros.programs.simulated_robot": ("robot", []),
    "atom_ros.programs.follow_target": ("follow_target", []),
    "atom_ros.web.command": ("web", ["--port", "0"]),
}


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot("/client")
    yield robot
    robot.close()


@pytest.mark.parametrize("module", PROGRAMS)
def test_bursts_and_malformed_requests_are_answered(robot: Robot, tmp_path: Path, module: str) -> None:
    """rclpy itself answers a part of a burst, and ends the spin at a parameter type that does not exist."""
    if module == "atom_ros.web.command" and importlib.util.find_spec("aiohttp") is None:
        pytest.skip("needs aiohttp")
    name, arguments = PROGRAMS[module]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=file, stderr=file)
    try:
        for service_type, service, request in (
            (GetParameters, "get_parameters", GetParameters.Request(names=["use_sim_time"])),
            (ListParameters, "list_parameters", ListParameters.Request()),
            (GetTypeDescription, "get_type_description", GetTypeDescription.Request()),
        ):
            wait_until(lambda t=service_type, s=service, r=request: _is_answered(robot, t, f"/{name}/{s}", r), service)
            answers = [robot.ask(service_type, f"/{name}/{service}", request) for _ in range(BURST)]
            wait_until(
                lambda answers=answers: all(a.done() for a in answers), f"{BURST} answers of {service}", timeout=20
            )
        wrong = SetParameters.Request(parameters=[Parameter(name="a", value=ParameterValue(type=99))])
        refused = robot.call(SetParameters, f"/{name}/set_parameters", wrong)
        assert not refused.results[0].successful and "99" in refused.results[0].reason
        assert robot.call(
            GetParameters, f"/{name}/get_parameters", GetParameters.Request(names=["use_sim_time"])
        ).values
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0, log.read_text()
    finally:
        process.kill()


def _is_answered(robot: Robot, service_type: type, name: str, request: object) -> bool:
    """Whether one request is answered soon: the answer to a client that the node has not discovered yet gets lost."""
    answer = robot.ask(service_type, name, request)
    deadline = time.monotonic() + 1.0
    while not answer.done() and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer.done()
