# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from atom_core.boxes import Box
from atom_ros.frame_buffer import Frame
from atom_ros.outputs.drawing import COLORS, draw
from atom_ros.report import Report, Status

IMAGE = np.full((480, 640, 3), 100, np.uint8)
PANEL = 100  # rows at the top that the panel may take
SEEN = [Status.TRACKING, Status.UNCERTAIN]
UNSEEN = [status for status in Status if status not in SEEN]


def _report(status: Status, box: Box | None = None, target_id: int = 3) -> Report:
    return Report(Frame(1, Image()), target_id, status, box, confidence=0.5, iou=0.5)


def _pixels(canvas: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """A mask of the pixels that have a colour."""
    return (canvas == color).all(-1)


@pytest.mark.parametrize("status", SEEN)
def test_the_box_is_drawn_in_the_colour_of_the_state(status: Status) -> None:
    canvas = draw(IMAGE, [_report(status, (200.0, 250.0, 100.0, 50.0))], fps=10.0)
    colored = _pixels(canvas, COLORS[status])
    # Lines are 2 px wide (3 px for 1000 px of image): one more pixel on a side.
    for line in (colored[275], colored[299:302].any(0)):
        columns = np.nonzero(line)[0]
        assert abs(columns.min() - 200) <= 1 and abs(columns.max() - 300) <= 1
    rows = np.nonzero(colored[:, 299:302].any(1))[0]
    assert abs(rows.max() - 300) <= 1
    assert (canvas[260:290, 210:290] == 100).all(), "the box is not filled"
    assert (IMAGE == 100).all(), "the picture itself is untouched"


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ((200.0, 250.0, 100.0, 50.0), (212, 250)),  # a label of about 34 rows, right above the box
        ((200.0, 3.0, 100.0, 50.0), (53, 91)),  # no room above: below
        ((-50.0, -50.0, 900.0, 900.0), (0, 38)),  # the box fills the image
        ((200.0, 470.0, 100.0, 900.0), (430, 470)),
        ((200.0, 700.0, 100.0, 20.0), (440, 480)),  # the box is outside
    ],
)
def test_the_label_is_in_the_image(box: Box, inside: tuple[int, int]) -> None:
    canvas = draw(IMAGE, [_report(Status.TRACKING, box)], fps=10.0)
    # A label is the only place with the colour in whole blocks.
    blocks = cv2.erode(_pixels(canvas, COLORS[Status.TRACKING]).astype(np.uint8), np.ones((5, 5), np.uint8))
    rows = np.nonzero(blocks)[0]
    assert rows.size > 0 and inside[0] <= rows.min() and rows.max() < inside[1]


@pytest.mark.parametrize("status", UNSEEN)
def test_without_a_box_only_the_panel_is_drawn(status: Status) -> None:
    canvas = draw(IMAGE, [_report(status)], fps=10.0)
    assert (canvas[PANEL:] == 100).all()
    assert _pixels(canvas[:PANEL], COLORS[status]).any()


def test_all_targets_are_drawn() -> None:
    reports = [_report(Status.TRACKING, (100.0, 250.0, 50.0, 50.0), 1), _report(Status.LOST, None, 2)]
    reports.append(_report(Status.UNCERTAIN, (400.0, 250.0, 50.0, 50.0), 3))
    canvas = draw(IMAGE, reports, fps=10.0)
    assert _pixels(canvas[PANEL:, :320], COLORS[Status.TRACKING]).any()
    assert _pixels(canvas[PANEL:, 320:], COLORS[Status.UNCERTAIN]).any()
    assert _pixels(canvas[:PANEL], COLORS[Status.LOST]).any()


def test_each_state_has_a_colour_of_its_own() -> None:
    assert len({COLORS[status] for status in Status}) == len(Status)


@pytest.mark.parametrize("box", [(-1e9, -1e9, 3e9, 3e9), (600.0, 440.0, 1e12, 1e12)])
def test_boxes_far_outside_can_be_drawn(box: Box) -> None:
    assert draw(IMAGE, [_report(Status.TRACKING, box)], fps=0.0).shape == IMAGE.shape


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 2000, 3), (2000, 2, 3)])
@pytest.mark.parametrize("status", Status)
def test_pictures_smaller_than_the_text_can_be_drawn(shape: tuple[int, ...], status: Status) -> None:
    image = np.zeros(shape, np.uint8)
    box = (0.0, 0.0, 1.0, 1.0) if status in SEEN else None
    assert draw(image, [_report(status, box)], fps=1.0).shape == shape
