# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`ros2 run atom_tracker video_camera`: a webcam, a video file or a folder of images as a ROS camera.

For trying out the tracker: a robot uses its camera's own driver. Publishes `image_raw` (rgb8) and, with a calibration,
`camera_info` with the same stamp.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from atom_core.offline.frames import CameraSource, FolderSource, SourceFrame, VideoSource, open_source
from atom_ros.ending import Ending
from atom_ros.images import image_message
from atom_ros.programs.calibration import read_calibration
from atom_ros.programs.camera_program import LoopNode, run_program
from atom_ros.start import accept_whole_numbers, help_text, wants_help

PARAMETERS = (  # name, default, description
    ("source", "0", "Camera (0, /dev/video0), video file or folder of images."),
    ("fps", 0.0, "Images per second; 0: the source's own. Not for cameras."),
    ("loop", True, "Restart a file or a folder at its end; false: end there."),
    ("frame_id", "camera_optical_frame", "frame_id of the headers (z forward, REP-103)."),
    ("calibration", "", "YAML file of camera_calibration; empty: no camera_info."),
)
_QOS = QoSProfile(depth=1)  # reliable, which suits both best-effort and reliable subscribers
_RETRY = 1.0  # s between two attempts to open a disconnected camera


def open_video_source(name: str) -> CameraSource | FolderSource | VideoSource:
    """Opens a source of frames.

    Args:
        name: a camera's index or device (0, /dev/video0), or the path of a video file or a folder of images.

    Raises:
        ValueError: if it cannot be opened or has no frames.
    """
    device = re.fullmatch(r"(?:/dev/video)?(\d+)", name)
    if device:
        return CameraSource(int(device[1]))
    path = Path(name).expanduser()
    if not path.exists():
        raise ValueError(
            f"source '{name}' does not exist; expected a camera (0 or /dev/video0), a video file or a folder"
        )
    return open_source(path)


class VideoCamera(LoopNode):
    """The node; `run` does the work."""

    def __init__(self) -> None:
        """Raises ValueError or OSError if the source or the calibration cannot be used."""
        super().__init__("camera")
        accept_whole_numbers(self, ["fps"])
        values: dict[str, Any] = {name: self._declare(name, default, text) for name, default, text in PARAMETERS}
        self._name = str(values["source"])
        self._fps, self._loop = values["fps"], values["loop"]
        self._frame_id = values["frame_id"]
        calibration = values["calibration"]
        self._source = open_video_source(self._name)
        self._info = read_calibration(Path(calibration).expanduser()) if calibration else None
        self._images = self.create_publisher(Image, "image_raw", _QOS)
        self._infos = None if self._info is None else self.create_publisher(CameraInfo, "camera_info", _QOS)
        self._stopped = threading.Event()
        self.context.on_shutdown(self._stopped.set)

    def stop(self) -> None:
        """Makes `run` return after the current image; may be called from any thread."""
        self._stopped.set()

    def run(self) -> None:
        """Publishes until the source has ended, `stop` is called or ROS is shut down."""
        self.get_logger().info(f"Publishing {self._name} on {self.resolve_topic_name('image_raw')}")
        while not self._stopped.is_set():
            self._play()
            if isinstance(self._source, CameraSource):
                self._reopen()
            elif not self._loop:
                self.get_logger().info(f"{self._name} has ended")
                return

    def _play(self) -> None:
        period = 0.0 if isinstance(self._source, CameraSource) else 1.0 / (self._fps or self._source.fps)
        due = time.monotonic()
        for frame in self._source:
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                return
            self._publish(frame)
            due = max(due, time.monotonic() - period) + period  # late frames are not published in a burst
        if self._source.damage is not None:
            self.get_logger().warning(self._source.damage, throttle_duration_sec=10.0)

    def _publish(self, frame: SourceFrame) -> None:
        header = Header(frame_id=self._frame_id, stamp=self.get_clock().now().to_msg())
        try:
            image = frame.decode()
        except ValueError as error:
            self.get_logger().warning(f"Image skipped: {error}", throttle_duration_sec=5.0)
            return
        self._images.publish(image_message(header, image))
        if self._infos is not None and self._info is not None:
            self._info.header = header
            self._infos.publish(self._info)

    def _reopen(self) -> None:
        self.get_logger().warning(
            f"{self._source.name} delivers no more images; trying again", throttle_duration_sec=10.0
        )
        while not self._stopped.wait(_RETRY):
            try:
                self._source = open_video_source(self._name)
                return
            except ValueError as error:
                self.get_logger().warning(str(error), throttle_duration_sec=10.0)

    def _declare(self, name: str, default: object, description: str) -> object:
        descriptor = ParameterDescriptor(description=description, read_only=True)
        descriptor.dynamic_typing = name == "source"  # `source:=0` is an integer in ROS
        if name == "fps":
            descriptor.floating_point_range = [FloatingPointRange(from_value=0.0, to_value=1000.0)]
        return self.declare_parameter(name, default, descriptor).value


def main(args: list[str] | None = None) -> int:
    """Runs the camera; returns the exit status: 0 at the end of the source, 2 if it cannot be used."""
    ending = Ending()
    if wants_help(args):
        text = "Publishes a webcam, a video file or a folder of images as a ROS camera."
        print(help_text("video_camera", text, PARAMETERS, ["image_raw", "camera_info"]))
        return 0
    return run_program("video_camera", VideoCamera, args, ending)


if __name__ == "__main__":
    sys.exit(main())
