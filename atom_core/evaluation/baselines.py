# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Baseline trackers with the interface of AtomTracker: `initialize(image, box)`, `track(image)`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from atom_core.boxes import as_box
from atom_core.result import TrackResult, TrackState

OPENCV_TRACKERS = {"kcf": "TrackerKCF", "csrt": "TrackerCSRT", "mil": "TrackerMIL"}


class IdentityTracker:
    """Never moves the box: makes every pipeline testable without a network."""

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> None:
        """Keeps `box` (x, y, width, height)."""
        self._box = as_box(map(float, box))

    def track(self, image: np.ndarray) -> TrackResult:
        """Returns the first box."""
        return _result(self._box, TrackState.TRACKING)


class OpenCVTracker:
    """One of OpenCV's trackers.

    They accept whole px only, so the first box is rounded.

    Args:
        name: a key of OPENCV_TRACKERS.

    Raises:
        ValueError: if the name is unknown, or the installed OpenCV lacks that tracker.
    """

    def __init__(self, name: str) -> None:
        if name not in OPENCV_TRACKERS:
            raise ValueError(f"unknown OpenCV tracker '{name}'; expected one of {', '.join(OPENCV_TRACKERS)}")
        self._class: Any = getattr(cv2, OPENCV_TRACKERS[name], None)  # OpenCV's stubs lack some
        if self._class is None:
            raise ValueError(
                f"OpenCV {cv2.__version__} lacks {OPENCV_TRACKERS[name]}; opencv-contrib-python-headless has it. "
                "Uninstall opencv-python-headless first: both use the same folder"
            )

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> None:
        """Learns the target in `image` (H, W, 3), uint8, RGB at `box` (x, y, width, height)."""
        self._tracker = self._class.create()
        self._box = as_box(float(round(value)) for value in box)
        self._tracker.init(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [round(value) for value in box])

    def track(self, image: np.ndarray) -> TrackResult:
        """Tracks the target in `image` (H, W, 3), uint8, RGB; if it is LOST, the box is the last known one."""
        found, box = self._tracker.update(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if found:
            self._box = as_box(map(float, box))
        return _result(self._box, TrackState.TRACKING if found else TrackState.LOST)


def _result(box: tuple[float, float, float, float], state: TrackState) -> TrackResult:
    """A result without score and predicted overlap."""
    return TrackResult(box, score=math.nan, iou=math.nan, state=state, hard_negative=False)
