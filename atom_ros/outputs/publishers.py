# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The node's publishers of results."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import cv2
import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import ImageMarker

from atom_ros.frame_buffer import NANOSECONDS
from atom_ros.images import ImageMessage, image_message
from atom_ros.outputs.annotations import ImageAnnotations, image_annotations
from atom_ros.outputs.diagnostics import Statistics
from atom_ros.outputs.drawing import draw
from atom_ros.outputs.markers import image_marker
from atom_ros.outputs.messages import Detection2DArray, detections_message, track_array_message, track_message
from atom_ros.parameters import Settings
from atom_ros.report import Report
from atom_ros.spatial.outputs import SpatialOutputs
from atom_tracker.msg import Track, TrackArray

_RELIABLE = QoSProfile(depth=10)
_DEBUG_IMAGE = QoSProfile(depth=1)
_CLASSES_KEPT = 1000  # targets; older ones are removed, or get the class "target"


class Outputs:
    """Publishers that exist from configure to cleanup, and send only while the node is active."""

    def __init__(self, node: LifecycleNode, statistics: Statistics, settings: Settings) -> None:
        self._node = node
        self._statistics = statistics
        self.spatial = SpatialOutputs(node, settings)
        self._classes: dict[int, str] = {}  # by target, from the detector
        self._track = node.create_lifecycle_publisher(Track, "~/track", _RELIABLE)
        self._tracks = node.create_lifecycle_publisher(TrackArray, "~/tracks", _RELIABLE)
        self._debug_image = node.create_lifecycle_publisher(Image, "~/debug_image", _DEBUG_IMAGE)
        self._compressed = node.create_lifecycle_publisher(CompressedImage, "~/debug_image/compressed", _DEBUG_IMAGE)
        self._image_markers = node.create_lifecycle_publisher(ImageMarker, "~/image_markers", _RELIABLE)
        self._annotations = None
        if ImageAnnotations is not None:
            self._annotations = node.create_lifecycle_publisher(ImageAnnotations, "~/annotations", _RELIABLE)
        self._detections = None
        if Detection2DArray is not None:
            self._detections = node.create_lifecycle_publisher(Detection2DArray, "~/detections", _RELIABLE)

    def publish(self, reports: Sequence[Report], image: np.ndarray | None) -> None:
        """Publishes everything about one frame.

        Args:
            reports: one for each target, or a single one of status IDLE; all for the same frame.
            image: the frame's RGB image, needed only if `wants_image`. It may be shared: draw on a copy.
        """
        header = reports[0].frame.message.header
        tracks = []
        for report in reports:
            tracks.append(track_message(report, self._node.get_clock().now().nanoseconds))
            self._track.publish(tracks[-1])
        self._tracks.publish(track_array_message(header, tracks))
        track = tracks[-1]
        self._statistics.add_latency((track.latency.sec + track.latency.nanosec / NANOSECONDS) * 1000.0)
        if self._detections is not None:
            self._detections.publish(detections_message(reports, self._classes))
        if image is not None and self.wants_image():
            self._publish_debug_image(header, draw(image, reports, self._statistics.fps))
        size = _size(reports[0].frame.message, image)
        if size is None and all(report.box is None for report in reports):
            size = (1, 1)  # of an image that was not decoded and has no boxes
        if size is not None:
            self._publish_lines(header, reports, size)
        self.spatial.publish(reports, size)

    def _publish_lines(self, header: Header, reports: Sequence[Report], size: tuple[int, int]) -> None:
        if self._annotations is not None and self._annotations.get_subscription_count() > 0:
            self._annotations.publish(image_annotations(header, reports, size))
        if self._image_markers.get_subscription_count() > 0:
            self._image_markers.publish(image_marker(header, reports, size))

    def _publish_debug_image(self, header: Header, drawn: np.ndarray) -> None:
        if self._debug_image.get_subscription_count() > 0:
            self._debug_image.publish(image_message(header, drawn))
        if self._compressed.get_subscription_count() > 0:
            _, data = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
            self._compressed.publish(CompressedImage(header=header, format="jpeg", data=array("B", data.tobytes())))

    def set_class(self, target_id: int, class_id: str) -> None:
        """Sets the class of a target's detections from now on; may be called from any thread."""
        classes = {number: name for number, name in self._classes.items() if number > target_id - _CLASSES_KEPT}
        self._classes = classes | {target_id: class_id}

    def wants_image(self) -> bool:
        """Whether the debug image has a subscriber."""
        return any(p.get_subscription_count() > 0 for p in (self._debug_image, self._compressed))

    def start(self, image: str) -> None:
        """Subscribes to calibration and depth; call it when the node is activated.

        Args:
            image: full name of the image's topic.
        """
        self.spatial.start(image)

    def stop(self) -> None:
        """Unsubscribes, and deletes the targets' markers unless Ctrl-C has ended all publishing."""
        if self._node.context.ok():
            self.forget()
        self.spatial.stop()

    def forget(self, target_id: int | None = None) -> None:
        """Deletes the markers of a target, or of all, without waiting for the next image."""
        self.spatial.forget(target_id)
        if (
            target_id is None
        ):  # the other targets' lines are in the same message: for one target, the next image updates it
            self._publish_lines(Header(), (), (1, 1))

    def destroy(self) -> None:
        """Removes the publishers from the node."""
        self.spatial.destroy()
        for publisher in (
            self._track,
            self._tracks,
            self._debug_image,
            self._compressed,
            self._image_markers,
            self._annotations,
            self._detections,
        ):
            if publisher is not None:
                self._node.destroy_lifecycle_publisher(publisher)


def _size(message: ImageMessage, image: np.ndarray | None) -> tuple[int, int] | None:
    """Width and height of an image; None for a compressed one that was not decoded."""
    if isinstance(message, Image):
        return message.width, message.height
    return None if image is None else (image.shape[1], image.shape[0])
