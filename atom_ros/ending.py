# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""An orderly end of a program at Ctrl-C (SIGINT) and SIGTERM.

rclpy's own handlers end all publishing at once, in the middle of whatever the program does, and Python's raises
KeyboardInterrupt anywhere: error lines and a traceback follow, although nothing is wrong. Here a thread waits for the
signals and asks the program to end; what ends it can still publish.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Whether the program is asked to end. Make it before anything else starts a thread, in the main thread.

    Until `call_on_signal`, a signal ends the process at once, with status 0. After it, the first signal calls, and a
    second one ends the process at once, with status 1.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._call: Callable[[], None] | None = None
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # in every thread that starts from now on
        threading.Thread(target=self._wait, name="signals", daemon=True).start()

    @property
    def is_asked(self) -> bool:
        """Whether a signal came."""
        return self._asked.is_set()

    def call_on_signal(self, call: Callable[[], None]) -> None:
        """Sets what the signals' thread calls; it must return at once."""
        with self._lock:
            self._call = call

    def _wait(self) -> None:
        while True:
            signal.sigwait(_SIGNALS)
            with self._lock:
                if self._call is None:
                    exit_now(0)
                if self._asked.is_set():
                    exit_now(1)
                self._asked.set()
                self._call()


def exit_now(status: int) -> None:
    """Ends the process without waiting for its threads, one of which may be deep in a library."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
