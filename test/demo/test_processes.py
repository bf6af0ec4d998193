# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import os
import sys
import time
from collections.abc import Callable

import pytest

from demo.processes import ProcessError, Processes


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-u", "-c", code]  # unbuffered: what is printed and what fails keep their order


def wait(until: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def processes(tmp_path):
    with Processes(tmp_path, dict(os.environ)) as processes:
        yield processes


def test_a_process_that_ends_well_has_ended(processes):
    processes.start("child", python("print('done')"))
    wait(lambda: processes.has_ended("child"))
    assert processes.tail("child") == "  | done"


def test_a_failed_process_is_reported_with_its_log_s_end_whichever_was_asked_for(processes):
    processes.start("sleeper", python("import time; time.sleep(60)"))
    processes.start("broken", python("print(*range(100), sep='\\n'); raise SystemExit('out of film')"))
    with pytest.raises(ProcessError, match=r"the broken ended with status 1.*broken\.log") as raised:
        wait(lambda: processes.has_ended("sleeper"))
    lines = str(raised.value).splitlines()
    assert lines[-1] == "  | out of film"
    assert lines[-2] == "  | 99"
    assert len(lines) == 1 + 25


def test_a_process_that_must_run_on_may_not_end_well_either(processes):
    processes.start("short", python(""))
    with pytest.raises(ProcessError, match=r"the short ended with status 0(.|\n)*it wrote nothing"):
        wait(lambda: processes.require_running("short"))


def test_leaving_ends_what_a_child_has_started_even_on_an_error(tmp_path):
    code = (
        "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; "
        "time.sleep(60)']); print(child.pid, flush=True); time.sleep(60)"
    )
    log = tmp_path / "parent.log"
    with pytest.raises(ZeroDivisionError), Processes(tmp_path, dict(os.environ)) as processes:
        processes.start("parent", python(code))
        wait(lambda: log.exists() and log.read_text().endswith("\n"))
        grandchild = int(log.read_text())
        assert is_alive(grandchild)
        raise ZeroDivisionError
    wait(lambda: not is_alive(grandchild))


def test_a_process_that_ignores_requests_is_killed(tmp_path, monkeypatch):
    import signal

    monkeypatch.setattr("demo.processes.PATIENCE", ((signal.SIGINT, 0.1), (signal.SIGTERM, 0.1), (signal.SIGKILL, 5)))
    code = (
        "import os, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(60)"
    )
    log = tmp_path / "stubborn.log"
    with Processes(tmp_path, dict(os.environ)) as processes:
        processes.start("stubborn", python(code))
        wait(lambda: log.exists() and log.read_text().endswith("\n"))
    assert not is_alive(int(log.read_text()))
