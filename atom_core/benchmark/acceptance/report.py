# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The report as JSON and as an HTML page."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from atom_core.benchmark.acceptance.sheet import Line, Status
from atom_core.evaluation.html_page import grid, section, text_cell, whole_page
from atom_core.evaluation.store import write_whole

FORMAT = "atom-bench accept 1"
JSON_FILE, PAGE_FILE = "report.json", "report.html"


def has_passed(lines: Iterable[Line]) -> bool:
    """Whether no line failed and at least one passed."""
    found = {line.status for line in lines}
    return Status.FAILED not in found and Status.PASSED in found


def write_report(folder: Path, circumstances: dict[str, Any], lines: Sequence[Line]) -> None:
    """Writes both files.

    Args:
        folder: for them.
        circumstances: trees of strings and numbers: the run, the machine, the settings.
        lines: of all parts, in order.

    Raises:
        OSError: if they cannot be written.
    """
    trees = [asdict(line) | {"figures": _finite(line.figures)} for line in lines]
    results = {"format": FORMAT, "passed": has_passed(lines), **circumstances, "lines": trees}
    write_whole(folder / JSON_FILE, json.dumps(results, indent=1, allow_nan=False))
    write_whole(folder / PAGE_FILE, build_page(circumstances, lines))


def count(lines: Iterable[Line]) -> str:
    """How many lines there are of each status, such as "3 passed, 1 failed"."""
    counts = Counter(line.status for line in lines)
    return ", ".join(f"{counts[status]} {status}" for status in Status if counts[status]) or "nothing"


def build_page(circumstances: dict[str, Any], lines: Sequence[Line]) -> str:
    """The page; every text in it is escaped."""
    verdict = "Everything passed" if has_passed(lines) else "Not everything passed"
    failed = [line for line in lines if line.status is Status.FAILED]
    items = "".join(f"<li>{escape(f'{line.part}: {line.name}: {line.text}')}</li>" for line in failed)
    overview = f"<p><strong>{verdict}</strong>: {escape(count(lines))}.</p>" + (f"<ul>{items}</ul>" if items else "")
    parts = [
        section(part[:1].upper() + part[1:], _part(part, list(of_part)))
        for part, of_part in groupby(lines, lambda line: line.part)
    ]
    settings = "".join(
        grid(name, ["setting", "value"], [(key, [text_cell(value)]) for key, value in tree.items()])
        for name, tree in circumstances.items()
    )
    device = circumstances.get("settings", {}).get("device", "")
    sections = [section("Overall", overview), *parts, section("Circumstances", settings)]
    return whole_page(f"Acceptance of the device {device}", sections)


def _part(part: str, lines: Sequence[Line]) -> str:
    """A table of all lines, and one of their figures if there are any."""
    found = grid(
        f"{part}: {count(lines)}",
        ["check", "status", "found"],
        [(line.name, [text_cell(line.status), text_cell(line.text)]) for line in lines],
    )
    with_figures = [line for line in lines if len(line.figures) > 1]
    if not with_figures:
        return found
    names = list(dict.fromkeys(name for line in with_figures for name in line.figures))
    rows = [(line.name, [_figure(line.figures.get(name)) for name in names]) for line in with_figures]
    return found + grid(f"{part}: figures", ["check", *names], rows)


def _figure(value: Any) -> str:
    if value is None:
        return "<td>-</td>"
    return f"<td>{escape(f'{value:.4g}' if isinstance(value, float) else str(value))}</td>"


def _finite(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures, with NaN and infinity as strings: JSON has no numbers for them."""
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in figures.items()
    }
