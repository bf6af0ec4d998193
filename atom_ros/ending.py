# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Ends a program cleanly at Ctrl-C (SIGINT) and SIGTERM.

rclpy's own handlers stop all publishing at once, and Python's raises KeyboardInterrupt anywhere: error lines and a
traceback follow, although nothing is wrong. Here a thread waits for the signals and asks the program to end; the
program can still publish.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAME_REQUEST = 1.0  # s
_LONGEST = 3.0  # s for a clean end; `ros2 launch` sends SIGTERM after 5 s, and SIGKILL later


class Ending:
    """A request that the program end. Create it before anything else starts, in the main thread.

    Until `call_on_signal`, a signal ends the process at once, with status 0. After it, the first signal calls the
    function, and one that comes more than a second later ends the process at once, with status 1. Signals within the
    second are the same request: at Ctrl-C both the terminal and `ros2 launch` may send one, and a service manager sends
    SIGTERM to all its processes while launch, one of them, sends SIGINT to the nodes. If the program has not ended 3 s
    after the first, because a camera's driver or a library holds it up, the process ends as it is, with status 0.

    Python's handler in C, which runs in any thread that receives the signal, writes the signal's number to a pipe. So
    threads of libraries do not matter, and child programs get the signals as usual.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._call: Callable[[], object] | None = None
        self._pipe, write_end = os.pipe()
        os.set_blocking(write_end, False)  # required by `set_wakeup_fd`
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, _leave_to_the_pipe)
        os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals_come, after_in_child=_forget_signals)
        threading.Thread(target=self._wait, name="signals", daemon=True).start()

    @property
    def is_asked(self) -> bool:
        """Whether a signal came."""
        return self._asked.is_set()

    def call_on_signal(self, call: Callable[[], object]) -> None:
        """Sets the function that the signals' thread calls; it must return at once."""
        with self._lock:
            self._call = call

    def _wait(self) -> None:
        asked_at = 0.0
        while True:
            if os.read(self._pipe, 1)[0] not in _SIGNALS:
                continue  # a library's own signal
            with self._lock:
                if self._call is None:
                    exit_now(0)
                if self._asked.is_set():
                    if time.monotonic() - asked_at > _SAME_REQUEST:
                        exit_now(1)
                    continue
                asked_at = time.monotonic()
                self._asked.set()
                limit = threading.Timer(_LONGEST, exit_now, [0])
                limit.daemon = True  # it does not delay an end that is in time
                limit.start()
                self._call()


def _leave_to_the_pipe(number: int, frame: object) -> None:
    """Python's part of the handler: does nothing, instead of raising KeyboardInterrupt anywhere."""


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _let_signals_come() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _forget_signals() -> None:
    """Detaches a forked child's signals from the parent's pipe."""
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    _let_signals_come()


def ignore_signals() -> None:
    """Call it at the end of a program: a signal would disturb the interpreter's last steps."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def exit_now(status: int) -> NoReturn:
    """Ends the process without waiting for its threads, which may be inside a library."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
