# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Prepares command-line arguments for argparse."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NEGATIVE = re.compile(r"-[\d.]")


def join_negative_values(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Joins options to values that begin with a minus sign, such as `--box -5,10,60,60`, which argparse refuses.

    Args:
        words: the command line.
        options: those whose values may be negative.
    """
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in options and _NEGATIVE.match(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined
