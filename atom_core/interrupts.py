# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C in the command-line programs: an exit status and no traceback, even during their imports.

`atom_core/__init__.py` calls this before a program imports anything else, so it applies to each `python -m
atom_core...`, each `python -m atom_ros...` and each program that pip installs. An application that imports atom_core
keeps its own handling. (In the first tenth of a second, while Python itself starts, this is not possible.)
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType

INTERRUPTED = 130  # exit status of a command that Ctrl-C interrupted
PROGRAMS = frozenset(
    {"atom-track", "atom-train", "atom-bench", "atom-eval", "atom-trax", "atom-weights"}
)  # installed by pip


def is_own_program(arguments: Sequence[str], command_line: Sequence[str]) -> bool:
    """Whether this process runs one of the project's programs.

    Args:
        arguments: `sys.argv`; it begins with `-m` until Python has found the module, so while its package is imported.
        command_line: `sys.orig_argv`.
    """
    if not arguments:
        return False
    if arguments[0] == "-m":
        modules = (word for option, word in itertools.pairwise(command_line) if re.fullmatch("-[A-Za-z]*m", option))
        return next(modules, "").partition(".")[0] in ("atom_core", "atom_ros")
    return Path(arguments[0]).name in PROGRAMS


def end_without_traceback() -> None:
    """Installs the handler of Ctrl-C, unless another one is installed or Ctrl-C is ignored.

    Until the program's `main` runs, and after it, Ctrl-C ends the process at once. While `main` runs, KeyboardInterrupt
    is raised as usual; if the program does not catch it, the process ends without a traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)
        sys.excepthook = _report


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    if _runs_main(frame):
        raise KeyboardInterrupt
    os._exit(INTERRUPTED)  # nothing was done yet, and the module being imported could catch an exception


def _runs_main(frame: FrameType | None) -> bool:
    """Whether the program's `main` has begun: the module that Python runs calls it."""
    called = ""
    while frame is not None:
        if frame.f_globals.get("__name__") == "__main__" and frame.f_code.co_name == "<module>":
            return called == "main"
        called = frame.f_code.co_name
        frame = frame.f_back
    return False


def _report(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("\ninterrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)
