# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Parts that end in every way, for processes of their own."""

import os
import signal
import sys
import time

from atom_core.benchmark.acceptance.sheet import Sheet


def work_well(sheet: Sheet, number: int) -> None:
    sheet.check("sum", number + 1 == 3, "by hand", number=number)


def fail_in_between(sheet: Sheet) -> None:
    with sheet.attempt("first"):
        raise RuntimeError("CUDA error: an illegal memory access")
    sheet.check("second", True)
    raise OSError("at the end")


def crash(sheet: Sheet) -> None:
    sheet.check("before", True)
    print("the last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(sheet: Sheet) -> None:
    os._exit(7)


def hang(sheet: Sheet) -> None:
    sheet.check("before", True)
    time.sleep(600)
