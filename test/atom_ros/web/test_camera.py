# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The page's subscription, with cameras in the same executor."""

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
from atom_ros.web.camera import Camera, Surroundings


class Bench:
    """The page's node, and another one with cameras."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.page, self.robot = (
            Node(name, namespace="/web_camera", context=self.context) for name in ("page", "robot")
        )
        for node in (self.page, self.robot):
            self.executor.add_node(node)
        self.images: list[str] = []  # topics of the images that came
        self.seen = Surroundings()

    def camera(self, topic: str = "") -> Camera:
        return Camera(self.page, self.executor, topic, lambda name, image: self.images.append(name), self._look)

    def _look(self, surroundings: Surroundings) -> None:
        self.seen = surroundings

    def publisher(self, topic: str) -> Publisher:
        return self.robot.create_publisher(Image, topic, QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))

    def until(self, condition: Callable[[], object], what: str) -> None:
        def is_true() -> bool:
            self.executor.spin_once(timeout_sec=0.02)
            return bool(condition())

        wait_until(is_true, what)

    def receive(self, publisher: Publisher, topic: str) -> None:
        """Publishes until an image of the topic comes."""
        self.images.clear()

        def has_come() -> bool:
            publisher.publish(image_message(Header(), np.zeros((8, 8, 3), np.uint8)))
            self.executor.spin_once(timeout_sec=0.02)
            return topic in self.images

        wait_until(has_come, f"an image on {topic}")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.executor.shutdown()
    for node in (bench.page, bench.robot):
        node.destroy_node()
    rclpy.shutdown(context=bench.context)


def test_it_shows_the_trackers_camera_until_another_is_chosen(bench: Bench) -> None:
    left, right = bench.publisher("left"), bench.publisher("right")
    camera = bench.camera()
    assert camera.topic == "/web_camera/image"
    camera.follow("/web_camera/left")
    camera.take(True)
    bench.receive(left, "/web_camera/left")
    bench.until(lambda: bench.seen.cameras == ("/web_camera/left", "/web_camera/right"), "both cameras")

    camera.choose("/web_camera/right")
    bench.receive(right, "/web_camera/right")
    assert set(bench.images) == {"/web_camera/right"}
    camera.follow("/web_camera/third")
    assert camera.topic == "/web_camera/right", "the choice stays"


def test_it_subscribes_only_while_somebody_looks(bench: Bench) -> None:
    publisher = bench.publisher("image")
    camera = bench.camera("image")
    bench.until(lambda: bench.seen.cameras, "the list of cameras")
    assert publisher.get_subscription_count() == 0
    camera.take(True)
    bench.until(publisher.get_subscription_count, "the subscription")
    camera.take(False)
    bench.until(lambda: publisher.get_subscription_count() == 0, "the end of the subscription")
