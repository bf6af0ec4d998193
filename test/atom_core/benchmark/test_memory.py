# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import mmap

import torch

from atom_core.benchmark.memory import memory, reset_peak

CPU = torch.device("cpu")


def test_the_peak_keeps_what_was_given_back_until_it_is_reset():
    """64 MB, whose every page is written; the system may be some MB off."""
    reset_peak(CPU)
    before = memory(CPU)
    block = mmap.mmap(-1, 64_000_000)  # pages of its own; an array may get some that the process holds already
    for start in range(0, len(block), mmap.PAGESIZE):
        block[start] = 1
    held = memory(CPU)
    block.close()
    after = memory(CPU)
    assert 60 < held["host_mb"] - before["host_mb"] < 70
    assert abs(after["host_mb"] - before["host_mb"]) < 6
    assert 60 < after["host_peak_mb"] - before["host_mb"] < 70
    reset_peak(CPU)
    assert memory(CPU)["host_peak_mb"] < after["host_peak_mb"] - 50
