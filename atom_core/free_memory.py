# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Returns unused memory to the system."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def return_free_memory() -> None:
    """Makes glibc release the memory that it keeps for later allocations; does nothing with other C libraries.

    Learning a target briefly needs some 70 MB, which glibc would keep.
    """
    trim = find_trim()
    if trim is not None:
        trim(0)


@functools.cache
def find_trim() -> Callable[[int], int] | None:
    """Glibc's `malloc_trim`; None with other C libraries."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS and musl have none; Windows has no such library
        return None
