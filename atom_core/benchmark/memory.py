# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The process's memory use, on the host (Linux only) and on a CUDA device."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def memory(device: torch.device) -> dict[str, float | None]:
    """The current use, in MB (1e6 bytes).

    Returns:
        host_mb: resident memory of the process; None where the system does not report it.
        host_peak_mb: the most since `reset_peak`.
        gpu_mb, gpu_peak_mb: the same for tensors on a CUDA device; absent on other devices.
    """
    found = {"host_mb": _status("VmRSS"), "host_peak_mb": _status("VmHWM")}
    if device.type == "cuda":
        found["gpu_mb"] = torch.cuda.memory_allocated(device) / 1e6
        found["gpu_peak_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
    return found


def reset_peak(device: torch.device) -> None:
    """Resets the memory peaks to the current use; the host's peak stays if the system forbids a reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        _RESET.write_text("5")  # see proc(5)


def _status(key: str) -> float | None:
    if not _STATUS.is_file():
        return None
    found = re.search(rf"^{key}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None
