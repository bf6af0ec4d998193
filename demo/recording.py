# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's record of each frame, and the figures and the verdict computed from it. No ROS here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atom_core.boxes import Box, as_box
from atom_core.evaluation import metrics

GIVEN, TRACKING, UNCERTAIN, LOST = "GIVEN", "TRACKING", "UNCERTAIN", "LOST"
SEARCHING, DROPPED = "SEARCHING", "DROPPED"
GOOD_OVERLAP = 0.5  # a frame is a success above this
LAST_FRAMES = 20  # the target is lost for good if none of this many last processed frames is a success


@dataclass(frozen=True)
class RecordedFrame:
    """One frame of the clip. Values are NaN if the tracker gave none."""

    index: int
    state: str  # GIVEN: the target was set here; DROPPED: published, but never processed
    reference: Box
    box: Box | None = None  # None also if the target is not visible: the last known place is not an observation
    overlap: float = math.nan  # with the reference; 0 if not visible
    confidence: float = math.nan
    iou: float = math.nan  # predicted
    processing_ms: float = math.nan  # the tracker's own time
    overhead_ms: float = math.nan  # from publication to the Track's arrival, minus processing_ms

    @property
    def is_gone(self) -> bool:
        """Whether the tracker reports that the target is not visible."""
        return self.state in (LOST, SEARCHING)

    @property
    def is_scored(self) -> bool:
        """Whether a Track came for it; the frame with the given box does not count."""
        return self.state in (TRACKING, UNCERTAIN, LOST, SEARCHING)


def merge(published: list[dict[str, Any]], tracks: list[dict[str, Any]], references: np.ndarray) -> list[RecordedFrame]:
    """Merges the camera's and the client's records by the images' stamps.

    Args:
        published: the camera's lines; several may show frame 0, on which the target was set.
        tracks: the client's Tracks. Those without a target, and those of frame 0, are not scored.
        references: (N, 4), one reference box per frame.

    Returns:
        One RecordedFrame for each that was published, by index.

    Raises:
        ValueError: if a Track's stamp belongs to no image, or a frame has two Tracks.
    """
    index_of = {line["stamp_ns"]: line["index"] for line in published}
    track_of: dict[int, dict[str, Any]] = {}
    for track in tracks:
        if track["stamp_ns"] not in index_of:
            raise ValueError(f"a Track has the stamp {track['stamp_ns']} ns; no image was published with it")
        index = index_of[track["stamp_ns"]]
        if index == 0 or track["state"] == "IDLE":
            continue
        if index in track_of:
            raise ValueError(f"frame {index} has two Tracks; expected at most one")
        track_of[index] = track
    return [
        _frame(index, as_box(references[index].tolist()), track_of.get(index))
        for index in sorted(set(index_of.values()))
    ]


def summarize(frames: Sequence[RecordedFrame], occlusion: range) -> dict[str, Any]:
    """The figures of the demo.

    Args:
        frames: from `merge`.
        occlusion: indices of the frames in which the target is hidden.

    Returns:
        Shares and means over the frames that the tracker processed after the one with the given box.

    Raises:
        ValueError: if there is no such frame.
    """
    scored = [frame for frame in frames if frame.is_scored]
    if not scored:
        raise ValueError("no Track came for any frame after the one on which the target was set")
    after = [frame.overlap > GOOD_OVERLAP for frame in scored if frame.index >= occlusion.stop]
    return {
        "success_rate": _round(np.mean([frame.overlap > GOOD_OVERLAP for frame in scored])),
        "mean_overlap": _round(np.mean([frame.overlap for frame in scored])),
        "frames": {
            "published": len(frames),
            "processed": len(scored) + 1,  # the first is the one with the given box
            "dropped": len(frames) - len(scored) - 1,
        },
        "ms_per_frame": _spread([frame.processing_ms for frame in scored]),
        "node_overhead_ms": _spread([frame.overhead_ms for frame in scored]),
        "scored_frames": len(scored),
        "lost_frames": sum(frame.is_gone for frame in scored),
        "uncertain_frames": sum(frame.state == UNCERTAIN for frame in scored),
        "recovered_after_occlusion": bool(after) and bool(np.mean(after) > 0.5),
        "lost_for_good": not any(frame.overlap > GOOD_OVERLAP for frame in scored[-LAST_FRAMES:]),
    }


def verdict(summary: dict[str, Any]) -> str:
    """The result in a sentence or two."""
    frames = summary["frames"]
    text = (
        f"The box overlapped the reference by more than half in {summary['success_rate']:.0%} of "
        f"{summary['scored_frames']} processed frames (mean overlap {summary['mean_overlap']:.2f}; "
        f"{frames['dropped']} of {frames['published']} frames dropped). "
    )
    if summary["lost_for_good"]:
        return text + f"The target was lost for good: no hit in the last {LAST_FRAMES} processed frames."
    if summary["recovered_after_occlusion"]:
        return text + "She was re-detected after the sign and followed to the end."
    return text + "She was not held after the sign, but found at the end."


def _frame(index: int, reference: Box, track: dict[str, Any] | None) -> RecordedFrame:
    if index == 0:
        return RecordedFrame(0, GIVEN, reference, box=reference)
    if track is None:
        return RecordedFrame(index, DROPPED, reference)
    box = as_box(track["box"]) if track["box"] is not None else None
    overlap = float(metrics.overlap(np.array([box]), np.array([reference]))[0]) if box is not None else 0.0
    arrival_ms = (track["received_ns"] - track["stamp_ns"]) / 1e6
    return RecordedFrame(
        index,
        track["state"],
        reference,
        box,
        overlap,
        confidence=_number(track["confidence"]),
        iou=_number(track["iou"]),
        processing_ms=track["processing_ms"],
        overhead_ms=arrival_ms - track["processing_ms"],
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": _round(np.median(values)), "p95": _round(np.percentile(values, 95))}


def _round(value: float | np.floating) -> float:
    return round(float(value), 4)
