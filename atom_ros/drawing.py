# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The debug image: what the node knows about the target, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from atom_ros.report import Box, Report, Status

COLORS = {  # RGB
    Status.IDLE: (190, 190, 190),
    Status.TRACKING: (60, 220, 60),
    Status.UNCERTAIN: (255, 190, 0),
    Status.LOST: (255, 60, 60),
    Status.SEARCHING: (230, 90, 230),
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(image: np.ndarray, reports: Sequence[Report], fps: float) -> np.ndarray:
    """Returns a copy of `image` (height, width, 3; uint8 RGB) with each target's box and a line of text for each.

    Box and text have the colour of the state. A lost target has no box: its last place would be taken for its place.
    """
    canvas = image.copy()
    scale = max(image.shape[:2]) / 1000.0  # lines and letters that can be read at any resolution
    bottom = 0
    for report in reports:
        color = COLORS[report.status]
        if report.box is not None:
            first, last = _corner_pixels(report.box, image.shape)
            cv2.rectangle(canvas, first, last, color, thickness=max(1, round(3 * scale)))
        bottom = _write(canvas, _caption(report, fps), color, scale, bottom)
    return canvas


def _caption(report: Report, fps: float) -> str:
    words = [report.status.name]
    if report.status is not Status.IDLE:
        words += [f"{report.confidence:.2f}", f"target {report.target_id}"]
    return "  ".join([*words, f"{fps:.1f} fps"])


def _corner_pixels(box: Box, shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The box's first and last pixel, at most one image's size outside (OpenCV's coordinates are 16 bits wide)."""
    height, width = shape[:2]
    x, y, box_width, box_height = box
    xs = np.clip([x, x + box_width], -width, 2 * width)
    ys = np.clip([y, y + box_height], -height, 2 * height)
    return (round(xs[0]), round(ys[0])), (round(xs[1]), round(ys[1]))


def _write(canvas: np.ndarray, text: str, color: tuple[int, int, int], scale: float, top: int) -> int:
    """Writes a line at the left, on black, so that it can be read on any picture; returns where the next one begins."""
    size = max(0.4, 0.9 * scale)
    thickness = max(1, round(2 * scale))
    (width, height), baseline = cv2.getTextSize(text, _FONT, size, thickness)
    margin = baseline
    bottom = top + height + baseline + 2 * margin
    cv2.rectangle(canvas, (0, top), (width + 2 * margin, bottom), (0, 0, 0), cv2.FILLED)
    cv2.putText(canvas, text, (margin, top + height + margin), _FONT, size, color, thickness, cv2.LINE_AA)
    return bottom
