# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A signal while a program's imports are under way ends it without a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = "import sys\nfrom atom_ros.entry import {name}\nprint('begun', flush=True)\nsys.exit({name}())\n"
OPTIONS = {"track_bag": ["no_bag"], "select_target": ["--box", "1,2,30,40"], "web": ["--port", "0"]}
MOMENTS = (0.0, 0.1, 0.4, 0.8)  # s after the program's first line


def _interrupted(name: str, number: int, moment: float) -> tuple[int, str, str]:
    """The status, and what the program wrote to stdout and stderr."""
    command = [sys.executable, "-c", PROGRAM.format(name=name), *OPTIONS.get(name, ())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        time.sleep(moment or 0.001)  # for the first line of the program's own
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    return process.returncode, rest, errors


@pytest.mark.parametrize("name", ["tracker_node", "video_camera", "simulated_robot", "follow_target", "web"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_ends_at_once_and_quietly(name: str, number: int) -> None:
    for moment in MOMENTS:
        status, _, errors = _interrupted(name, number, moment)
        assert status == 0, (moment, errors)
        assert "Traceback" not in errors and "rror" not in errors, (moment, errors)


@pytest.mark.parametrize("name", ["check_setup", "track_bag", "select_target"])
def test_a_command_says_by_its_status_that_it_was_not_done(name: str) -> None:
    for moment in MOMENTS[1:3]:
        status, _, errors = _interrupted(name, signal.SIGINT, moment)
        assert status == 130 and "Traceback" not in errors, (moment, errors)


MODULE = """
import atexit, os, signal, sys, types
from atom_ros import entry
program = types.ModuleType("{module}")
program.main = lambda: print("last words") or atexit.register(print, "taken apart") and 3
sys.modules["{module}"] = program
"""


def _run(code: str, module: str = "program") -> tuple[int, str, str]:
    result = subprocess.run([sys.executable, "-c", MODULE.format(module=module) + code], capture_output=True, text=True)
    return result.returncode, result.stdout, result.stderr


def test_a_signal_after_the_end_of_a_command_changes_nothing() -> None:
    """`ros2 launch` signals to a program that has just ended by itself; the interpreter takes a second to end."""
    code = """
status = entry.run_command("program")
os.kill(os.getpid(), signal.SIGINT)
os.kill(os.getpid(), signal.SIGTERM)
sys.exit(status)
"""
    assert _run(code) == (3, "last words\ntaken apart\n", "")


def test_a_launched_program_does_not_wait_for_the_interpreter_to_be_taken_apart() -> None:
    """On a loaded machine that takes longer than `ros2 launch` waits before it kills the program."""
    assert _run("sys.exit(entry.run('program'))") == (3, "last words\n", "")
    assert _run("sys.exit(entry.select_target())", "atom_ros.programs.select_target") == (3, "last words\n", "")
