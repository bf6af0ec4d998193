# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Targets by topic: clicks in rqt_image_view, regions of interest, detections.

Each becomes the same request as a call of the service set_target, and can be refused for the same reasons; refusals are
logged, since nobody waits for an answer.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from typing import Any

from geometry_msgs.msg import Point
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import RegionOfInterest

from atom_core.boxes import Box
from atom_ros.frame_buffer import to_nanoseconds
from atom_ros.input.picking import box_between

try:
    from vision_msgs.msg import Detection2D
except ImportError:  # an optional package: without it there is no detections topic
    Detection2D = None

_LOG_INTERVAL = 1.0  # s between two messages of a kind
_CLICK_INTERVAL = 0.2  # s, the same for clicks, which a person makes
_DEPTH = 10
_RETRIES = 9


def box_of_region(region: RegionOfInterest) -> Box:
    """The box of a region of interest, whose offset is its first pixel.

    Raises:
        ValueError: if the region is empty (which elsewhere in ROS means the whole image).
    """
    if region.width == 0 or region.height == 0:
        raise ValueError(f"the region is {region.width} x {region.height} px; expected at least 1 x 1")
    return region.x_offset - 0.5, region.y_offset - 0.5, float(region.width), float(region.height)


def box_of_detection(detection: Any) -> Box:
    """The axis-aligned box around the bounding box of a Detection2D (vision_msgs), which may be rotated.

    Raises:
        ValueError: if a value is not finite, or the bounding box has no size.
    """
    x, y = detection.bbox.center.position.x, detection.bbox.center.position.y
    theta, size_x, size_y = detection.bbox.center.theta, detection.bbox.size_x, detection.bbox.size_y
    if not all(map(math.isfinite, (x, y, theta, size_x, size_y))) or min(size_x, size_y) <= 0:
        raise ValueError(
            f"the bounding box has centre ({x:g}, {y:g}), angle {theta:g} and size {size_x:g} x {size_y:g}; "
            "expected finite numbers and a positive size"
        )
    cos, sin = abs(math.cos(theta)), abs(math.sin(theta))
    width, height = size_x * cos + size_y * sin, size_x * sin + size_y * cos
    return x - width / 2, y - height / 2, width, height


def class_of_detection(detection: Any) -> str:
    """The class of a Detection2D's hypothesis with the highest score; "" if it has none."""
    best = max(detection.results, key=lambda result: result.hypothesis.score, default=None)
    return "" if best is None else best.hypothesis.class_id


class Clicks:
    """Two clicks make a box: one corner, then the opposite one."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._time = 0.0  # of the first click, s

    def add(self, x: float, y: float, now: float, timeout: float) -> Box | None:
        """Adds a click as rqt_image_view publishes it, 0 being the image's left or upper border.

        Args:
            x: px from the left border.
            y: px from the upper border.
            now: s.
            timeout: maximum s between the two clicks; a later one is a first click again.

        Returns:
            The box after the second click, None after the first.

        Raises:
            ValueError: if the click is not finite, or the box would be tiny; that also discards the first click.
        """
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(f"the click is at ({x:g}, {y:g}); expected finite numbers")
        corner = (x - 0.5, y - 0.5)
        first, self._first = self._first, None
        if first is None or not 0 <= now - self._time <= timeout:
            self._first, self._time = corner, now
            return None
        return box_between(first, corner)


@dataclass(frozen=True)
class BoxOrder:
    """A box from a topic or a parameter, to be learned as a target."""

    box: Box
    stamp: int  # ns; 0 for the newest image
    source: str  # topic or parameter
    class_id: str = ""  # from the detector
    retries: int = 0  # on later images; a camera's first images may be damaged


class TargetInputs:
    """The subscriptions, from the node's activation to `destroy`.

    While the tracker learns one target, up to `max_targets` others wait, and a newer one replaces the oldest: so a
    detector that publishes faster than the tracker learns neither fills the memory nor makes it learn outdated boxes.
    """

    def __init__(
        self,
        node: Node,
        set_target: Callable[..., Future[int]],
        box: Box | None = None,
        topics: bool = True,
    ) -> None:
        """Subscribes.

        Args:
            node: the tracker's node, with the parameters `click_timeout` and `max_targets`.
            set_target: called with a box in image px, its image's stamp in ns and `class_id`, a detector's class or "";
                must accept calls from any thread.
            box: to set on the first image.
            topics: whether to accept targets from topics.
        """
        self._node = node
        self._set_target = set_target
        self._first = None if box is None else BoxOrder(box, 0, "the parameter box", retries=_RETRIES)
        self._clicks = Clicks()
        self._lock = threading.Lock()  # guards the fields below: answers come in the tracker's thread
        self._waiting: deque[BoxOrder] = deque()
        self._is_busy = False
        self._logged: dict[tuple[str, str], float] = {}  # (kind, source): time.monotonic() of its last log message
        self._subscriptions: list[Subscription] = []
        if topics:
            self._subscribe()

    def destroy(self) -> None:
        """Unsubscribes."""
        with self._lock:
            self._waiting.clear()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def image_arrived(self) -> None:
        """Sets the parameter's box; call it for each image."""
        if self._first is not None:
            order, self._first = self._first, None
            self.order(order)

    def _subscribe(self) -> None:
        # rqt_image_view publishes its clicks under the name of the image that it shows.
        for image in ("image", "~/debug_image"):
            self._listen(Point, self._node.resolve_topic_name(image) + "_mouse_left", self._take_click)
        self._listen(RegionOfInterest, "~/target_roi", lambda region: (box_of_region(region), 0))
        if Detection2D is not None:
            self._listen(
                Detection2D,
                "~/target_detection",
                lambda detection: (box_of_detection(detection), to_nanoseconds(detection.header.stamp)),
                class_of_detection,
            )

    def _listen(
        self,
        message_type: type,
        topic: str,
        read: Callable[[Any], tuple[Box, int] | None],
        read_class: Callable[[Any], str] = lambda message: "",
    ) -> None:
        """Subscribes; `read` converts a message to box and stamp, or None; ValueError for a malformed one."""
        name = self._node.resolve_topic_name(topic)

        def on_message(message: Any) -> None:
            try:
                target = read(message)
            except ValueError as error:
                self._refuse(name, error)
            else:
                if target is not None:
                    self.order(BoxOrder(*target, name, read_class(message)))

        self._subscriptions.append(self._node.create_subscription(message_type, name, on_message, _DEPTH))

    def _take_click(self, click: Point) -> tuple[Box, int] | None:
        timeout = self._node.get_parameter("click_timeout").value
        # Real time, since a person clicks, even if the robot's time is simulated.
        box = self._clicks.add(click.x, click.y, time.monotonic(), timeout)
        if box is not None:
            return box, 0
        self._node.get_logger().info(
            f"One corner at ({click.x:g}, {click.y:g}) px; click the opposite one within {timeout:g} s",
            throttle_duration_sec=_CLICK_INTERVAL,
        )
        return None

    def order(self, order: BoxOrder) -> None:
        """Submits an order, or keeps it while the tracker learns: at most the newest `max_targets` of them."""
        with self._lock:
            self._waiting.append(order)
            if len(self._waiting) > self._node.get_parameter("max_targets").value:
                self._waiting.popleft()
        self._next()

    def _next(self) -> None:
        with self._lock:
            if self._is_busy or not self._waiting:
                return
            self._is_busy = True
            order = self._waiting.popleft()
        answer = self._set_target(order.box, order.stamp, class_id=order.class_id)
        answer.add_done_callback(lambda future: self._answered(order, future))

    def _answered(self, order: BoxOrder, future: Future[int]) -> None:
        try:
            self._report(future.result(), order.source)
        except CancelledError:
            pass  # the node was deactivated
        except Exception as error:  # a refusal, or a failure of the tracker: either way the node continues
            self._refuse(order.source, error)
            if order.retries > 0:
                self._first = replace(order, retries=order.retries - 1)
        with self._lock:
            self._is_busy = False
        self._next()

    def _report(self, target_id: int, source: str) -> None:
        if self._is_due("set", source):
            self._node.get_logger().info(f"Target {target_id} was set by {source}")

    def _refuse(self, source: str, error: Exception) -> None:
        if self._is_due("refused", source):
            self._node.get_logger().warning(f"Target from {source} refused: {error}")

    def _is_due(self, kind: str, source: str) -> bool:
        """Whether a message of this kind about this source may be logged; a detector sends tens per second."""
        now = time.monotonic()
        if now - self._logged.get((kind, source), -math.inf) < _LOG_INTERVAL:
            return False
        self._logged[kind, source] = now
        return True
