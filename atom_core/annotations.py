# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Text files with one box a line, as all benchmarks of single-object tracking have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def read_boxes(path: str | Path) -> np.ndarray:
    """Reads lines of four numbers x, y, width, height, between them commas, tabs, blanks or a mixture.

    A line with NaN or with no area (the benchmarks' ways to say that the target is absent) becomes a row of NaN.

    Returns:
        (N, 4) float64, in the file's own pixel convention.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file is empty, or a line does not hold four numbers; the message names file and line.
    """
    return mark_absent(np.array(read_rows(path, (4,))))


def read_rows(path: str | Path, lengths: tuple[int, ...]) -> list[list[float]]:
    """Reads lines of numbers, between them commas, tabs, blanks or a mixture; empty lines at the end are left out.

    Args:
        path: of the text file.
        lengths: how many numbers a line may hold.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file is empty or no text, or a line is malformed; the message names file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; expected one line of numbers for each frame")
    lines = _text(path).rstrip().splitlines()
    if not lines:
        raise ValueError(f"{path} is empty; expected one line of numbers for each frame")
    return [_parse(line, lengths, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def mark_absent(boxes: np.ndarray) -> np.ndarray:
    """A copy of boxes (N, 4) whose rows that are not finite or have no area are NaN throughout."""
    present = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    return np.where(present[:, None], boxes, np.nan)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file: {error}") from error


def _parse(line: str, lengths: tuple[int, ...], place: str) -> list[float]:
    try:
        row = [float(field) for field in line.replace(",", " ").split()]
    except ValueError as error:
        raise ValueError(f"{place}: {line!r} is not a list of numbers: {error}") from error
    if len(row) not in lengths:
        expected = " or ".join(map(str, lengths))
        raise ValueError(f"{place}: {line!r} holds {len(row)} numbers; expected {expected}")
    return row
