# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The image subscription with real publishers over DDS."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from robot import wait_until
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from atom_ros.images import image_message
from atom_ros.input.image_input import ImageInput
from atom_ros.parameters import TABLE, Settings

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
TOPIC = "/input_test/image"


class Rig:
    """A node with the input, and another one with cameras; all in one executor, which `until` spins."""

    def __init__(self, context: Context) -> None:
        self.node = Node("input_node", context=context)
        self.cameras = Node("cameras", context=context)
        self.executor = SingleThreadedExecutor(context=context)
        for node in (self.node, self.cameras):
            self.executor.add_node(node)
        self.stamps: list[int] = []
        self.new: list[int] = []  # stamps of the images that were new
        self.lost = 0

    def input(self, reliability: str, depth: int = 1) -> ImageInput:
        values = {spec.name: spec.default for spec in TABLE}
        values |= {"qos.reliability": reliability, "qos.depth": depth}
        settings = Settings.from_values(values)
        return ImageInput(self.node, TOPIC, settings, self._on_image, self._on_new, self._on_lost)

    def camera(self, reliability: ReliabilityPolicy) -> Publisher:
        return self.cameras.create_publisher(Image, TOPIC, QoSProfile(depth=10, reliability=reliability))

    def send(self, camera: Publisher, stamp: int) -> None:
        header = Header()
        header.stamp.sec = stamp
        camera.publish(image_message(header, np.zeros((8, 8, 3), np.uint8)))

    def until(self, condition: Callable[[], object], what: str) -> None:
        def is_true() -> bool:
            self.executor.spin_once(timeout_sec=0.02)
            return bool(condition())

        wait_until(is_true, what)

    def _on_image(self, message: Image) -> bool:
        self.stamps.append(message.header.stamp.sec)
        return self.stamps.count(message.header.stamp.sec) == 1

    def _on_new(self) -> None:
        self.new.append(self.stamps[-1])

    def _on_lost(self, count: int) -> None:
        self.lost += count


@pytest.fixture
def rig() -> Iterator[Rig]:
    context = Context()
    rclpy.init(context=context)
    rig = Rig(context)
    yield rig
    rig.executor.shutdown()
    for node in (rig.node, rig.cameras):
        node.destroy_node()
    rclpy.shutdown(context=context)


def _deliver(rig: Rig, camera: Publisher, stamp: int) -> None:
    rig.send(camera, stamp)
    rig.until(lambda: rig.stamps and rig.stamps[-1] == stamp, f"image {stamp}")


def test_it_is_as_reliable_as_the_cameras_and_misses_no_image_meanwhile(rig: Rig) -> None:
    images = rig.input("auto")
    assert images.reliability is BEST_EFFORT, "there is no camera yet"
    camera = rig.camera(RELIABLE)
    rig.until(camera.get_subscription_count, "the subscription")
    _deliver(rig, camera, 1)
    rig.until(lambda: images.reliability is RELIABLE, "the reliable subscription")
    rig.until(lambda: camera.get_subscription_count() == 2, "the reliable subscription at the camera")
    _deliver(rig, camera, 2)  # by both subscriptions
    _deliver(rig, camera, 3)
    rig.until(lambda: camera.get_subscription_count() == 1, "the end of the best-effort subscription")

    other = rig.camera(BEST_EFFORT)
    rig.until(lambda: images.reliability is BEST_EFFORT, "the best-effort subscription")
    rig.until(other.get_subscription_count, "the best-effort subscription at the other camera")
    _deliver(rig, other, 4)
    rig.until(lambda: camera.get_subscription_count() == 1, "the end of the reliable subscription")
    _deliver(rig, camera, 5)
    assert rig.stamps == [1, 2, 3, 4, 5], "each image once"

    images.destroy()
    rig.until(lambda: camera.get_subscription_count() == 0, "the end of the subscription")


def test_an_image_that_both_subscriptions_bring_counts_once(rig: Rig) -> None:
    camera = rig.camera(RELIABLE)
    images = rig.input("best_effort")
    images.subscribe(RELIABLE)  # as when the publishers have changed
    rig.until(lambda: camera.get_subscription_count() == 2, "both subscriptions")
    _deliver(rig, camera, 1)
    _deliver(rig, camera, 2)
    assert rig.stamps == [1, 2]


def test_only_new_images_count_as_new(rig: Rig) -> None:
    camera = rig.camera(RELIABLE)
    rig.input("reliable")
    rig.until(camera.get_subscription_count, "the subscription")
    for count, stamp in enumerate((1, 1, 2), 1):
        rig.send(camera, stamp)
        rig.until(lambda count=count: len(rig.stamps) == count, f"image {count}")
    assert rig.stamps == [1, 1, 2] and rig.new == [1, 2]


def test_what_the_parameter_says_is_kept(rig: Rig) -> None:
    camera = rig.camera(RELIABLE)
    images = rig.input("best_effort")
    rig.until(camera.get_subscription_count, "the subscription")
    _deliver(rig, camera, 1)
    assert images.reliability is BEST_EFFORT
    images.destroy()
    images = rig.input("reliable")
    assert images.reliability is RELIABLE


# In a process of its own, since within one process nothing gets lost.
CAMERA = """
import time
import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from atom_ros.images import image_message

rclpy.init()
node = rclpy.create_node("lossy_camera")
camera = node.create_publisher(Image, "TOPIC", QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT))
large, small = (image_message(Header(), np.zeros((side, side, 3), np.uint8), "rgb8") for side in (1200, 8))
while camera.get_subscription_count() == 0:
    time.sleep(0.02)
stamp = 0
for message, count in ((small, 50), (large, 20), (small, 600)):
    for _ in range(count):
        stamp += 1
        message.header.stamp.sec = stamp
        camera.publish(message)
        time.sleep(0.03)
"""


def test_lost_images_are_counted(rig: Rig) -> None:
    rig.input("best_effort", depth=100)  # so that the middleware overwrites none before it is taken
    camera = subprocess.Popen([sys.executable, "-c", CAMERA.replace("TOPIC", TOPIC)])
    try:
        rig.until(lambda: camera.poll() is not None or (rig.stamps and rig.stamps[-1] > 70), "small images again")
    finally:
        camera.kill()
        camera.wait()
    assert rig.stamps[-1] > 70, "the camera has failed"
    sent = rig.stamps[-1] - rig.stamps[0] + 1
    missing = sent - len(rig.stamps)
    assert 0 <= rig.lost <= missing
    assert (rig.lost > 0) == (missing > 0), f"{missing} of {sent} are missing"
