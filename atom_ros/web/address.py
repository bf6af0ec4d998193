# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The page's address in the server's log, for people and for programs that started it."""

from __future__ import annotations

import re
from pathlib import Path

_LINE = "The page is at http://"


def announcement(host: str, port: int) -> str:
    """The line for the log."""
    return f"{_LINE}{host}:{port}"


def page_address(log: Path) -> str:
    """The address that a log announces; empty before it does."""
    found = re.search(rf"{_LINE}(\S+)", log.read_text())
    return f"http://{found[1]}" if found else ""
