# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A client of the tracker: sets the first box through the service, resumes the camera, records every Track.

It ends when the camera has gone and no more Tracks come, and writes one JSON file.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.client import Client as ServiceClient
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from atom_core.data.annotations import read_boxes
from atom_core.data.sequences import GROUND_TRUTH
from atom_ros.frame_buffer import to_nanoseconds
from atom_ros.target_client import STATUS_NAMES
from atom_tracker.msg import Track
from atom_tracker.srv import SetTarget
from demo.spin import require, spin_for

START_DEADLINE = 600.0  # s, for the tracker to load its network and the camera to start
SERVICE_DEADLINE = 120.0  # s, for the tracker to learn the target
CLIP_DEADLINE = 1800.0  # s, for the whole clip
QUIET = 3.0  # s without a Track, after which nothing more is expected from a camera that has gone
ATTEMPTS = 10  # to set the target
RETRY_PERIOD = 0.5  # s


class Client(Node):
    """The node."""

    def __init__(self) -> None:
        super().__init__("client")
        self._tracks: list[dict[str, Any]] = []
        self._diagnostics: dict[str, str] = {}
        self._images_seen: list[Time] = []  # their stamps
        self._heard = time.monotonic()
        self.create_subscription(Track, "tracker/track", self._on_track, 100)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._images = self.create_subscription(Image, "camera/image", self._on_image, QoSProfile(depth=1))
        self._set_target = self.create_client(SetTarget, "tracker/set_target")
        self._resume = self.create_client(Trigger, "camera/resume")

    def run(self, box: list[float]) -> dict[str, Any]:
        """Sets the target and records until the clip ends; returns the record.

        Raises:
            TimeoutError: if a node does not answer in time.
            RuntimeError: if the tracker refuses the box.
        """
        initialize_ms = self._set(box)
        self.destroy_subscription(self._images)  # from here on only the tracker needs the images
        self._call(self._resume, Trigger.Request(), "camera/resume")
        self._heard = time.monotonic()
        require(self, "the end of the clip", CLIP_DEADLINE, self._is_over)
        spin_for(self, 2.0, lambda: bool(self._diagnostics.get("device")))
        return {"initialize_ms": initialize_ms, "diagnostics": self._diagnostics, "tracks": self._tracks}

    def _set(self, box: list[float]) -> float:
        """Sets the target on a received image; returns the milliseconds from the call to its answer."""
        x, y, width, height = box
        require(self, "a Track of an image", START_DEADLINE, lambda: self._newest_tracked_image() is not None)
        for _ in range(ATTEMPTS):
            request = SetTarget.Request(stamp=self._newest_tracked_image(), x=x, y=y, width=width, height=height)
            started = time.monotonic()
            answer = self._call(self._set_target, request, "tracker/set_target")
            if answer.success:
                return (time.monotonic() - started) * 1e3
            self.get_logger().warning(f"The tracker refused the target: {answer.message}")
            spin_for(self, RETRY_PERIOD)
        raise RuntimeError(f"the tracker refused the target {ATTEMPTS} times, at last: {answer.message}")

    def _call(self, service: ServiceClient, request: Any, name: str) -> Any:
        require(self, f"the service {name}", START_DEADLINE, service.service_is_ready)
        future = service.call_async(request)
        require(self, f"the answer of {name}", SERVICE_DEADLINE, future.done)
        return future.result()

    def _newest_tracked_image(self) -> Time | None:
        """Stamp of the newest received image that the tracker has processed: its Track (IDLE), or a later one, came."""
        if not self._tracks:
            return None
        tracked = self._tracks[-1]["stamp_ns"]
        return next((stamp for stamp in reversed(self._images_seen) if to_nanoseconds(stamp) <= tracked), None)

    def _is_over(self) -> bool:
        return self.count_publishers("camera/image") == 0 and time.monotonic() - self._heard > QUIET

    def _on_image(self, image: Image) -> None:
        self._images_seen.append(image.header.stamp)

    def _on_track(self, track: Track) -> None:
        received = self.get_clock().now().nanoseconds
        self._heard = time.monotonic()
        box = [track.x, track.y, track.width, track.height]
        self._tracks.append(
            {
                "stamp_ns": to_nanoseconds(track.header.stamp),
                "received_ns": received,
                "frame_id": track.header.frame_id,
                "target_id": track.target_id,
                "state": STATUS_NAMES[track.status],
                "box": None if any(map(math.isnan, box)) else box,
                "confidence": None if math.isnan(track.confidence) else track.confidence,
                "iou": None if math.isnan(track.iou) else track.iou,
                "processing_ms": 1000.0 * track.processing_time,
            }
        )

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            self._diagnostics = {pair.key: pair.value for pair in status.values}


def main() -> None:
    """Runs the client until the clip has ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="a folder whose groundtruth_rect.txt holds the first box")
    parser.add_argument("record", type=Path, help="file for the received Tracks")
    arguments = parser.parse_args()
    box = read_boxes(arguments.clip / GROUND_TRUTH)[0].tolist()
    rclpy.init()
    try:
        arguments.record.write_text(json.dumps(Client().run(box)))
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    try:
        main()
    except (TimeoutError, RuntimeError, OSError, ValueError) as error:
        sys.exit(f"client: {error}")
