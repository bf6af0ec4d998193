# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes from people: drawn in a window, clicked, typed. Pixel conventions are those of atom_core.boxes.

Nothing here needs PyTorch, so an operator's computer does not need it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atom_core.boxes import Box

Point = tuple[float, float]  # x, y; image px

MIN_SIDE = 4.0  # image px; a shorter side is an accidental click


def parse_box(text: str) -> Box:
    """Parses `x,y,width,height`.

    Raises:
        ValueError: naming the text, if it is not four finite numbers of which the last two are positive.
    """
    try:
        values = tuple(float(value) for value in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 4 or not all(map(math.isfinite, values)) or min(values[2:]) <= 0:
        raise ValueError(f"box is '{text}'; expected x,y,width,height in image px, such as 130,270,38,103")
    return values


def box_between(first: Point, second: Point) -> Box:
    """The box with two opposite corners, in any order.

    Raises:
        ValueError: if a side is shorter than `MIN_SIDE`.
    """
    (x1, y1), (x2, y2) = first, second
    width, height = abs(x2 - x1), abs(y2 - y1)
    if not (width >= MIN_SIDE and height >= MIN_SIDE):  # refuses NaN, too
        raise ValueError(f"the box is {width:.1f} x {height:.1f} px; draw one of at least {MIN_SIDE:g} x {MIN_SIDE:g}")
    return min(x1, x2), min(y1, y2), width, height


@dataclass(frozen=True)
class Viewport:
    """An image shown on a canvas, centred and scaled as large as it fits.

    Positions on the canvas are whole pixels, as a pointer reports them, from (0, 0).
    """

    image_width: int  # px
    image_height: int
    left: int  # canvas px of the first shown pixel
    top: int
    width: int  # of the shown image, canvas px
    height: int

    @classmethod
    def fit(cls, image_width: int, image_height: int, canvas_width: int, canvas_height: int) -> Viewport:
        """The view of an image on a canvas of at least 1 x 1 px."""
        scale = min(canvas_width / image_width, canvas_height / image_height)
        width = max(1, min(canvas_width, round(image_width * scale)))
        height = max(1, min(canvas_height, round(image_height * scale)))
        return cls(image_width, image_height, (canvas_width - width) // 2, (canvas_height - height) // 2, width, height)

    def to_image(self, u: float, v: float) -> Point:
        """The image point under the centre of canvas pixel (u, v).

        Outside the shown image it is the nearest point of the image's border, so dragging out of the image selects up
        to the border.
        """
        return (
            _scaled(u - self.left, self.width, self.image_width),
            _scaled(v - self.top, self.height, self.image_height),
        )

    def to_canvas(self, x: float, y: float) -> Point:
        """Where an image point is shown, in px of the canvas; the inverse of `to_image` inside the image."""
        return (
            (x + 0.5) * self.width / self.image_width - 0.5 + self.left,
            (y + 0.5) * self.height / self.image_height - 0.5 + self.top,
        )


def _scaled(position: float, shown: int, full: int) -> float:
    """Scales a position in `shown` pixels to one in `full` pixels, both with pixel centres at whole numbers."""
    if position < 0:
        return -0.5
    if position > shown - 1:
        return full - 0.5
    return (position + 0.5) * full / shown - 0.5
