# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The node's publishers of what was found in an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from atom_ros.diagnostics import Statistics
from atom_ros.drawing import draw
from atom_ros.frame_buffer import NANOSECONDS
from atom_ros.images import image_message
from atom_ros.messages import Detection2DArray, detections_message, track_message
from atom_ros.report import Report
from atom_tracker.msg import Track

_RELIABLE = QoSProfile(depth=10)
_DEBUG_IMAGE = QoSProfile(depth=1)


class Outputs:
    """Publishers that live from configure to cleanup, and send only while the node is active."""

    def __init__(self, node: LifecycleNode, statistics: Statistics) -> None:
        self._node = node
        self._statistics = statistics
        self._track = node.create_lifecycle_publisher(Track, "~/track", _RELIABLE)
        self._debug_image = node.create_lifecycle_publisher(Image, "~/debug_image", _DEBUG_IMAGE)
        self._detections = None
        if Detection2DArray is not None:
            self._detections = node.create_lifecycle_publisher(Detection2DArray, "~/detections", _RELIABLE)

    def publish(self, reports: Sequence[Report], image: np.ndarray | None) -> None:
        """Publishes everything about one frame.

        Args:
            reports: one for each target, or a single one of status IDLE; all of the same frame.
            image: the frame's RGB image, needed only where `wants_image` says so. It may be shared: draw on a copy.
        """
        header = reports[0].frame.message.header
        for report in reports:
            track = track_message(report, self._node.get_clock().now().nanoseconds)
            self._track.publish(track)
        self._statistics.add_latency((track.latency.sec + track.latency.nanosec / NANOSECONDS) * 1000.0)
        if self._detections is not None:
            self._detections.publish(detections_message(reports))
        if image is not None and self.wants_image():
            self._debug_image.publish(image_message(header, draw(image, reports, self._statistics.fps)))

    def wants_image(self) -> bool:
        """Whether somebody looks at the debug image."""
        return self._debug_image.get_subscription_count() > 0

    def destroy(self) -> None:
        """Removes the publishers from the node."""
        for publisher in (self._track, self._debug_image, self._detections):
            if publisher is not None:
                self._node.destroy_lifecycle_publisher(publisher)
