# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Positions in frames other than the camera's, by the transforms at the image's stamp."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

try:
    import tf2_ros
except ImportError:  # an optional package: without it positions are in the camera's frame only
    tf2_ros = None

_HISTORY = Duration(seconds=10)  # of transforms: the tracker's maximum delay


class Frames:
    """Subscribes to the transforms, from its construction to `destroy`."""

    def __init__(self, node: Node) -> None:
        """Subscribes to /tf and /tf_static; needs tf2_ros."""
        self._buffer = tf2_ros.Buffer(_HISTORY)
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def destroy(self) -> None:
        """Unsubscribes."""
        self._listener.unregister()

    def place(self, position: np.ndarray, header: Header, target_frame: str) -> np.ndarray:
        """Transforms a position (3,), m, from the header's frame at its stamp to `target_frame`.

        Raises:
            LookupError: if there is no transform for that time (yet); the message has tf2's reason.
        """
        if header.frame_id == target_frame:
            return position
        try:
            stamp = Time.from_msg(header.stamp)
            return moved(position, self._buffer.lookup_transform_core(target_frame, header.frame_id, stamp))
        except tf2_ros.TransformException as error:
            raise LookupError(str(error)) from error


def moved(position: np.ndarray, transform: TransformStamped) -> np.ndarray:
    """Transforms a position (3,) from a transform's child frame to its parent frame."""
    q, t = transform.transform.rotation, transform.transform.translation
    axis = np.array([q.x, q.y, q.z])
    turned = position + 2.0 * np.cross(axis, np.cross(axis, position) + q.w * position)  # q p q*, for a unit quaternion
    return turned + np.array([t.x, t.y, t.z])
