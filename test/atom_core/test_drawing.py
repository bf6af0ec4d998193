# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Annotated pictures: what is drawn where, in which colour."""

import numpy as np
import pytest

from atom_core.drawing import STATE_COLORS, Mark, annotate, corner_pixels
from atom_core.result import TrackState

GREY = np.full((240, 320, 3), 128, np.uint8)


def pixels(picture: np.ndarray, state: str) -> np.ndarray:
    return (picture == STATE_COLORS[state]).all(2)


def test_a_box_is_drawn_at_its_pixels_and_the_image_is_left_as_it_is() -> None:
    """Lines one pixel wide at this size: columns 100 and 150, rows 120 and 160; the label is above."""
    image = GREY.copy()
    drawn = pixels(annotate(image, [Mark("TRACKING", "1", (100.0, 120.0, 50.0, 40.0))], "frame 7"), "TRACKING")
    assert np.array_equal(image, GREY)
    assert drawn[121:160, (100, 150)].all() and drawn[160, 101:150].all()
    assert not drawn[121:160, 101:150].any() and not drawn[161:].any() and not drawn[:, 151:].any()


@pytest.mark.parametrize("state", ["LOST", "SEARCHING", "IDLE"])
def test_a_target_without_a_box_is_named_in_the_panel(state: str) -> None:
    drawn = pixels(annotate(GREY, [Mark(state, "2  gone", None)], ""), state)
    assert drawn[:60].any() and not drawn[60:].any()


def test_each_state_has_a_colour_of_its_own() -> None:
    assert {state.name for state in TrackState} < set(STATE_COLORS)
    assert len(set(STATE_COLORS.values())) == len(STATE_COLORS)


def test_corners_of_a_huge_box_stay_within_what_opencv_can_draw() -> None:
    """An image's size beyond each border at most: -320 to 640, -240 to 480."""
    assert corner_pixels((-1e9, -1e9, 2e9, 2e9), GREY.shape) == ((-320, -240), (640, 480))
    assert corner_pixels((1.4, 2.6, 3.0, 4.0), GREY.shape) == ((1, 3), (4, 7))
