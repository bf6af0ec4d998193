# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The node's subscription to the camera's images, as reliable as the camera is.

A best-effort subscription connects to every camera, but loses many large images: they travel in fragments, and losing
one fragment loses the image. A reliable one loses few, but does not connect to a best-effort camera. So with the
reliability `auto` the publishers decide: reliable if all of them are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from atom_ros.frame_buffer import to_nanoseconds
from atom_ros.images import ImageMessage
from atom_ros.parameters import Settings

_PERIOD = 0.5  # s between two checks of the publishers
_LOG_INTERVAL = 30.0  # s between two warnings
_RELIABLE, _BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT


def offered_reliability(node: Node, topic: str) -> ReliabilityPolicy | None:
    """The reliability that all publishers of a topic (its full name) offer; None if there are none."""
    publishers = node.get_publishers_info_by_topic(topic)
    if not publishers:
        return None
    return _RELIABLE if all(p.qos_profile.reliability == _RELIABLE for p in publishers) else _BEST_EFFORT


class ImageInput:
    """Subscribes from construction to `destroy`. Use it in the executor's thread."""

    def __init__(
        self,
        node: Node,
        topic: str,
        settings: Settings,
        on_image: Callable[[ImageMessage], bool],
        on_new: Callable[[], None],
        on_lost: Callable[[int], None],
    ) -> None:
        """Subscribes.

        Args:
            node: whose subscription it is.
            topic: full name.
            settings: the node's parameters.
            on_image: called with each image; returns whether it is new, neither a duplicate nor out of order.
            on_new: called after each new image.
            on_lost: called with the number of images lost in transport, if the middleware reports it.
        """
        self._node = node
        self._topic = topic
        self._settings = settings
        self._on_image = on_image
        self._on_new = on_new
        self._on_lost = on_lost
        self._type = CompressedImage if settings.image_transport == "compressed" else Image
        self._subscription: Subscription | None = None
        self._source: object = None  # identifies the subscription's images, since the previous one's still come
        self._former: Subscription | None = None  # until its replacement delivers
        self.received = 0  # images up to now
        self._newest_stamp = 0  # of the newest image, ns
        self._timer = None
        self._is_auto = settings.qos_reliability == "auto"
        if not self._is_auto:
            self.subscribe(ReliabilityPolicy[settings.qos_reliability.upper()])
            return
        self.subscribe(offered_reliability(self._node, self._topic) or _BEST_EFFORT)
        clock = Clock(clock_type=ClockType.STEADY_TIME)  # cameras also come and go while simulated time is stopped
        self._timer = node.create_timer(_PERIOD, self._adapt, clock=clock)

    @property
    def qos(self) -> QoSProfile:
        """Of the current subscription."""
        return self._current().qos_profile

    @property
    def reliability(self) -> ReliabilityPolicy:
        """Of the current subscription."""
        return self._current().qos_profile.reliability

    def _current(self) -> Subscription:
        assert self._subscription is not None, "made in the constructor"
        return self._subscription

    def destroy(self) -> None:
        """Unsubscribes."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        for subscription in (self._former, self._subscription):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._former = self._subscription = None

    def _adapt(self) -> None:
        if self._subscription is None:
            return
        wanted = offered_reliability(self._node, self._topic)
        if wanted not in (None, self.reliability):
            self._node.get_logger().info(
                f"The subscription to {self._topic} is now {wanted.name.lower()}",
                throttle_duration_sec=_LOG_INTERVAL,
            )
            self.subscribe(wanted)

    def subscribe(self, reliability: ReliabilityPolicy) -> None:
        """Subscribes again. The previous subscription stays until this one delivers, so that no image is missed."""
        if self._former is not None:
            self._node.destroy_subscription(self._former)
        self._former, self._subscription = self._subscription, None
        create = partial(
            self._node.create_subscription, self._type, self._topic, qos_profile=self._settings.image_qos(reliability)
        )
        self._source = object()
        on_image = partial(self._receive, self._source)
        events = SubscriptionEventCallbacks(message_lost=self._on_message_lost)
        if self._is_auto:
            events.incompatible_qos = lambda _: self._adapt()
        try:
            self._subscription = create(on_image, event_callbacks=events)
        except UnsupportedEventTypeError:  # not every middleware reports lost messages
            self._subscription = create(on_image)

    def _receive(self, source: object, message: ImageMessage) -> None:
        self.received += 1
        if self._former is not None:
            stamp = to_nanoseconds(message.header.stamp)
            if source is self._source:
                self._node.destroy_subscription(self._former)
                self._former = None
                if stamp and stamp == self._newest_stamp:
                    return  # both subscriptions delivered it
            self._newest_stamp = stamp
        if self._on_image(message):
            self._on_new()

    def _on_message_lost(self, status: Any) -> None:
        self._on_lost(status.total_count_change)
        self._node.get_logger().warning(
            f"{status.total_count} images lost in transport so far; see the README for remedies",
            throttle_duration_sec=_LOG_INTERVAL,
        )
