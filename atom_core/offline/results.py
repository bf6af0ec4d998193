# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The result of each frame of a recording, and its JSON line."""

from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass

from atom_core.boxes import Box
from atom_core.result import TrackResult, TrackState

NANOSECONDS = 1_000_000_000


class TargetState(enum.Enum):
    """The state of a target in a frame."""

    GIVEN = "given"  # the user's box: the tracker learned the target here
    TRACKING = "tracking"
    UNCERTAIN = "uncertain"
    LOST = "lost"
    SEARCHING = "searching"


@dataclass(frozen=True)
class TargetResult:
    """One target in one frame. It has a box only if the target is visible: the last known place is no measurement."""

    target_id: int
    state: TargetState
    box: Box | None
    score: float  # the classifier's peak, about 0..1; 1 if the box is given
    iou: float  # predicted overlap; 1 if the box is given, NaN if there is no box
    confidence: float = 0.0  # see `TrackResult`; 1 if the box is given

    @classmethod
    def given(cls, target_id: int, box: Box) -> TargetResult:
        """The target in the frame in which it was set: the box is correct by definition."""
        return cls(target_id, TargetState.GIVEN, box, 1.0, 1.0, 1.0)

    @classmethod
    def of_track(cls, target_id: int, result: TrackResult) -> TargetResult:
        """From the tracker's result of a frame."""
        state = _STATES[result.state]
        if not result.state.is_visible:
            return cls(target_id, state, None, result.score, math.nan, result.confidence)
        return cls(target_id, state, result.box, result.score, result.iou, result.confidence)


_STATES = {track_state: TargetState(track_state.value) for track_state in TrackState}


@dataclass(frozen=True)
class FrameResult:
    """All targets in one frame, ordered by number; none before the first is set."""

    index: int
    stamp: int | None  # ns; None if the recording has no time
    targets: tuple[TargetResult, ...] = ()
    error: str | None = None  # why the frame could not be read; it then has no targets
    processing_ms: float = 0.0  # the tracker's computing time, for all targets

    def to_json(self) -> str:
        """One line without the line break. Numbers keep every digit, so `from_json` returns an equal result."""
        targets = [
            {
                "target": t.target_id,
                "state": t.state.value,
                "box": t.box,
                "score": t.score,
                "iou": _or_none(t.iou),
                "confidence": t.confidence,
            }
            for t in self.targets
        ]
        values: dict[str, object] = {"frame": self.index, "stamp": self.stamp, "targets": targets}
        if self.error is not None:
            values["error"] = self.error
        return json.dumps(values | {"processing_ms": round(self.processing_ms, 3)}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> FrameResult:
        """The result that `to_json` wrote.

        Raises:
            ValueError: if `to_json` did not write the line.
        """
        try:
            values = json.loads(line)
            targets = tuple(
                TargetResult(
                    t["target"],
                    TargetState(t["state"]),
                    tuple(t["box"]) if t["box"] is not None else None,
                    t["score"],
                    math.nan if t["iou"] is None else t["iou"],
                    t["confidence"],
                )
                for t in values["targets"]
            )
            return cls(values["frame"], values["stamp"], targets, values.get("error"), values["processing_ms"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a line of results: {line[:80]!r}") from error


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def format_stamp(stamp: int | None) -> str:
    """Nanoseconds as seconds with nine decimals, exactly; empty for None."""
    if stamp is None:
        return ""
    sign = "-" if stamp < 0 else ""
    seconds, nanoseconds = divmod(abs(stamp), NANOSECONDS)
    return f"{sign}{seconds}.{nanoseconds:09d}"
