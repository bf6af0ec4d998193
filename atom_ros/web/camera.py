# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The page's own subscription to a camera, and the list of cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from rclpy.clock import Clock, ClockType
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from atom_ros.images import ImageMessage
from atom_ros.input.image_input import offered_reliability

_PERIOD = 1.0  # s between two checks of the cameras
_TYPES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
_Key: TypeAlias = tuple[str, type, ReliabilityPolicy]  # what a subscription depends on


@dataclass(frozen=True)
class Surroundings:
    """The network's cameras and the shown topic."""

    camera: str = ""  # the shown topic
    cameras: tuple[str, ...] = ()  # topics with a publisher of images


class Camera:
    """Subscribes on request. Its methods may be called from any thread; the executor's thread does the work."""

    def __init__(
        self,
        node: Node,
        executor: Executor,
        topic: str,
        on_image: Callable[[str, ImageMessage], None],
        on_look: Callable[[Surroundings], None],
    ) -> None:
        """Args: `topic`: empty for the tracker's, see `follow`; `on_image`: called with the topic and an image."""
        self._node = node
        self._executor = executor
        self._on_image = on_image
        self._on_look = on_look
        self._chosen = node.resolve_topic_name(topic) if topic else ""
        self._followed = node.resolve_topic_name("image")
        self._is_taking = False
        self._subscription: Subscription | None = None
        self._key: _Key | None = None
        # A steady clock: cameras also come and go while simulated time is stopped.
        node.create_timer(_PERIOD, self._look_around, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def topic(self) -> str:
        """Topic of the images that are shown."""
        return self._chosen or self._followed

    def choose(self, topic: str) -> None:
        """Shows this topic from now on."""
        self._chosen = topic
        self._executor.create_task(self._look_around)

    def follow(self, topic: str) -> None:
        """Sets the topic that the tracker listens to; it is shown unless another one was chosen."""
        if topic and topic != self._followed:
            self._followed = topic
            self._executor.create_task(self._look_around)

    def take(self, on: bool) -> None:
        """Subscribes, or unsubscribes."""
        self._is_taking = on
        self._executor.create_task(self._look_around)

    def _look_around(self) -> None:
        types = dict(self._node.get_topic_names_and_types())
        cameras = [n for n, t in types.items() if _TYPES.keys() & set(t) and self._node.count_publishers(n)]
        self._subscribe(self._wanted(types.get(self.topic, [])) if self._is_taking else None)
        self._on_look(Surroundings(self.topic, tuple(sorted(cameras))))

    def _wanted(self, types: list[str]) -> _Key | None:
        """The topic to subscribe to; None without a camera, or if it is subscribed already."""
        found = [_TYPES[name] for name in types if name in _TYPES]
        reliability = offered_reliability(self._node, self.topic)
        if not found or reliability is None:  # it may come back: the existing subscription stays
            return self._key if self._key is not None and self._key[0] == self.topic else None
        return self.topic, found[0], reliability

    def _subscribe(self, key: _Key | None) -> None:
        if key == self._key:
            return
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription, self._key = None, key
        if key is not None:
            topic, message_type, reliability = key
            self._subscription = self._node.create_subscription(
                message_type,
                topic,
                lambda image: self._on_image(topic, image),
                QoSProfile(depth=1, reliability=reliability),
            )
