# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Positions in other frames, with tf2 itself where it is installed (it comes with ROS 2, not with pip)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from robot import Robot, wait_until
from std_msgs.msg import Header

from atom_ros.spatial import frames

HALF = math.sqrt(0.5)  # sine and cosine of 45 degrees


def _transform(parent: str, child: str, seconds: int, x: float, rotation: tuple[float, ...]) -> TransformStamped:
    transform = TransformStamped(header=Header(frame_id=parent, stamp=Time(sec=seconds)), child_frame_id=child)
    transform.transform.translation.x = x
    q = transform.transform.rotation
    q.x, q.y, q.z, q.w = rotation
    return transform


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        ((0.0, 0.0, 0.0, 1.0), (11.0, 2.0, 3.0)),
        ((0.0, 0.0, HALF, HALF), (8.0, 1.0, 3.0)),  # a quarter turn about z: x to y, y to -x
        ((1.0, 0.0, 0.0, 0.0), (11.0, -2.0, -3.0)),  # half a turn about x
        ((-0.5, 0.5, -0.5, 0.5), (13.0, -1.0, -2.0)),  # an optical frame (REP 103) in a camera's: z, -x, -y
    ],
)
def test_moved(rotation: tuple[float, ...], expected: tuple[float, ...]) -> None:
    transform = _transform("odom", "camera", 1, 10.0, rotation)
    assert frames.moved(np.array([1.0, 2.0, 3.0]), transform) == pytest.approx(expected)


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot("/frames")
    yield robot
    robot.close()


@pytest.mark.skipif(frames.tf2_ros is None, reason="the package tf2_ros is not installed")
def test_the_transforms_are_those_of_the_image_s_time(robot: Robot) -> None:
    """A robot that moves 1 m a second, with a camera that looks forwards."""
    from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

    listener = frames.Frames(robot.node)
    mount = StaticTransformBroadcaster(robot.node)
    mount.sendTransform(_transform("base_link", "camera", 0, 0.5, (-0.5, 0.5, -0.5, 0.5)))
    moves = TransformBroadcaster(robot.node)

    def place(seconds: float, frame: str = "odom") -> tuple[float, ...]:
        stamp = Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9))
        return tuple(listener.place(np.array([0.1, 0.2, 3.0]), Header(frame_id="camera", stamp=stamp), frame))

    def is_known() -> bool:
        for second in (1, 2):
            moves.sendTransform(_transform("odom", "base_link", second, float(second), (0.0, 0.0, 0.0, 1.0)))
        time.sleep(0.05)
        try:
            return bool(place(1.25))
        except LookupError:
            return False

    wait_until(is_known, "the transforms", timeout=30.0)
    assert place(1.25) == pytest.approx((1.25 + 0.5 + 3.0, -0.1, -0.2)), "between two transforms"
    assert place(9.0, "camera") == (0.1, 0.2, 3.0), "its own frame needs none"
    for seconds, frame, reason in ((3.0, "odom", "future"), (0.5, "odom", "past"), (1.5, "map", "map")):
        with pytest.raises(LookupError, match=reason):
            place(seconds, frame)
    listener.destroy()
