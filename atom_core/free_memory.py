# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps unused memory small: glibc by default keeps what was freed, in up to eight arenas a processor."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Callable

_M_ARENA_MAX = -8  # of glibc's malloc.h


def return_free_memory() -> None:
    """Makes glibc release the memory that it keeps for later allocations; does nothing with other C libraries.

    Learning a target briefly needs some 70 MB, which glibc would keep.
    """
    trim = find_trim()
    if trim is not None:
        trim(0)


def share_arenas() -> None:
    """Makes all threads allocate from two arenas instead of eight a processor; does nothing with other C libraries.

    What one thread frees can then serve another. Call it before threads start; `MALLOC_ARENA_MAX` has precedence.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


@functools.cache
def find_trim() -> Callable[[int], int] | None:
    """Glibc's `malloc_trim`; None with other C libraries."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS and musl have none; Windows has no such library
        return None
