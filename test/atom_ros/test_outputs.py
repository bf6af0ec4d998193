# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from robot import Robot, wait_until
from sensor_msgs.msg import Image

from atom_ros.diagnostics import Statistics
from atom_ros.frame_buffer import Frame
from atom_ros.outputs import Outputs
from atom_ros.report import Report, Status

PICTURE = np.zeros((20, 30, 3), np.uint8)
NO_PICTURE = np.zeros((0,), np.uint8)  # drawing on it raises


@pytest.fixture
def node() -> Iterator[LifecycleNode]:
    context = Context()
    rclpy.init(context=context)
    node = LifecycleNode("tracker", namespace="/outputs", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot("/outputs")
    yield robot
    robot.close()


def _report(second: int) -> Report:
    message = Image()
    message.header.stamp.sec = second
    return Report(Frame(second, message), 1, Status.TRACKING, (1.0, 2.0, 3.0, 4.0), 0.9, 0.8, 5.0)


def test_the_debug_image_is_drawn_only_while_somebody_subscribes(node: LifecycleNode, robot: Robot) -> None:
    outputs = Outputs(node, Statistics())
    node.trigger_configure()
    node.trigger_activate()
    assert not outputs.wants_image()
    outputs.publish([_report(1)], NO_PICTURE)  # is not drawn on

    images: list[Image] = []
    subscription = robot.node.create_subscription(Image, "tracker/debug_image", images.append, 10)
    wait_until(outputs.wants_image, "the subscription")
    with pytest.raises(ValueError):
        outputs.publish([_report(2)], NO_PICTURE)
    seconds = iter(range(3, 10_000))
    wait_until(lambda: outputs.publish([_report(next(seconds))], PICTURE) or images, "a debug image")
    assert (images[0].width, images[0].height) == (30, 20)

    robot.node.destroy_subscription(subscription)
    wait_until(lambda: not outputs.wants_image(), "the end of the subscription")
    outputs.publish([_report(10_000)], NO_PICTURE)


def test_latency_is_counted(node: LifecycleNode) -> None:
    statistics = Statistics()
    outputs = Outputs(node, statistics)
    now = node.get_clock().now().nanoseconds // 1_000_000_000
    outputs.publish([_report(now - 50)], None)
    assert 49_000 < statistics.snapshot().latency_ms < 60_000


def test_destroying_removes_the_publishers(node: LifecycleNode) -> None:
    before = len(list(node.publishers))
    outputs = Outputs(node, Statistics())
    assert len(list(node.publishers)) > before
    outputs.destroy()
    assert len(list(node.publishers)) == before
