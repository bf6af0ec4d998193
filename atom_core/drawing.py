# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Draws targets on images, for annotated videos and the debug image; the table of colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from atom_core.boxes import Box

Color = tuple[int, int, int]  # RGB

STATE_COLORS: dict[str, Color] = {  # by the names of the states
    "IDLE": (190, 190, 190),
    "GIVEN": (86, 180, 233),
    "TRACKING": (60, 220, 60),
    "UNCERTAIN": (255, 190, 0),
    "LOST": (255, 60, 60),
    "SEARCHING": (230, 110, 230),
}
_DARK: Color = (18, 18, 18)
_LIGHT: Color = (235, 235, 235)
_PANEL_SHADE = 0.25  # share of the image that shows through the panel
_FONT = cv2.FONT_HERSHEY_DUPLEX
_SMALLEST = 320  # px; below this length of the image's longer side the letters no longer shrink


@dataclass(frozen=True)
class Mark:
    """One target in an annotated picture."""

    state: str  # a key of `STATE_COLORS`
    caption: str
    box: Box | None  # image px; None if the target is not visible


@dataclass(frozen=True)
class _Style:
    """Sizes that are legible at any resolution."""

    line: int  # px, width of a box's line
    font: float  # OpenCV's scale
    stroke: int  # px, of the letters
    cap: int  # px, height of a capital letter
    margin: int  # px, about a text

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> _Style:
        unit = max(*shape[:2], _SMALLEST) / 1000.0
        font, stroke = 0.35 + 0.4 * unit, max(1, round(1.2 * unit))
        (_, cap), _ = cv2.getTextSize("T", _FONT, font, stroke)
        return cls(max(1, round(3 * unit)), font, stroke, cap, max(3, round(0.55 * cap)))

    @property
    def row(self) -> int:
        """Height of a line of text with its margins, px."""
        return self.cap + 2 * self.margin

    def width(self, text: str) -> int:
        """Width of a text with its margins, px."""
        return cv2.getTextSize(text, _FONT, self.font, self.stroke)[0][0] + 2 * self.margin


def annotate(image: np.ndarray, marks: Sequence[Mark], title: str) -> np.ndarray:
    """A copy of an image (H, W, 3; uint8 RGB), annotated with the targets of one frame.

    Each visible target has its box with a label. A panel at the top left has the title and the targets that are not
    visible, which have no box: it would show an old position as the current one. Colours are those of the states.
    """
    canvas = image.copy()
    style = _Style.of(image.shape)
    seen = [(mark, mark.box) for mark in marks if mark.box is not None]
    for mark, box in seen:
        _draw_box(canvas, box, STATE_COLORS[mark.state], style)
    lines = [(title, _LIGHT)]
    lines += [(mark.caption, STATE_COLORS[mark.state]) for mark in marks if mark.box is None]
    _draw_panel(canvas, lines, style)
    for mark, box in seen:  # last, so that no box covers a label
        _draw_label(canvas, mark, box, style)
    return canvas


def _draw_box(canvas: np.ndarray, box: Box, color: Color, style: _Style) -> None:
    """The outline, with a dark edge that separates it from an image of the same colour."""
    first, last = corner_pixels(box, canvas.shape)
    edge = max(1, style.line // 2)
    cv2.rectangle(canvas, first, last, _DARK, style.line + 2 * edge)
    cv2.rectangle(canvas, first, last, color, style.line)


def _draw_label(canvas: np.ndarray, mark: Mark, box: Box, style: _Style) -> None:
    """Dark on the state's colour: above the box, below it at the image's edge, inside it if the box fills the image."""
    text, (height, width) = mark.caption, canvas.shape[:2]
    (left, top), (_, bottom) = corner_pixels(box, canvas.shape)
    edge = style.line // 2
    left = max(0, min(left - edge, width - style.width(text)))
    above, below = top - edge - style.row, bottom + edge
    top = above if above >= 0 else below if below + style.row < height else 0
    top = min(top, height - style.row)
    color = STATE_COLORS[mark.state]
    cv2.rectangle(canvas, (left, top), (left + style.width(text), top + style.row), color, cv2.FILLED)
    _write(canvas, text, (left, top), _DARK, style)


def _draw_panel(canvas: np.ndarray, lines: Sequence[tuple[str, Color]], style: _Style) -> None:
    """Lines of text on a dark, translucent background at the top left."""
    height = style.row + (len(lines) - 1) * (style.cap + style.margin)
    ground = canvas[:height, : max(style.width(text) for text, _ in lines)]
    ground[:] = (ground * _PANEL_SHADE + np.multiply(_DARK, 1 - _PANEL_SHADE)).astype(np.uint8)
    for row, (text, color) in enumerate(lines):
        _write(canvas, text, (0, row * (style.cap + style.margin)), color, style)


def _write(canvas: np.ndarray, text: str, corner: tuple[int, int], color: Color, style: _Style) -> None:
    """Writes a line of text whose background has its top left corner at `corner`."""
    base = (corner[0] + style.margin, corner[1] + style.margin + style.cap)
    cv2.putText(canvas, text, base, _FONT, style.font, color, style.stroke, cv2.LINE_AA)


def corner_pixels(box: Box, shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The box's first and last pixel, at most one image's size outside (OpenCV's coordinates are 16 bits wide)."""
    height, width = shape[:2]
    x, y, box_width, box_height = box
    xs = np.clip([x, x + box_width], -width, 2 * width)
    ys = np.clip([y, y + box_height], -height, 2 * height)
    return (round(xs[0]), round(ys[0])), (round(xs[1]), round(ys[1]))
