# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from sensor_msgs.msg import Image

from atom_ros.drawing import COLORS, draw
from atom_ros.frame_buffer import Frame
from atom_ros.report import Box, Report, Status

IMAGE = np.full((480, 640, 3), 100, np.uint8)


def _report(status: Status, box: Box | None = None) -> Report:
    return Report(Frame(1, Image()), 3, status, box, confidence=0.5, iou=0.5)


def _rows_and_columns(canvas: np.ndarray, color: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    return np.nonzero((canvas[100:] == color).all(-1))  # below the line of text


@pytest.mark.parametrize("status", [Status.TRACKING, Status.UNCERTAIN])
def test_the_box_is_drawn_in_the_colour_of_the_state(status: Status) -> None:
    canvas = draw(IMAGE, [_report(status, (200.0, 250.0, 100.0, 50.0))], fps=10.0)
    rows, columns = _rows_and_columns(canvas, COLORS[status])
    # Lines are 2 px wide (3 px for 1000 px of image): one more pixel on a side.
    assert abs(columns.min() - 200) <= 1 and abs(columns.max() - 300) <= 1
    assert abs(rows.min() + 100 - 250) <= 1 and abs(rows.max() + 100 - 300) <= 1
    assert (canvas[275, 250] == 100).all(), "the box is not filled"
    assert (IMAGE == 100).all(), "the picture itself is untouched"


@pytest.mark.parametrize("status", [Status.LOST, Status.SEARCHING, Status.IDLE])
def test_without_a_box_only_the_text_is_drawn(status: Status) -> None:
    canvas = draw(IMAGE, [_report(status)], fps=10.0)
    assert (canvas[100:] == 100).all()
    assert (canvas[:100] == COLORS[status]).all(-1).any()


def test_each_target_has_its_box_and_its_line_of_text() -> None:
    lost = _report(Status.LOST)
    seen = [
        _report(Status.TRACKING, (200.0, 250.0, 100.0, 50.0)),
        _report(Status.UNCERTAIN, (400.0, 350.0, 60.0, 60.0)),
    ]
    canvas = draw(IMAGE, [*seen, lost], fps=10.0)
    first_rows = []
    for status, left in ((Status.TRACKING, 200), (Status.UNCERTAIN, 400)):
        rows, columns = np.nonzero((canvas == COLORS[status]).all(-1))
        first_rows.append(rows.min())
        assert abs(columns[rows > 200].min() - left) <= 1
    rows, _ = np.nonzero((canvas == COLORS[Status.LOST]).all(-1))
    assert first_rows == sorted(first_rows) and first_rows[-1] < rows.min() < 200, "one line below the other"


def test_each_state_has_a_colour_of_its_own() -> None:
    assert len({COLORS[status] for status in Status}) == len(Status)


@pytest.mark.parametrize("box", [(-1e9, -1e9, 3e9, 3e9), (600.0, 440.0, 1e12, 1e12)])
def test_boxes_far_outside_can_be_drawn(box: Box) -> None:
    assert draw(IMAGE, [_report(Status.TRACKING, box)], fps=0.0).shape == IMAGE.shape


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 2000, 3)])
def test_pictures_smaller_than_the_text_can_be_drawn(shape: tuple[int, ...]) -> None:
    image = np.zeros(shape, np.uint8)
    assert draw(image, [_report(Status.TRACKING, (0.0, 0.0, 1.0, 1.0))], fps=1.0).shape == shape
