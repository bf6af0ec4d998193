# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Error messages of the command-line programs."""

from __future__ import annotations

import sys
from collections.abc import Callable


def report_errors(program: str, run: Callable[[], None]) -> int:
    """Runs a program; errors that the user can fix become one line on stderr and exit status 2, not a traceback."""
    try:
        run()
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return 0
