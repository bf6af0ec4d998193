# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""ATOM visual object tracking (CVPR 2019) in PyTorch, without ROS."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from atom_core.interrupts import end_without_traceback, is_own_program

if TYPE_CHECKING:
    from atom_core.config import TrackerConfig
    from atom_core.result import TrackResult, TrackState
    from atom_core.tracker import AtomTracker, MultiTracker

__all__ = ["AtomTracker", "MultiTracker", "TrackResult", "TrackState", "TrackerConfig", "__version__"]

__version__ = "0.1.0"

# On the CPU, OpenVINO's and PyTorch's threads alternate several times per frame. By default OpenMP's threads keep
# spinning after their work, on cores that the other threads need. Some microseconds of spinning remain: the operations
# of learning are short, and waking a thread for each takes longer. PyTorch reads both variables at its first import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

if is_own_program(sys.argv, sys.orig_argv):
    end_without_traceback()

_MODULES = {
    "AtomTracker": "tracker",
    "MultiTracker": "tracker",
    "TrackResult": "result",
    "TrackState": "result",
    "TrackerConfig": "config",
}


def __getattr__(name: str) -> object:
    """Imports the public names on first use, so that importing a submodule does not import PyTorch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"atom_core.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
