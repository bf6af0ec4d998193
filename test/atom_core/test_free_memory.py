# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import ctypes
import platform

import numpy as np
import pytest
import torch

from atom_core import free_memory
from atom_core.benchmark.memory import memory
from atom_core.free_memory import return_free_memory


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
