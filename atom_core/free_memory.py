# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Returns memory that is no longer used to the system."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def return_free_memory() -> None:
    """Makes the C library give back what it keeps for the next allocations; nothing where it is not glibc.

    Learning a target takes some 70 MB for a moment, which glibc would keep.
    """
    trim = _find_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _find_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS and musl have none; Windows has no such library
        return None
