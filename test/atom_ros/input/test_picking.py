# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import cv2
import numpy as np
import pytest
import torch

from atom_core import boxes
from atom_ros.input.picking import Viewport, box_between, parse_box


def test_parse_box() -> None:
    assert parse_box("685,270, 38,103.5") == (685.0, 270.0, 38.0, 103.5)
    assert parse_box("-3,-4,10,10") == (-3.0, -4.0, 10.0, 10.0), "a target may reach beyond the image"


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,nan,4", "1,2,inf,4", "1,2,0,4", "1,2,3,-4"])
def test_parse_box_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=f"box is '{text}'; expected x,y,width,height"):
        parse_box(text)


@pytest.mark.parametrize("first", [(10, 20), (30, 20), (10, 60), (30, 60)])
def test_box_from_any_corner(first: tuple[float, float]) -> None:
    second = (40 - first[0], 80 - first[1])
    assert box_between(first, second) == (10, 20, 20, 40)


@pytest.mark.parametrize("second", [(10, 20), (13.9, 60), (60, 16.1), (float("nan"), 60)])
def test_tiny_box(second: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="draw one of at least 4 x 4"):
        box_between((10, 20), second)


def test_view_of_a_large_image() -> None:
    view = Viewport.fit(1920, 1080, 1000, 800)
    # 1920 px on 1000: 0.52083; 1080 * 0.52083 = 562.5, and Python rounds a half to the even number.
    assert (view.width, view.height, view.left, view.top) == (1000, 562, 0, 119)
    # Canvas pixel 0 covers image px -0.5 .. 1.42, whose middle is 0.46.
    assert view.to_image(0, 119) == (pytest.approx(0.46), pytest.approx(1080 / 562 / 2 - 0.5))
    assert view.to_image(-1, 118) == (-0.5, -0.5)
    assert view.to_image(1000, 119 + 562) == (1919.5, 1079.5)
    assert view.to_canvas(*view.to_image(123, 456)) == (pytest.approx(123), pytest.approx(456))


def test_view_agrees_with_the_tracker_s_convention() -> None:
    view = Viewport.fit(900, 900, 333, 333)
    points = torch.tensor([[0.0, 0.0], [17.0, 200.0], [332.0, 1.0]], dtype=torch.float64)
    expected = boxes.points_to_image(points, torch.tensor([0.0, 0.0, 900.0], dtype=torch.float64), 333)
    assert np.allclose([view.to_image(*point) for point in points.tolist()], expected)


def test_view_agrees_with_the_picture() -> None:
    """A ramp resized by OpenCV holds at each shown pixel the image coordinate that the view tells."""
    ramp = np.tile(np.arange(300, dtype=np.float32), (150, 1))
    view = Viewport.fit(300, 150, 100, 100)
    shown = cv2.resize(ramp, (view.width, view.height), interpolation=cv2.INTER_LINEAR)
    assert view.to_image(40, view.top + 7)[0] == pytest.approx(float(shown[7, 40]), abs=1e-3)


def test_view_of_a_small_image_is_enlarged() -> None:
    view = Viewport.fit(4, 2, 401, 400)
    assert (view.width, view.height, view.left, view.top) == (401, 200, 0, 100)
    assert view.to_image(200, 200)[0] == pytest.approx(1.5)


def test_view_never_vanishes() -> None:
    view = Viewport.fit(10_000, 1, 20, 20)
    assert (view.width, view.height) == (20, 1)
