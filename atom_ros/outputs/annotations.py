# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes and labels over an image as Foxglove's own message, which, unlike ImageMarker, has text."""

from __future__ import annotations

from collections.abc import Sequence

from std_msgs.msg import Header

from atom_ros.outputs.drawing import COLORS
from atom_ros.report import Report

try:
    from foxglove_msgs.msg import Color, ImageAnnotations, Point2, PointsAnnotation, TextAnnotation
except ImportError:  # an optional package: without it there are only the image markers
    ImageAnnotations = None


def image_annotations(header: Header, reports: Sequence[Report], image_size: tuple[int, int]) -> ImageAnnotations:
    """Makes the ImageAnnotations of one frame: the box of every visible target, with number, state and confidence.

    Without a visible target it is empty, which clears the earlier annotations. In this message, unlike elsewhere, (0,
    0) is the corner of the first pixel, half a pixel from its centre.

    Args:
        header: of the image.
        reports: one for each target.
        image_size: (width, height), px.
    """
    message = ImageAnnotations()
    unit = max(image_size) / 1000.0
    size = max(10.0, 24.0 * unit)
    for report in reports:
        if report.box is None:
            continue
        color = Color(**dict(zip("rgb", (channel / 255.0 for channel in COLORS[report.status]), strict=True)), a=1.0)
        x, y, width, height = report.box
        left, top = float(x) + 0.5, float(y) + 0.5
        right, bottom = left + float(width), top + float(height)
        outline = PointsAnnotation(
            timestamp=header.stamp, type=PointsAnnotation.LINE_LOOP, outline_color=color, thickness=max(1.0, 3.0 * unit)
        )
        outline.points = [Point2(x=px, y=py) for px, py in ((left, top), (right, top), (right, bottom), (left, bottom))]
        message.points.append(outline)
        label = TextAnnotation(timestamp=header.stamp, font_size=size, text_color=Color(r=1.0, g=1.0, b=1.0, a=1.0))
        label.text = f"{report.target_id} {report.status.name} {report.confidence:.2f}"
        label.position = Point2(x=left, y=top if top >= size else top + size)  # its bottom left
        label.background_color = Color(a=0.6)
        message.texts.append(label)
    return message
