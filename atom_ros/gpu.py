# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Memory of the process and of the GPU, and what a GPU's failure is."""

from __future__ import annotations

import contextlib
import gc
import os
from pathlib import Path

import torch

_MEGABYTE = 1_000_000

# Out of memory; and, in newer versions of PyTorch, whatever else the device reports. The latter leaves the process
# without this GPU, so only the CPU is left.
GPU_ERRORS: tuple[type[RuntimeError], ...] = (
    torch.cuda.OutOfMemoryError,
    getattr(torch, "AcceleratorError", torch.cuda.OutOfMemoryError),
)


def describe(error: Exception) -> str:
    """The first line of an error of the GPU; statistics and hints for a debugger follow it."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def free_gpu_memory() -> None:
    """Gives unused GPU memory that PyTorch holds back to other processes; never raises."""
    with contextlib.suppress(*GPU_ERRORS):  # a device that failed cannot free either; the process's end will
        torch.cuda.empty_cache()


def keep_loaded() -> None:
    """Takes all objects loaded so far out of Python's garbage collection.

    With PyTorch that is some 400 000 objects: a whole collection through them takes a tenth of a second, now and then,
    in the middle of the video. Objects without references are still freed, unless they are part of a cycle.
    """
    gc.collect()
    gc.freeze()


def release_loaded() -> None:
    """Undoes `keep_loaded`, for cycles among what was loaded."""
    gc.unfreeze()
    gc.collect()


def process_megabytes(pid: int | None = None) -> float:
    """Memory of a process, by default this one, that is in RAM, in MB; NaN where the system does not report it."""
    try:  # as Linux reports it
        pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / _MEGABYTE


def gpu_megabytes(device: torch.device) -> float:
    """Memory of `device` that PyTorch holds for this process, in MB; 0 where it is no GPU."""
    if device.type != "cuda":
        return 0.0
    return torch.cuda.memory_reserved(device) / _MEGABYTE
