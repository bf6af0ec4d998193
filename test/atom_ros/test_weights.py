# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are no network, given to the node as a process: refused by name, and the node can be configured after."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from robot import Robot, TrackerProcess, wait_until
from safetensors.torch import save

from atom_core.networks import weights


class HostilePickle:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot("/weights")
    yield robot
    robot.close()


def test_files_that_are_no_network_are_refused_by_name(tmp_path: Path, robot: Robot) -> None:
    file, ran = tmp_path / "network.safetensors", tmp_path / "ran"
    good = weights.find("default").read_bytes()
    archive = tmp_path / "archive"
    torch.save(HostilePickle(ran), archive)
    cases = (
        (good[: len(good) // 2], "not a readable safetensors file"),
        (b"", "not a readable safetensors file"),
        (b"\xff" * 8 + b"{}", "not a readable safetensors file"),  # a header of 2^64 bytes
        (pickle.dumps(HostilePickle(ran)), "not a readable safetensors file"),
        (archive.read_bytes(), "not a readable safetensors file"),
        (save({"x": torch.zeros(3)}), "no network file of atom_tracker"),
        (save({"x": torch.zeros(3)}, {"format": "atom_tracker 1", "network": "resnet18"}), "do not fit"),
    )
    process = TrackerProcess(
        tmp_path / "log",
        "-r",
        "__ns:=/weights",
        "-p",
        "autostart:=false",
        "-p",
        "device:=cpu",
        "-p",
        f"weights:={file}",
    )
    try:
        assert f"no weights file at {file}" in _refusal(robot, process)
        for content, reason in cases:
            file.write_bytes(content)
            refusal = _refusal(robot, process)
            assert str(file) in refusal and reason in refusal
        file.unlink()
        file.mkdir()
        assert f"no weights file at {file}" in _refusal(robot, process)
        file.rmdir()
        assert not ran.exists(), "nothing that a file holds is run"

        file.write_bytes(good)
        assert _configure(robot), "the same node, with a good file"
    finally:
        status = process.stop()
    assert status == 0


def _refusal(robot: Robot, process: TrackerProcess) -> str:
    """What the node's log says about weights that cannot be used; the node must be unconfigured then."""
    before = len(process.log.read_text())
    assert not _configure(robot)
    state = robot.call(GetState, "tracker/get_state", GetState.Request()).current_state
    assert state.id == State.PRIMARY_STATE_UNCONFIGURED
    wait_until(lambda: "Cannot use weights" in process.log.read_text()[before:], "the reason in the log")
    return process.log.read_text()[before:]


def _configure(robot: Robot) -> bool:
    transition = Transition(id=Transition.TRANSITION_CONFIGURE)
    return robot.call(ChangeState, "tracker/change_state", ChangeState.Request(transition=transition)).success
