# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The annotated video's pictures."""

from __future__ import annotations

import cv2
import numpy as np

from atom_core.offline.results import Box, FrameResult, State, TargetResult, format_stamp

COLORS = {  # RGB
    State.GIVEN: (86, 180, 233),
    State.TRACKING: (60, 220, 60),
    State.UNCERTAIN: (255, 190, 0),
    State.LOST: (255, 60, 60),
    State.SEARCHING: (230, 110, 230),
}
_GREY = (190, 190, 190)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(image: np.ndarray, result: FrameResult) -> np.ndarray:
    """A copy of an image (H, W, 3; uint8 RGB) with the targets' boxes, and a line of text for each at the top left."""
    canvas = image.copy()
    scale = max(image.shape[:2]) / 1000.0  # lines and letters that can be read at any resolution
    for target in result.targets:
        if target.box is not None:
            first, last = corner_pixels(target.box, image.shape)
            cv2.rectangle(canvas, first, last, COLORS[target.state], thickness=max(1, round(3 * scale)))
    lines = [(" ".join(filter(None, (f"frame {result.index}", format_stamp(result.stamp)))), _GREY)]
    if result.error is not None:
        lines.append(("UNREADABLE", COLORS[State.LOST]))
    lines += [(_caption(target), COLORS[target.state]) for target in result.targets]
    _write(canvas, lines, scale)
    return canvas


def _caption(target: TargetResult) -> str:
    return f"{target.target_id}  {target.state.name}  {target.score:.2f}"


def corner_pixels(box: Box, shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The box's first and last pixel, at most one image's size outside (OpenCV's coordinates are 16 bits wide)."""
    height, width = shape[:2]
    x, y, box_width, box_height = box
    xs = np.clip([x, x + box_width], -width, 2 * width)
    ys = np.clip([y, y + box_height], -height, 2 * height)
    return (round(xs[0]), round(ys[0])), (round(xs[1]), round(ys[1]))


def _write(canvas: np.ndarray, lines: list[tuple[str, tuple[int, int, int]]], scale: float) -> None:
    """Writes lines of text at the top left, on black, so that they can be read on any picture."""
    size = max(0.4, 0.7 * scale)
    thickness = max(1, round(1.5 * scale))
    sizes = [cv2.getTextSize(text, _FONT, size, thickness) for text, _ in lines]
    baseline = max(below for _, below in sizes)
    pitch = max(height for (_, height), _ in sizes) + 2 * baseline
    width = max(width for (width, _), _ in sizes) + 2 * baseline
    cv2.rectangle(canvas, (0, 0), (width, pitch * len(lines)), (0, 0, 0), cv2.FILLED)
    for row, (text, color) in enumerate(lines, start=1):
        place = (baseline, pitch * row - baseline)
        cv2.putText(canvas, text, place, _FONT, size, color, thickness, cv2.LINE_AA)
