# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C ends every command-line program without a traceback, also while it imports what it needs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from atom_core.interrupts import INTERRUPTED, PROGRAMS, is_own_program

ROOT = Path(__file__).resolve().parents[2]
# What `python -m` can run.
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("atom_core", "atom_ros")
    for path in (ROOT / folder).rglob("*.py")
    if re.search(r'__name__ == "__main__"', path.read_text())
)


@pytest.mark.parametrize(
    ("arguments", "command_line", "expected"),
    [
        (["-m", "--jobs", "2"], ["python", "-m", "atom_core.evaluation.command", "--jobs", "2"], True),
        (["-m"], ["python", "-um", "atom_ros.benchmark"], True),
        (["-m"], ["python", "-m", "pytest"], False),
        (["-m"], ["python", "-m", "atom_corelike.command"], False),
        (["/usr/local/bin/atom-track", "video.mp4"], ["python", "/usr/local/bin/atom-track", "video.mp4"], True),
        (["/home/me/my_robot.py"], ["python", "/home/me/my_robot.py"], False),
        (["-c"], ["python", "-c", "import atom_core"], False),
        ([], [], False),
    ],
)
def test_what_is_a_program_of_the_project(arguments: list[str], command_line: list[str], expected: bool) -> None:
    assert is_own_program(arguments, command_line) is expected


def test_all_programs_that_pip_installs_are_known() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"].keys() == PROGRAMS


def _interrupt(command: list[str], line: str, delay: float = 0.0) -> tuple[int, str]:
    """Sends SIGINT `delay` seconds after the line; returns the status and what was written to stderr after it."""
    with subprocess.Popen(command, cwd=ROOT, stdout=-3, stderr=subprocess.PIPE, text=True) as process:
        try:
            while line not in (read := process.stderr.readline()):
                assert read, f"{line} was not seen"
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=120)[1]
        finally:
            process.kill()  # one that goes on would disturb other tests
    return process.returncode, errors


def test_the_programs_are_found() -> None:
    assert {"atom_core.offline.command", "atom_ros.benchmark.soak", "atom_ros.run_tracker"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_ctrl_c_during_the_imports(module: str) -> None:
    """`-X importtime` tells what has been imported, by lines on stderr."""
    command = [sys.executable, "-X", "importtime", "-m", module]
    status, errors = _interrupt(command, "atom_core.interrupts", 0.05)
    assert "Traceback" not in errors and "KeyboardInterrupt" not in errors
    # A `main` may import what it needs, and a node's has its own handling: it ends with 0.
    assert status in (INTERRUPTED, -signal.SIGINT, 0)


PROGRAM = """
import sys, time
sys.argv[0] = "atom-track"
import atom_core

def main():
    print("main", file=sys.stderr, flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("saved", file=sys.stderr)
        raise

main()
"""


def test_a_program_that_runs_can_finish_what_it_does() -> None:
    status, errors = _interrupt([sys.executable, "-c", PROGRAM], "main", 0.3)
    assert errors.split() == ["saved", "interrupted"]
    assert status == -signal.SIGINT


def test_an_application_keeps_its_own_handling() -> None:
    code = "import atom_core, signal, sys; print(signal.getsignal(2) is signal.default_int_handler, sys.excepthook)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "True <built-in function excepthook>\n"
