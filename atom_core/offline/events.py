# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Target events: which target is set when and where, from `--box` or a file of boxes."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from atom_core.boxes import Box, as_box
from atom_core.offline.results import NANOSECONDS

_SIDES = ("x", "y", "width", "height")
_COLUMNS = ("frame", "stamp", "target", *_SIDES)
_EXPECTED = "expected a first line such as frame,target,x,y,width,height (or stamp in place of frame)"


@dataclass(frozen=True)
class TargetEvent:
    """A target is set, set again, or (without a box) dropped, in the first frame at or after its time."""

    target_id: int
    box: Box | None
    frame: int | None = None  # either this or the stamp is given
    stamp: int | None = None  # ns
    origin: str = "--box"  # where the user gave it, for messages

    def is_due(self, frame: int, stamp: int | None) -> bool:
        """Whether the frame of this index and stamp is at or after the event's time."""
        if self.frame is not None:
            return frame >= self.frame
        return stamp is not None and self.stamp is not None and stamp >= self.stamp


def parse_box(text: str) -> Box:
    """The box of a `--box` option.

    Raises:
        ValueError: if the text is not four finite numbers.
    """
    try:
        box = as_box(map(float, text.split(",")))
    except ValueError as error:
        raise ValueError(f"--box is {text!r}; expected x,y,width,height, such as 130,270,38,103") from error
    if not all(map(math.isfinite, box)):
        raise ValueError(f"--box is {text!r}; expected four numbers x,y,width,height, such as 130,270,38,103")
    return box


def parse_stamp(text: str) -> int:
    """Seconds as a decimal number, to nanoseconds without rounding errors.

    Raises:
        ValueError: if the text is not a number.
    """
    try:
        return int(Decimal(text) * NANOSECONDS)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise ValueError(f"the stamp is {text!r}; expected seconds, such as 1700000000.250") from error


def read_events(path: Path) -> list[TargetEvent]:
    """The events of a CSV file with a header line.

    Columns: `frame` (counted from 0) or `stamp` (seconds), `x`, `y`, `width`, `height` in px, and `target`, the
    target's number, 1 if the column is missing. A row sets a target, or sets it again if it is already tracked; a row
    without a box drops it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line cannot be used; the message names it.
    """
    with open(path, newline="") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        columns = reader.fieldnames or []
        if unknown := [name for name in columns if name not in _COLUMNS]:
            raise ValueError(f"{path}: the first line names {unknown[0]!r}; {_EXPECTED}")
        if not set(_SIDES) <= set(columns) or ("frame" in columns) == ("stamp" in columns):
            raise ValueError(f"{path}: the first line is {','.join(columns)!r}; {_EXPECTED}")
        events = []
        for row in reader:
            origin = f"{path} line {reader.line_num}"
            try:
                events.append(_event(row, origin))
            except ValueError as error:
                raise ValueError(f"{origin}: {error}") from error
    if not events:
        raise ValueError(f"{path} holds no box; expected at least one line after the first")
    _check_order(events)
    return events


def _event(row: dict[str, str | None], origin: str) -> TargetEvent:
    values = [(row[side] or "").strip() for side in _SIDES]
    box = _box(values) if any(values) else None
    target = _whole(row.get("target") or "1", "target", least=1)
    if "frame" in row:
        return TargetEvent(target, box, frame=_whole(row["frame"] or "", "frame", least=0), origin=origin)
    return TargetEvent(target, box, stamp=parse_stamp(row["stamp"] or ""), origin=origin)


def _box(values: list[str]) -> Box:
    try:
        box = as_box(map(float, values))
    except ValueError as error:
        raise ValueError(
            f"the box is {','.join(values)!r}; expected four numbers, or none to drop the target"
        ) from error
    if not all(map(math.isfinite, box)) or box[2] <= 0 or box[3] <= 0:
        raise ValueError(f"the box is {','.join(values)!r}; expected finite numbers, width and height above 0")
    return box


def _whole(text: str, name: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}; expected a whole number") from error
    if value < least:
        raise ValueError(f"{name} is {value}; expected at least {least}")
    return value


def _check_order(events: Iterable[TargetEvent]) -> None:
    """Raises ValueError if two lines set one target at the same time."""
    seen: dict[tuple[int, int | None], str] = {}
    for event in events:
        key = (event.target_id, event.frame if event.frame is not None else event.stamp)
        if key in seen:
            raise ValueError(f"{event.origin}: target {event.target_id} has a box at this time already ({seen[key]})")
        seen[key] = event.origin
