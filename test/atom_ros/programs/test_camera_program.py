# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import threading
from collections.abc import Callable

import pytest
import rclpy

from atom_ros.programs.camera_program import LoopNode, run_program


class Ending:
    """Stands for atom_ros.ending.Ending, which takes over the process's signals."""

    def call_on_signal(self, call: Callable[[], object]) -> None:
        self.signal = call


class Waiting(LoopNode):
    """Runs until it is stopped."""

    def __init__(self, on_run: Callable[[], object] = lambda: None) -> None:
        super().__init__("waiting")
        self.stopped = threading.Event()
        self._on_run = on_run

    def run(self) -> None:
        self._on_run()
        assert self.stopped.wait(60)

    def stop(self) -> None:
        self.stopped.set()


def test_a_signal_stops_the_node_and_ros_ends_with_it() -> None:
    ending = Ending()
    assert run_program("waiting", lambda: Waiting(lambda: ending.signal()), [], ending) == 0
    assert not rclpy.ok()


def test_a_node_that_cannot_be_made_is_one_line(capsys) -> None:
    def fail() -> LoopNode:
        raise ValueError("fps is -1; expected 0 or more")

    assert run_program("camera", fail, [], Ending()) == 2
    assert capsys.readouterr().err == "camera: fps is -1; expected 0 or more\n"
    assert not rclpy.ok()


def test_what_the_loop_raises_comes_out_and_ros_ends() -> None:
    def fail() -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        run_program("waiting", lambda: Waiting(fail), [], Ending())
    assert not rclpy.ok()


def test_callbacks_are_served_while_the_loop_runs() -> None:
    called = threading.Event()

    class Ticking(Waiting):
        def __init__(self) -> None:
            super().__init__(lambda: called.wait(60))
            self.create_timer(0.01, called.set)
            self.stop()

    assert run_program("ticking", Ticking, [], Ending()) == 0
    assert called.is_set()
