# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from atom_ros import parameters, run_tracker
from atom_ros.programs import follow_target, video_camera
from atom_ros.start import accept_whole_numbers, own_words, start, wants_help


@pytest.fixture(autouse=True)
def _signals_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node takes over the process's signals; a test runs in the process of all."""
    monkeypatch.setattr(run_tracker, "Ending", lambda: None)


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (run_tracker.main, ["tracker_node", "tracker.recognition", "weights (default: default)", "image:=/camera"]),
        (video_camera.main, ["video_camera", "fps (default: 0.0)", "calibration (default: empty)", "image_raw"]),
        (follow_target.main, ["follow_target", "max_speed (default: 0.4)", "tracker/track"]),
    ],
)
def test_help_is_printed(main, words: list[str], capsys) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: ros2 run atom_tracker")
    assert all(word in printed for word in words)


def test_help_for_ros_is_not_the_programs() -> None:
    assert wants_help(["-h"])
    assert not wants_help([])
    assert own_words(["a", "--ros-args", "-p", "x:=1", "--", "b"]) == ["a", "b"]
    assert not wants_help(["--ros-args", "-p", "help:=true"])


@pytest.mark.parametrize("main", [run_tracker.main, video_camera.main, follow_target.main])
def test_what_ros_cannot_use_is_one_line(main, capsys) -> None:
    assert main(["--ros-args", "-r", "__ns:=bad-name"]) == 2
    error = capsys.readouterr().err
    assert "__ns:=bad-name" in error and "a namespace is like /robot/camera" in error
    assert "Traceback" not in error and ".c:" not in error
    assert main(["--ros-args", "--params-file", "/nowhere.yaml"]) == 2
    assert "there is no parameter file /nowhere.yaml" in capsys.readouterr().err


def test_a_parameter_file_that_is_there_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("/**:\n  ros__parameters:\n    speed: 3\n")
    context = Context()
    assert start("test", ["--ros-args", "--params-file", str(file)], context=context)
    node = Node("taker", context=context)
    accept_whole_numbers(node, ["speed"])
    assert node.declare_parameter("speed", 0.5).value == 3.0
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_whole_numbers_are_accepted_for_parameters_with_a_fraction() -> None:
    context = Context()
    rclpy.init(args=["--ros-args", "-p", "tracker.recognition:=0", "-p", "catch_up_seconds:=2"], context=context)
    node = Node("tracker", context=context)
    settings = parameters.declare(node)
    assert (settings.tracker.recognition, settings.catch_up_seconds) == (0.0, 2.0)
    (result,) = node.set_parameters([Parameter("tracker.recognition", value=1)])
    assert result.successful and node.get_parameter("tracker.recognition").value == 1.0
    assert type(node.get_parameter("tracker.recognition").value) is float
    (result,) = node.set_parameters([Parameter("tracker.recognition", value=2)])
    assert not result.successful, "ranges hold as before"
    (result,) = node.set_parameters([Parameter("max_targets", value=2)])
    assert result.successful and node.get_parameter("max_targets").value == 2, "whole numbers stay whole"
    node.destroy_node()
    rclpy.shutdown(context=context)
