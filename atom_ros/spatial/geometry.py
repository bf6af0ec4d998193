# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""From a pixel to its viewing ray, with the calibration in a CameraInfo.

Rays are unit vectors in the optical frame (REP 103): x to the right in the image, y down, z forward. Points are
(x, y) in image px, the first pixel's centre at (0, 0), as in `atom_core.boxes`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo

_COEFFICIENTS = {  # valid numbers of coefficients in `d` of each model; all are OpenCV's models
    "": (0,),
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
_NEWTON_STEPS = 20
_CLOSE_ENOUGH = 0.01  # px between a pixel and the projection of its ray


@dataclass(frozen=True)
class CameraModel:
    """A calibrated camera.

    Attributes:
        width, height: of its images, px; 0 if the calibration does not say.
        focal: (fx, fy), px of the full sensor, like the fields below.
        center: (cx, cy), the principal point.
        distortion: OpenCV's coefficients; empty for none.
        is_fisheye: whether they belong to the equidistant model.
        binning: sensor pixels per image pixel, (x, y).
        offset: the sensor pixel at which the image begins, (x, y).
    """

    width: int
    height: int
    focal: tuple[float, float]
    center: tuple[float, float]
    distortion: tuple[float, ...] = ()
    is_fisheye: bool = False
    binning: tuple[int, int] = (1, 1)
    offset: tuple[int, int] = (0, 0)

    @classmethod
    def from_info(cls, info: CameraInfo, rectified: bool = False) -> CameraModel:
        """Reads the calibration of the raw image (K and D), or of the rectified one (P, free of distortion).

        Raises:
            ValueError: naming the field and its value, if the camera is not calibrated or the model is unknown.
        """
        matrix = np.asarray(info.p, np.float64).reshape(3, 4) if rectified else np.asarray(info.k).reshape(3, 3)
        fx, fy, cx, cy = (float(matrix[cell]) for cell in ((0, 0), (1, 1), (0, 2), (1, 2)))
        if not (np.isfinite((fx, fy, cx, cy)).all() and fx > 0 and fy > 0):
            raise ValueError(
                f"camera_info's {'p' if rectified else 'k'} has fx = {fx:g}, fy = {fy:g}, cx = {cx:g}, cy = {cy:g}: "
                "the camera is not calibrated; expected finite values, fx and fy above 0"
            )
        model, distortion = info.distortion_model, () if rectified else _distortion(info)
        binning = (max(1, info.binning_x), max(1, info.binning_y))
        roi = info.roi
        return cls(
            width=(roi.width or info.width) // binning[0],
            height=(roi.height or info.height) // binning[1],
            focal=(fx, fy),
            center=(cx, cy),
            distortion=distortion,
            is_fisheye=model == "equidistant" and bool(distortion),
            binning=binning,
            offset=(roi.x_offset, roi.y_offset),
        )

    def check_size(self, width: int, height: int) -> None:
        """Raises ValueError if the calibration is not for images of this size."""
        if self.width and self.height and (width, height) != (self.width, self.height):
            raise ValueError(
                f"camera_info is for {self.width} x {self.height} images, but the images are {width} x {height}; "
                "expected the camera_info that belongs to the tracked images"
            )

    def rays(self, points: np.ndarray) -> np.ndarray:
        """Unit vectors (N, 3) in the optical frame through points (N, 2) in image px.

        Raises:
            ValueError: if no ray projects to one of the points, which is then outside the model's range.
        """
        # Sensor px of an image pixel's centre; without binning and offset, the same point.
        sensor = (np.asarray(points, np.float64) + 0.5) * self.binning - 0.5 + self.offset
        normalized = (sensor - self.center) / self.focal
        if self.is_fisheye:
            return _fisheye_rays(normalized, self.distortion, _CLOSE_ENOUGH / max(self.focal))
        if any(self.distortion):
            normalized = self._undistort(sensor)
        rays = np.column_stack((normalized, np.ones(len(normalized))))
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)

    def _undistort(self, sensor: np.ndarray) -> np.ndarray:
        """Undistorted coordinates (N, 2) at depth 1, by Newton's method, from OpenCV's few fixed-point steps."""
        matrix = np.array(((self.focal[0], 0, self.center[0]), (0, self.focal[1], self.center[1]), (0, 0, 1)))
        coefficients, still = np.array(self.distortion), np.zeros(3)
        points = cv2.undistortPoints(sensor[:, None], matrix, coefficients)[:, 0]
        for _ in range(_NEWTON_STEPS):
            at_depth_1 = np.column_stack((points, np.ones(len(points))))
            projected, jacobian = cv2.projectPoints(at_depth_1, still, still, matrix, coefficients)
            error = projected[:, 0] - sensor
            # Columns 3 and 4: derivatives by translation along x and y, which at depth 1 equal those by the point's x
            # and y.
            slope = jacobian[:, 3:5].reshape(-1, 2, 2)
            if not np.isfinite(error).all() or not (np.linalg.det(slope) > 0).all():
                break  # beyond the fold, where the model maps two rays to one pixel
            if np.abs(error).max() < _CLOSE_ENOUGH / 100:
                return points
            points = points - np.linalg.solve(slope, error[:, :, None])[:, :, 0]
        raise ValueError(_outside(sensor))


def _distortion(info: CameraInfo) -> tuple[float, ...]:
    model, coefficients = info.distortion_model, tuple(map(float, info.d))
    if model not in _COEFFICIENTS:
        known = ", ".join(name for name in _COEFFICIENTS if name)
        raise ValueError(f"camera_info's distortion_model is '{model}'; expected one of {known}")
    if len(coefficients) not in _COEFFICIENTS[model]:
        counts = " or ".join(map(str, _COEFFICIENTS[model]))
        raise ValueError(f"camera_info's d has {len(coefficients)} values; '{model}' needs {counts}")
    if not np.isfinite(coefficients).all():
        raise ValueError(f"camera_info's d is {list(coefficients)}; expected finite values")
    return coefficients


def _fisheye_rays(distorted: np.ndarray, coefficients: tuple[float, ...], tolerance: float) -> np.ndarray:
    """Inverts the equidistant model for the angle itself, so that rays beyond 90 degrees work, too.

    The distance from the principal point is angle * (1 + k1 angle^2 + k2 angle^4 + k3 angle^6 + k4 angle^8).
    """
    radius = np.linalg.norm(distorted, axis=1)
    polynomial = np.polynomial.Polynomial(
        (0, 1, 0, coefficients[0], 0, coefficients[1], 0, coefficients[2], 0, coefficients[3])
    )
    slope = polynomial.deriv()
    angle = np.minimum(radius, math.pi)
    with np.errstate(all="ignore"):
        for _ in range(_NEWTON_STEPS):
            angle = np.clip(angle - (polynomial(angle) - radius) / slope(angle), 0, math.pi)
        solved = (np.abs(polynomial(angle) - radius) < tolerance) & (slope(angle) > 0)
    if not solved.all():
        raise ValueError(_outside(distorted))
    direction = distorted / np.maximum(radius, 1e-12)[:, None]
    return np.column_stack((np.sin(angle)[:, None] * direction, np.cos(angle)))


def _outside(points: np.ndarray) -> str:
    shown = ", ".join(f"({x:g}, {y:g})" for x, y in points)
    return f"no ray is projected to one of the points {shown}: outside what camera_info's distortion describes"
