# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Child processes that are always ended, with their output in log files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType

LOG_TAIL = 25  # lines of a log that are shown when its process has failed
PATIENCE = ((signal.SIGINT, 5.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))  # signal, s to wait after it


class ProcessError(RuntimeError):
    """A process ended when it should not have; the message holds the end of its log."""


class Processes:
    """Named child processes; leaving the `with` block ends them and all that they started."""

    def __init__(self, logs: Path, environment: dict[str, str]) -> None:
        self._logs = logs
        self._environment = environment
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, seconds in PATIENCE:
            for child in self._children.values():
                # The whole group, including what a child started and left behind.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, number)
            for child in self._children.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(seconds)
            if all(child.poll() is not None for child in self._children.values()):
                return

    def start(self, name: str, command: list[str]) -> None:
        """Starts a process whose output goes to `<logs>/<name>.log`."""
        with self._log(name).open("wb") as log:
            self._children[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # a separate group, which signals from the keyboard do not reach
            )

    def has_ended(self, name: str) -> bool:
        """Whether a process has ended successfully.

        Raises:
            ProcessError: if it, or another one, failed.
        """
        if self._failed():
            self._report(self._failed())
        return self._children[name].poll() == 0

    def require_running(self, name: str) -> None:
        """Raises ProcessError if a process has ended for any reason."""
        if self.has_ended(name):
            self._report([name])

    def tail(self, name: str) -> str:
        """The last lines of a process's log."""
        lines = self._log(name).read_text(errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-LOG_TAIL:]) or "  | (it wrote nothing)"

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _failed(self) -> list[str]:
        return [name for name, child in self._children.items() if child.poll()]

    def _report(self, names: list[str]) -> None:
        raise ProcessError("\n".join(self._story(name) for name in names))

    def _story(self, name: str) -> str:
        status = self._children[name].poll()
        return f"the {name} ended with status {status}; the end of {self._log(name)}:\n{self.tail(name)}"
