# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Memory of the process and of the GPU, and the GPU's errors."""

from __future__ import annotations

import contextlib
import gc
import os
from pathlib import Path

import torch

_MEGABYTE = 1_000_000

# Out of memory; and, in newer versions of PyTorch, any other error of the device, after which this process cannot use
# the GPU and only the CPU is left.
GPU_ERRORS: tuple[type[RuntimeError], ...] = (
    torch.cuda.OutOfMemoryError,
    getattr(torch, "AcceleratorError", torch.cuda.OutOfMemoryError),
)


def describe(error: Exception) -> str:
    """The first line of a GPU error, without the statistics and debugging hints after it."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def free_gpu_memory() -> None:
    """Releases GPU memory that PyTorch holds unused; never raises."""
    with contextlib.suppress(*GPU_ERRORS):  # a failed device cannot free memory; the end of the process will
        torch.cuda.empty_cache()


def keep_loaded() -> None:
    """Excludes all objects loaded so far from Python's garbage collection.

    With PyTorch these are some 400 000 objects: a full collection takes a tenth of a second, at random times during
    tracking. Objects without references are still freed, unless they are part of a cycle.
    """
    gc.collect()
    gc.freeze()


def release_loaded() -> None:
    """Undoes `keep_loaded`, so that cycles are freed."""
    gc.unfreeze()
    gc.collect()


def process_megabytes(pid: int | None = None) -> float:
    """Resident memory of a process, by default this one, in MB; NaN if the system does not report it."""
    try:  # Linux only
        pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / _MEGABYTE


def gpu_megabytes(device: torch.device) -> float:
    """Memory of `device` that PyTorch holds for this process, in MB; 0 for the CPU."""
    if device.type != "cuda":
        return 0.0
    return torch.cuda.memory_reserved(device) / _MEGABYTE
