# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import array
import math

import numpy as np
import pytest
from sensor_msgs.msg import Image

from atom_ros.spatial.depth import box_in_depth_image, depth_values, distance

BOX = (20.0, 10.0, 40.0, 60.0)  # columns 20 to 60, rows 10 to 70
TARGET, WALL = 2.0, 3.0  # m


def _message(values: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False) -> Image:
    dtype = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}[encoding]
    rows = values.astype((">" if big_endian else "<") + dtype).view(np.uint8).reshape(len(values), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=123)
    message = Image(width=values.shape[1], height=len(values), encoding=encoding, step=rows.shape[1])
    message.is_bigendian = int(big_endian)
    message.data = array.array("B", rows.tobytes())
    return message


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize(
    ("encoding", "values", "in_metres"),
    [
        ("16UC1", [[1000, 2500, 0], [65535, 1, 2]], [[1.0, 2.5, 0.0], [65.535, 0.001, 0.002]]),
        ("mono16", [[1000, 2500, 0], [65535, 1, 2]], [[1.0, 2.5, 0.0], [65.535, 0.001, 0.002]]),
        ("32FC1", [[1.5, math.nan, math.inf], [-1.0, 0.0, 2.0]], [[1.5, math.nan, math.inf], [-1.0, 0.0, 2.0]]),
    ],
)
def test_depth_images_are_read(encoding: str, values: list, in_metres: list, padding: int, big_endian: bool) -> None:
    depth, metres = depth_values(_message(np.array(values), encoding, padding, big_endian))
    np.testing.assert_allclose(depth * metres, in_metres)


def test_what_is_no_depth_image_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"encoding 'rgb8'; expected 16UC1 or mono16 \(millimetres\), or 32FC1"):
        depth_values(Image(width=2, height=1, encoding="rgb8", step=6, data=bytes(6)))
    with pytest.raises(ValueError, match="data has 7 bytes"):
        depth_values(Image(width=2, height=2, encoding="16UC1", step=4, data=bytes(7)))


def _scene(target_share: float = 0.64) -> np.ndarray:
    """A target of that share of the box, in its middle, before a wall."""
    depth = np.full((80, 100), WALL)
    half = np.sqrt(target_share) / 2 * np.array(BOX[3:1:-1])
    rows, columns = np.indices(depth.shape)
    depth[(abs(rows - 40) <= half[0]) & (abs(columns - 40) <= half[1])] = TARGET
    return depth


@pytest.mark.parametrize("target_share", [0.3, 0.64, 1.0])
def test_a_target_before_a_wall(target_share: float) -> None:
    # At 0.3 the plain median of the box would be the wall.
    assert distance(_scene(target_share), 1.0, BOX) == TARGET


def test_the_units_are_metres() -> None:
    assert distance((_scene() * 1000).astype(np.uint16), 0.001, BOX) == pytest.approx(TARGET)


@pytest.mark.parametrize("invalid", [0.0, math.nan, math.inf, -math.inf, -1.0])
def test_most_of_the_depths_may_be_invalid(invalid: float) -> None:
    depth = _scene()
    depth[np.random.default_rng(1).random(depth.shape) < 0.7] = invalid
    assert distance(depth, 1.0, BOX) == TARGET


def test_noise_that_grows_with_the_distance() -> None:
    depth = _scene() * np.random.default_rng(2).normal(1.0, 0.01, (80, 100))
    assert distance(depth, 1.0, BOX) == pytest.approx(TARGET, rel=0.002)


def test_a_target_spread_in_depth_before_a_flat_wall() -> None:
    # From 1.0 to 1.6 m over the columns of the box's middle, 1.3 m on the mid column; no single depth is as frequent
    # as the wall's.
    depth = np.full((80, 100), WALL)
    depth[16:65, 24:57] = np.linspace(1.0, 1.6, 33)
    assert distance(depth, 1.0, BOX) == pytest.approx(1.3, abs=0.02)


def test_a_thin_pole_before_the_target_and_flying_pixels_between() -> None:
    depth = _scene(1.0)
    depth[:, 38:42] = 1.0
    depth[10:70, 30] = np.linspace(1.05, 1.95, 60)
    assert distance(depth, 1.0, BOX) == TARGET


@pytest.mark.parametrize("valid", [0, 3])
def test_too_few_valid_depths_give_no_distance(valid: int) -> None:
    depth = np.zeros((80, 100))
    depth[40, 40 : 40 + valid] = TARGET
    assert distance(depth, 1.0, BOX) is None


@pytest.mark.parametrize("box", [(-50.0, 10.0, 40.0, 40.0), (120.0, 10.0, 5.0, 5.0), (0.0, 200.0, 0.5, 0.5)])
def test_a_box_outside_the_image_has_no_distance(box: tuple[float, ...]) -> None:
    assert distance(_scene(), 1.0, box) is None


def test_a_box_that_reaches_beyond_the_image_and_one_smaller_than_a_pixel() -> None:
    assert distance(np.full((80, 100), 4.0), 1.0, (80.0, 60.0, 60.0, 60.0)) == 4.0
    assert distance(np.full((80, 100), 4.0), 1.0, (10.2, 10.2, 0.5, 0.5)) == 4.0


def test_depths_that_are_all_alone_are_one_surface() -> None:
    # 200 depths, each more than 5 % from the next: no bin has a hundredth of the weight.
    depth = np.geomspace(1.0, 1e10, 200)[None]
    middle = distance(depth, 1.0, (0.0, 0.0, 199.0, 0.9))
    assert middle == pytest.approx(1e5, rel=0.5)


def test_a_box_in_a_depth_image_of_another_size() -> None:
    # At half the size, image pixels 0 and 1 are depth pixel 0, whose middle is 0 and theirs 0.5.
    box = box_in_depth_image((0.5, 4.5, 8.0, 6.0), (640, 480), (320, 240))
    assert box == (0.0, 2.0, 4.0, 3.0)
    assert box_in_depth_image(BOX, (640, 480), (640, 480)) == BOX
    box_in_depth_image(BOX, (1280, 720), (848, 480))  # the same within a pixel


def test_a_depth_image_of_another_shape_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="depth image is 640 x 480, the image 1280 x 720; expected the same aspect"):
        box_in_depth_image(BOX, (1280, 720), (640, 480))
