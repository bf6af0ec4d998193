# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import math

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from atom_ros.spatial.geometry import CameraModel

K = (500.0, 0.0, 320.0, 0.0, 400.0, 240.0, 0.0, 0.0, 1.0)
P = (250.0, 0.0, 300.0, -30.0, 0.0, 250.0, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PLUMB_BOB = (-0.3, 0.1, 0.001, -0.002, -0.01)
RATIONAL = (0.4, -0.1, 0.001, -0.002, 0.02, 0.7, -0.05, 0.03)
EQUIDISTANT = (-0.02, 0.004, -0.001, 0.0002)
DISTORTED = [("plumb_bob", PLUMB_BOB), ("plumb_bob", PLUMB_BOB[:4]), ("rational_polynomial", RATIONAL)]
PIXELS = np.array([(320.0, 240.0), (0.0, 0.0), (639.0, 479.0), (17.5, 400.25), (500.0, 3.0)])


def _info(**fields: object) -> CameraInfo:
    return CameraInfo(**({"width": 640, "height": 480, "k": K, "p": P} | fields))


def test_a_pinhole_camera() -> None:
    # ((820 - 320) / 500, (640 - 240) / 400) = (1, 1), and |(1, 1, 1)| = sqrt(3).
    rays = CameraModel.from_info(_info()).rays(np.array([(320.0, 240.0), (820.0, 640.0), (-180.0, 240.0)]))
    third, half = 1 / math.sqrt(3), 1 / math.sqrt(2)
    np.testing.assert_allclose(rays, [(0, 0, 1), (third, third, third), (-half, 0, half)], atol=1e-12)


@pytest.mark.parametrize(("model", "coefficients"), DISTORTED)
def test_distorted_rays_are_seen_at_their_pixels(model: str, coefficients: tuple[float, ...]) -> None:
    rays = CameraModel.from_info(_info(distortion_model=model, d=coefficients)).rays(PIXELS)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(_project(rays, coefficients), PIXELS, atol=1e-3)


def _project(rays: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """The models' formulas, as OpenCV's documentation gives them."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, *(0.0,) * (8 - len(coefficients)))
    x, y = rays[:, 0] / rays[:, 2], rays[:, 1] / rays[:, 2]
    r2 = x**2 + y**2
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    distorted_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)
    distorted_y = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
    return np.column_stack((500 * distorted_x + 320, 400 * distorted_y + 240))


def test_fisheye_rays_are_those_of_opencv() -> None:
    rays = CameraModel.from_info(_info(distortion_model="equidistant", d=EQUIDISTANT)).rays(PIXELS)
    expected = cv2.fisheye.undistortPoints(PIXELS[:, None], np.reshape(K, (3, 3)), np.array(EQUIDISTANT))[:, 0]
    np.testing.assert_allclose(rays[:, :2] / rays[:, 2:], expected, atol=1e-5)


def test_a_fisheye_sees_beyond_90_degrees() -> None:
    # Without coefficients that bend it, the angle is the distance in focal lengths: 500 * 2 px to the right, 2 rad.
    camera = CameraModel.from_info(_info(distortion_model="equidistant", d=(0.0,) * 4))
    ray = camera.rays(np.array([(320 + 500 * 2.0, 240.0)]))
    np.testing.assert_allclose(ray, [(math.sin(2), 0, math.cos(2))], atol=1e-9)


def test_binning_and_region_of_interest() -> None:
    roi = RegionOfInterest(x_offset=100, y_offset=60, width=400, height=300)
    camera = CameraModel.from_info(_info(binning_x=2, binning_y=3, roi=roi))
    camera.check_size(200, 100)
    # Pixel (10, 20) is the mean of sensor columns 120 and 121 and rows 120 to 122: its middle is (120.5, 121).
    x, y = (120.5 - 320) / 500, (121 - 240) / 400
    (ray,) = camera.rays(np.array([(10.0, 20.0)]))
    np.testing.assert_allclose(ray[:2] / ray[2], (x, y), atol=1e-12)


def test_a_rectified_image_has_the_projection_of_p_and_no_distortion() -> None:
    camera = CameraModel.from_info(_info(distortion_model="plumb_bob", d=PLUMB_BOB), rectified=True)
    (ray,) = camera.rays(np.array([(300 + 250.0, 200.0)]))
    np.testing.assert_allclose(ray, (1 / math.sqrt(2), 0, 1 / math.sqrt(2)), atol=1e-12)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"k": (0.0,) * 9}, "camera_info's k has fx = 0, fy = 0, cx = 0, cy = 0: the camera is not calibrated"),
        ({"k": (math.nan, *K[1:])}, "fx = nan"),
        ({"k": (*K[:4], -400.0, *K[5:])}, "fy = -400"),
        ({"distortion_model": "pinhole"}, "distortion_model is 'pinhole'; expected one of plumb_bob, rational"),
        ({"distortion_model": "plumb_bob", "d": (0.1,) * 3}, "d has 3 values; 'plumb_bob' needs 0 or 4 or 5"),
        ({"distortion_model": "equidistant"}, "d has 0 values; 'equidistant' needs 4"),
        ({"distortion_model": "plumb_bob", "d": (math.inf,) * 5}, "d is [inf, inf, inf, inf, inf]"),
    ],
)
def test_what_is_no_calibration_is_refused_by_name(fields: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError) as error:
        CameraModel.from_info(_info(**fields))
    assert expected in str(error.value)


def test_an_uncalibrated_projection_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="camera_info's p has fx = 0"):
        CameraModel.from_info(_info(p=(0.0,) * 12), rectified=True)


def test_images_of_another_size_are_refused() -> None:
    camera = CameraModel.from_info(_info())
    with pytest.raises(ValueError, match="for 640 x 480 images, but the images are 1280 x 960"):
        camera.check_size(1280, 960)
    CameraModel.from_info(_info(width=0, height=0)).check_size(1280, 960)  # some drivers leave them at 0


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        # r (1 - r^2) has its maximum 0.385 at r = 0.577; the point lies at 2.
        ("plumb_bob", (-1.0, 0.0, 0.0, 0.0)),
        # a (1 - a^2 / 2) likewise, 0.544.
        ("equidistant", (-0.5, 0.0, 0.0, 0.0)),
        ("plumb_bob", (1e200, -1e200, 1e200, 1e200, 1e300)),
    ],
)
def test_points_beyond_the_model_are_refused(model: str, coefficients: tuple[float, ...]) -> None:
    camera = CameraModel.from_info(_info(distortion_model=model, d=coefficients))
    with pytest.raises(ValueError, match=r"no ray is projected to one of the points"):
        camera.rays(np.array([(320 + 1000.0, 240.0)]))
