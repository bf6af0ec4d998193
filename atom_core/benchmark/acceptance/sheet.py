# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The lines of the report, and running parts so that every failure becomes a line.

Each part runs in a separate process: after an illegal access, CUDA no longer works in the process, and a crash or a
hang must not affect the other parts. Lines are written at once, so those before a crash are kept.
"""

from __future__ import annotations

import contextlib
import enum
import json
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_TAIL = 12  # lines of output from a process that failed


class Status(enum.StrEnum):
    """The outcome of a check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # with the reason
    TOLD = "told"  # a figure without a bound


@dataclass(frozen=True)
class Line:
    """One check of the report.

    Attributes:
        part: that it belongs to.
        name: of the check, unique in its part.
        status: see `Status`.
        text: the result, for a reader.
        figures: the result, for programs; numbers and short strings.
    """

    part: str
    name: str
    status: Status
    text: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


class Sheet:
    """The lines of one part, each appended to a file at once."""

    def __init__(self, part: str, path: Path) -> None:
        self.part, self._path = part, path

    def add(self, name: str, status: Status, text: str = "", **figures: Any) -> None:
        """Adds a line."""
        line = Line(self.part, name, status, text, figures)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line)) + "\n")
        print(f"{status:8s} {self.part}: {name}{f': {text}' if text else ''}", flush=True)

    def check(self, name: str, is_right: bool, text: str = "", **figures: Any) -> None:
        """Adds a line that has passed or failed."""
        self.add(name, Status.PASSED if is_right else Status.FAILED, text, **figures)

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Turns an exception within into a failed line of this name."""
        try:
            yield
        except Exception as error:  # the report lists every failure
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
            self.add(name, Status.FAILED, text)

    def lines(self) -> list[Line]:
        """All lines so far, without one that a crash cut off."""
        found = []
        for text in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []:
            with contextlib.suppress(json.JSONDecodeError):
                tree = json.loads(text)
                found.append(Line(**{**tree, "status": Status(tree["status"])}))
        return found


Work = Callable[..., None]


def run_isolated(part: str, work: Work, arguments: tuple[Any, ...], folder: Path, seconds: float) -> list[Line]:
    """Runs a part in a separate process and returns its lines.

    Args:
        part: its name.
        work: called with a Sheet and the arguments; a module's function, so that the process can import it.
        arguments: to be pickled.
        folder: for its lines and its output, `<part>.jsonl` and `<part>.log`; existing.
        seconds: after which it is killed.
    """
    slug = part.replace(" ", "_")
    sheet, log = Sheet(part, folder / f"{slug}.jsonl"), folder / f"{slug}.log"
    process = multiprocessing.get_context("spawn").Process(target=_enter, args=(work, sheet, arguments, log))
    started = time.monotonic()
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        sheet.add(
            "end", Status.FAILED, f"not finished after {seconds:.0f} s, and ended; the last it said: {_tail(log)}"
        )
    elif process.exitcode:
        sheet.add("end", Status.FAILED, f"the process ended with {_describe(process.exitcode)}: {_tail(log)}")
    else:
        sheet.add("end", Status.TOLD, f"{time.monotonic() - started:.0f} s", seconds=time.monotonic() - started)
    return sheet.lines()


def _enter(work: Work, sheet: Sheet, arguments: tuple[Any, ...], log: Path) -> None:
    """Runs in the new process; redirects what libraries write to stderr into the log."""
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 2)
        with sheet.attempt(sheet.part):
            work(sheet, *arguments)


def _describe(exit_code: int) -> str:
    if exit_code >= 0:
        return f"status {exit_code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-exit_code).name}"
    return f"signal {-exit_code}"


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return " | ".join(line for line in lines[-_TAIL:] if line.strip()) or "nothing"
