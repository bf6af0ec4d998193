# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import ctypes
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch

from atom_core import free_memory
from atom_core.benchmark.memory import memory
from atom_core.free_memory import return_free_memory, share_arenas


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps free memory that it can be asked for")
def test_what_was_freed_below_what_is_used_is_returned() -> None:
    """50 MB in blocks of 64 KB, too small to be mapped singly, with one kept at the end."""
    return_free_memory()
    blocks = [np.ones(8192) for _ in range(800)]
    kept = np.ones(8192)
    used = memory(torch.device("cpu"))["host_mb"]
    del blocks
    return_free_memory()
    assert used - memory(torch.device("cpu"))["host_mb"] > 40
    assert kept.sum() == 8192


def test_another_c_library_is_left_alone(monkeypatch) -> None:
    free_memory.find_trim.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    return_free_memory()
    free_memory.find_trim.cache_clear()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
@pytest.mark.parametrize(("call", "fewest", "most"), [("share_arenas()", 1, 2), ("None", 3, 8)])
def test_all_threads_share_two_arenas(call: str, fewest: int, most: int) -> None:
    """Eight threads that allocate at the same time; an arena is a mapping that starts at a multiple of 64 MB."""
    program = f"""
import threading
from atom_core.free_memory import share_arenas
{call}
gate = threading.Barrier(8)
def work():
    gate.wait(); kept = [bytes(5000) for _ in range(100)]; gate.wait()
    return kept
threads = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
starts = [int(line.split("-")[0], 16) for line in open("/proc/self/maps") if len(line.split()) == 5]
print(1 + sum(start % (64 << 20) == 0 for start in starts))
"""
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    count = int(
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment).stdout
    )
    assert fewest <= count <= most + 1


def test_the_users_own_number_of_arenas_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("the C library was called"))
    share_arenas()
