# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Text files with one box per line, the format of all single-object tracking benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def read_boxes(path: str | Path) -> np.ndarray:
    """Reads lines of four numbers x, y, width, height, separated by commas, tabs, blanks or a mixture.

    A line with NaN or with no area (the benchmarks' ways to say that the target is absent) becomes a row of NaN.

    Returns:
        (N, 4) float64, in the file's own pixel convention.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file is empty, or a line does not hold four numbers; the message names file and line.
    """
    return mark_absent(np.array(read_rows(path, (4,))))


def mark_absent(boxes: np.ndarray) -> np.ndarray:
    """A copy of boxes (N, 4) whose rows that are not finite or have no area are NaN throughout."""
    present = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    return np.where(present[:, None], boxes, np.nan)


def read_rows(path: str | Path, lengths: tuple[int, ...] | None = None) -> list[list[float]]:
    """Reads lines of numbers, separated by commas, tabs, blanks or a mixture.

    Args:
        path: of the text file.
        lengths: how many numbers a line may hold; None: any number.

    Raises:
        FileNotFoundError, ValueError: as `read_boxes`.
    """
    return [parse_row(line, f"{path}, line {number}", lengths) for number, line in enumerate(read_lines(path), start=1)]


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file, without empty ones at its end.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is empty or not text.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file: {error}") from error
    if not lines:
        raise ValueError(f"{path} is empty; expected one line for each frame")
    return lines


def parse_row(line: str, place: str, lengths: tuple[int, ...] | None = None) -> list[float]:
    """The numbers in a line.

    Args:
        line: numbers, separated by commas, tabs, blanks or a mixture.
        place: file and number of the line, for the message.
        lengths: how many numbers the line may hold; None: any number.

    Raises:
        ValueError: if the line holds anything else, or another number of them.
    """
    try:
        row = [float(field) for field in line.replace(",", " ").split()]
    except ValueError as error:
        raise ValueError(f"{place}: {line!r} is not a list of numbers: {error}") from error
    if lengths and len(row) not in lengths:
        expected = " or ".join(map(str, lengths))
        raise ValueError(f"{place}: {line!r} holds {len(row)} numbers; expected {expected}")
    return row
