# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A simulated camera: publishes a clip's frames as sensor_msgs/Image (bgr8), stamped at publication.

It shows the first frame until its service `~/resume` is called, then the rest: at the clip's frame rate, like a camera,
or in lockstep, each frame after the Track of the previous one.
Every published frame is recorded in a file of JSON lines: `{"index": 0, "stamp_ns": 1700000000000000000}`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from atom_core.data.sequences import read_sequence
from atom_ros.frame_buffer import to_nanoseconds
from atom_ros.images import image_message
from atom_tracker.msg import Track
from demo.spin import require, spin_for

FRAME_ID = "street_camera_optical"
START_DEADLINE = 600.0  # s, for the tracker to load its network and for the target to be set
FRAME_DEADLINE = 60.0  # s, for the Track of one frame in lockstep


class DemoCamera(Node):
    """The node. Its image publisher is reliable, which suits both best-effort and reliable subscribers."""

    def __init__(self, record: Path) -> None:
        super().__init__("camera")
        self._publisher = self.create_publisher(Image, "~/image", QoSProfile(depth=1))
        self.create_subscription(Track, "tracker/track", self._on_track, 10)
        self.create_service(Trigger, "~/resume", self._on_resume)
        self._record = record.open("w", buffering=1)
        self._resumed = False
        self._tracked_ns = 0  # stamp of the newest Track
        self._shown_ns = 0  # stamp of the newest image

    def run(self, frames: list[np.ndarray], fps: float, lockstep: bool) -> None:
        """Shows the clip from beginning to end.

        Raises:
            TimeoutError: if nobody subscribes, resumes or, in lockstep, sends a Track in time.
        """
        require(self, "two subscribers", START_DEADLINE, lambda: self._publisher.get_subscription_count() >= 2)
        self._show_first(frames[0], fps, lockstep)
        started = time.monotonic()
        for index, image in enumerate(frames[1:], start=1):
            if not lockstep:
                spin_for(self, started + index / fps - time.monotonic())
            self._show(index, image)
            if lockstep:
                require(self, f"the Track of frame {index}", FRAME_DEADLINE, self._is_tracked)

    def _show_first(self, image: np.ndarray, fps: float, lockstep: bool) -> None:
        """Shows the first frame until `~/resume`; in lockstep every image is shown once, as soon as it is received."""
        deadline = time.monotonic() + START_DEADLINE
        while not self._resumed:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody called {self.get_name()}/resume within {START_DEADLINE:g} s")
            if not (lockstep and self._is_tracked()):
                self._show(0, image)
            spin_for(self, 1.0 if lockstep else 1.0 / fps, lambda: self._resumed)

    def _show(self, index: int, image: np.ndarray) -> None:
        message = image_message(Header(frame_id=FRAME_ID), image, "bgr8")
        stamp = self.get_clock().now()
        message.header.stamp = stamp.to_msg()
        self._publisher.publish(message)
        self._shown_ns = stamp.nanoseconds
        self._record.write(json.dumps({"index": index, "stamp_ns": stamp.nanoseconds}) + "\n")

    def _is_tracked(self) -> bool:
        return self._tracked_ns >= self._shown_ns > 0

    def _on_track(self, track: Track) -> None:
        self._tracked_ns = to_nanoseconds(track.header.stamp)

    def _on_resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._resumed = True
        response.success = True
        return response


def main() -> None:
    """Runs the camera until the clip has ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="a folder with groundtruth_rect.txt and a video or img/")
    parser.add_argument("record", type=Path, help="file for the published stamps")
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--lockstep", action="store_true")
    arguments = parser.parse_args()
    # Decoded in advance, so that decoding does not disturb the frame rate.
    frames = [np.ascontiguousarray(image[:, :, ::-1]) for image in read_sequence(arguments.clip).frames]
    rclpy.init()
    try:
        DemoCamera(arguments.record).run(frames, arguments.fps, arguments.lockstep)
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    try:
        main()
    except (TimeoutError, OSError, ValueError) as error:
        sys.exit(f"camera: {error}")
