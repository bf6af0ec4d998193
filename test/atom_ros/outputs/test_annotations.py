# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Foxglove's annotations: with its own messages where they are installed, else with ones that have their fields."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from atom_ros.frame_buffer import Frame
from atom_ros.outputs import annotations
from atom_ros.outputs.annotations import image_annotations
from atom_ros.report import Report, Status

HEADER = Header(frame_id="camera", stamp=Time(sec=7))
HAS_FOXGLOVE = annotations.ImageAnnotations is not None


@dataclass
class Color:
    r: float = 0.0
    g: float = 0.0
    b: float = 0.0
    a: float = 0.0


@dataclass
class Point2:
    x: float
    y: float


@dataclass
class PointsAnnotation:
    LINE_LOOP = 2
    timestamp: Time
    type: int
    outline_color: Color
    thickness: float
    points: list[Point2] = field(default_factory=list)


@dataclass
class TextAnnotation:
    timestamp: Time
    font_size: float
    text_color: Color
    text: str = ""
    position: Point2 | None = None
    background_color: Color | None = None


@dataclass
class ImageAnnotations:
    points: list[PointsAnnotation] = field(default_factory=list)
    texts: list[TextAnnotation] = field(default_factory=list)


@pytest.fixture(autouse=True)
def messages(monkeypatch: pytest.MonkeyPatch) -> None:
    if not HAS_FOXGLOVE:
        for kind in (Color, Point2, PointsAnnotation, TextAnnotation, ImageAnnotations):
            monkeypatch.setattr(annotations, kind.__name__, kind, raising=False)


def _seen(number: int, status: Status, box: tuple[float, ...] | None) -> Report:
    return Report(Frame(1, Image(header=HEADER)), number, status, box, 0.5)


def test_boxes_and_labels() -> None:
    reports = [
        _seen(1, Status.TRACKING, (99.5, 49.5, 200.0, 100.0)),
        _seen(2, Status.UNCERTAIN, (0.0, 2.0, 10.0, 20.0)),
        _seen(3, Status.LOST, None),
    ]
    message = image_annotations(HEADER, reports, (1000, 500))
    first, second = message.points
    # Half a pixel to the right and down: (0, 0) is the corner of the first pixel here.
    assert [(p.x, p.y) for p in first.points] == [(100, 50), (300, 50), (300, 150), (100, 150)]
    assert (first.type, first.thickness, first.timestamp) == (PointsAnnotation.LINE_LOOP, 3.0, HEADER.stamp)
    assert first.outline_color != second.outline_color and first.outline_color.a == 1.0
    labels = [(text.text, text.position.x, text.position.y) for text in message.texts]
    assert labels == [("1 TRACKING 0.50", 100.0, 50.0), ("2 UNCERTAIN 0.50", 0.5, 26.5)], "below the upper border"
    assert message.texts[0].font_size == 24.0


def test_nothing_to_show() -> None:
    message = image_annotations(HEADER, [_seen(1, Status.LOST, None)], (640, 480))
    assert (list(message.points), list(message.texts)) == ([], [])
