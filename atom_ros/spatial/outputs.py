# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The targets in space: bearings from `camera_info`, positions from an aligned `depth` image."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from geometry_msgs.msg import PointStamped, PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from atom_core.boxes import Box
from atom_ros.frame_buffer import NANOSECONDS, Frame, FrameBuffer
from atom_ros.input.watch import CAMERA_INFO, IMAGE, Input, camera_info_topic
from atom_ros.outputs.markers import PlacedTarget, marker_array, point_message, pose_message, transform_message
from atom_ros.parameters import Settings
from atom_ros.report import Report
from atom_ros.spatial import frames
from atom_ros.spatial.depth import box_in_depth_image, depth_values, distance
from atom_ros.spatial.geometry import CameraModel

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # an optional package: without it the node publishes no transforms
    TFMessage = None

_RELIABLE = QoSProfile(depth=10)
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_TF = QoSProfile(depth=100)
_DEPTH_SECONDS, _DEPTH_BYTES = 2.0, 64_000_000  # kept: the tracker's maximum delay
_LOG_INTERVAL = 5.0  # s between two messages about the same input
_RETRY_PERIOD = 0.02  # s; transforms come at 20 to 100 Hz
_MOST_WAITING = 100  # positions that wait for their transforms


@dataclass(frozen=True)
class _Result:
    """The visible targets of a frame, from the tracker's result to the publication of their positions."""

    frame: Frame
    targets: list[PlacedTarget]
    image_size: tuple[int, int]
    first_id: int  # the target of the topics without ids


@dataclass(frozen=True)
class _Waiting:
    """A position (3,) in its image's frame, and the time.monotonic() (s) until which it waits for a transform."""

    header: Header
    position: np.ndarray
    until: float


class SpatialOutputs:
    """Publishers of bearings, positions, markers and transforms. Outputs without a subscriber are not computed.

    A depth image belongs to an image if their stamps differ by no more than the tolerance. If it comes after the
    tracker's result, the result waits for it until the next result. A position in another frame waits for the transform
    of its image's time, for up to the parameter `transform_wait`.
    """

    def __init__(self, node: LifecycleNode, settings: Settings) -> None:
        self._node = node
        self._settings = settings
        self._lock = threading.RLock()  # the executor's thread delivers infos and depths, the worker's the reports
        self._markers = node.create_lifecycle_publisher(MarkerArray, "~/markers", _RELIABLE)
        self._bearing = node.create_lifecycle_publisher(PointStamped, "~/bearing", _RELIABLE)
        self._position = node.create_lifecycle_publisher(PoseStamped, "~/position", _RELIABLE)
        self._transforms = None
        if settings.publish_tf and TFMessage is None:
            node.get_logger().warning("publish_tf is on, but the package tf2_msgs is not installed: no transforms")
        elif settings.publish_tf:
            self._transforms = node.create_lifecycle_publisher(TFMessage, "/tf", _TF)
        if settings.target_frame and frames.tf2_ros is None:
            node.get_logger().warning(
                f"target_frame is '{settings.target_frame}', but the package tf2_ros is not installed: no positions; "
                "install it, or leave target_frame empty for positions in the camera's frame"
            )
        self._frames: frames.Frames | None = None
        self._retry: Timer | None = None
        self._late: deque[_Waiting] = deque(maxlen=_MOST_WAITING)
        self._subscriptions: list[Subscription] = []
        self._topics: dict[str, str] = {}  # full names, by names before remapping
        self.received = {"camera_info": 0, "depth": 0}  # messages since the start
        self._calibration: tuple | None = None
        self._camera: CameraModel | None = None
        self._depths = FrameBuffer(_DEPTH_SECONDS, _DEPTH_BYTES)
        self._waiting: _Result | None = None
        self._shown: set[int] = set()  # targets with markers
        self._header = Header()  # of the newest image
        self._complaints: dict[str, tuple[str, float]] = {}  # by input: the newest complaint, and its time (s)

    def start(self, image: str) -> None:
        """Subscribes to the calibration and to `depth`.

        Args:
            image: full name of the image's topic; the calibration is expected beside it.
        """
        self._topics = {
            "camera_info": camera_info_topic(self._node, image),
            "depth": self._node.resolve_topic_name("depth"),
        }
        self.received.update(camera_info=0, depth=0)
        create = self._node.create_subscription
        self._subscriptions = [
            create(CameraInfo, self._topics["camera_info"], self._on_camera_info, qos_profile_sensor_data),
            # A latched calibration reaches only a transient-local subscription, which a volatile publisher does not
            # reach. If both get the same message, the second is ignored.
            create(CameraInfo, self._topics["camera_info"], self._on_camera_info, _LATCHED),
            create(Image, self._topics["depth"], self._on_depth, qos_profile_sensor_data),
        ]
        if self._settings.target_frame and frames.tf2_ros is not None:
            self._frames = frames.Frames(self._node)
            clock = Clock(clock_type=ClockType.STEADY_TIME)
            self._retry = self._node.create_timer(_RETRY_PERIOD, self._publish_late, clock=clock)

    def inputs(self) -> list[Input]:
        """The inputs to watch while subscribed."""
        return [
            Input(
                "camera_info",
                self._topics["camera_info"],
                CAMERA_INFO,
                lambda: self.received["camera_info"],
                self._is_wanted,
            ),
            Input("depth", self._topics["depth"], IMAGE, lambda: self.received["depth"], self._is_depth_wanted),
        ]

    def condition(self, missing: Mapping[str, str]) -> dict[str, str]:
        """The state of calibration and depth, in words. Args: `missing` describes missing inputs."""
        with self._lock:
            words = {}
            for name, title, is_there in (
                ("camera_info", "calibration", self._camera is not None),
                ("depth", "depth", self.received["depth"] > 0),
            ):
                complaint = self._complaints.get(name, ("",))[0] if self.received[name] else ""
                topic = self._topics.get(name, "")
                words[title] = (
                    f"missing: {missing[name]}"
                    if missing.get(name)
                    else f"unusable: {complaint}"
                    if complaint and not (name == "camera_info" and is_there)
                    else f"from {topic}"
                    if is_there
                    else "none"
                )
            if self._settings.target_frame:
                complaint = "tf2_ros is not installed" if frames.tf2_ros is None else ""
                complaint = complaint or self._complaints.get("position", ("",))[0]
                words["target frame"] = f"no position: {complaint}" if complaint else self._settings.target_frame
            return words

    def stop(self) -> None:
        """Unsubscribes and deletes the markers."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        if self._retry is not None:
            self._node.destroy_timer(self._retry)
        if self._frames is not None:
            self._frames.destroy()
        self._frames = self._retry = None
        with self._lock:
            self.forget()
            self._depths.clear()
            self._calibration = self._camera = None

    def destroy(self) -> None:
        """Removes the publishers from the node."""
        for publisher in (self._markers, self._bearing, self._position, self._transforms):
            if publisher is not None:
                self._node.destroy_lifecycle_publisher(publisher)

    def publish(self, reports: Sequence[Report], image_size: tuple[int, int] | None) -> None:
        """Publishes the bearings and positions of one frame's targets.

        Args:
            reports: one for each target, or a single one of status IDLE.
            image_size: (width, height), px; needed if a report has a box.
        """
        with self._lock:
            frame = reports[0].frame
            self._header = frame.message.header
            self._waiting = None
            seen = [report for report in reports if report.box is not None]
            self._delete(self._shown - {report.target_id for report in seen})
            if not seen or image_size is None or not self._is_wanted():
                return
            targets = self._place(seen, image_size)
            first = min(report.target_id for report in reports)
            for target in targets:
                if target.report.target_id == first:
                    self._bearing.publish(point_message(self._header, target.ray))
            self._waiting = _Result(frame, targets, image_size, first)
            self._locate(wait=self._expects_depth(frame))

    def forget(self, target_id: int | None = None) -> None:
        """Deletes the markers of a target, or of all, and drops results that wait for depth or transforms."""
        with self._lock:
            self._waiting = None
            self._late.clear()
            self._delete(self._shown.copy() if target_id is None else self._shown & {target_id})

    # Inputs

    def _on_camera_info(self, info: CameraInfo) -> None:
        self.received["camera_info"] += 1
        roi = info.roi
        calibration = (
            *(info.width, info.height, info.distortion_model, tuple(info.d), tuple(info.k), tuple(info.p)),
            *(info.binning_x, info.binning_y, roi.x_offset, roi.y_offset, roi.width, roi.height),
        )
        if calibration == self._calibration:
            return
        with self._lock:
            self._calibration, self._camera = calibration, None
            try:
                self._camera = CameraModel.from_info(info, self._settings.rectified)
            except ValueError as error:
                self._complain("camera_info", error)

    def _on_depth(self, message: Image) -> None:
        self.received["depth"] += 1
        with self._lock:
            if not self._is_wanted():
                self._depths.clear()
                return
            self._depths.add(message)
            self._locate(wait=True)

    # Positions

    def _place(self, reports: Sequence[Report], image_size: tuple[int, int]) -> list[PlacedTarget]:
        """The bearings of the visible targets; none without a matching calibration."""
        camera = self._camera
        if camera is None:
            return []
        targets = []
        for report in reports:
            assert report.box is not None, "only a visible target has a bearing"
            x, y, width, height = report.box
            try:
                camera.check_size(*image_size)
                (ray,) = camera.rays(np.array([(x + width / 2, y + height / 2)]))
            except (ValueError, cv2.error) as error:
                self._complain("bearing", error)
                continue
            targets.append(PlacedTarget(report, ray, _corners(camera, report.box, image_size)))
        return targets

    def _locate(self, wait: bool) -> None:
        """Publishes the waiting result, with positions if its depth image is there; else it may `wait`."""
        if self._waiting is None:
            return
        result = self._waiting
        depth = self._depth_of(result.frame)
        if depth is None and wait:
            return
        self._waiting = None
        targets = result.targets if depth is None else self._with_positions(result, depth)
        header = result.frame.message.header
        for target in targets:
            if target.position is not None:
                if target.report.target_id == result.first_id:
                    self._publish_position(header, target.position)
                self._publish_transform(header, target.report.target_id, target.position)
        self._show(header, targets)

    def _show(self, header: Header, targets: list[PlacedTarget]) -> None:
        """Publishes the markers; deletes those of targets without a bearing."""
        if self._markers.get_subscription_count() == 0:
            return
        ids = {target.report.target_id for target in targets}
        gone = self._shown - ids
        if ids or gone:
            self._markers.publish(marker_array(header, targets, sorted(gone)))
        self._shown = ids

    def _with_positions(self, result: _Result, depth: Image) -> list[PlacedTarget]:
        targets, depth_size = result.targets, (depth.width, depth.height)
        try:
            values, metres = depth_values(depth)
            depths = [
                distance(values, metres, box_in_depth_image(target.box, result.image_size, depth_size))
                for target in targets
            ]
        except ValueError as error:
            self._complain("depth", error)
            return targets
        return [
            # A depth is the distance along the optical axis; it is meaningless behind the camera.
            t if z is None or t.ray[2] <= 0 else dataclasses.replace(t, position=t.ray * (z / t.ray[2]))
            for t, z in zip(targets, depths, strict=True)
        ]

    def _publish_position(self, header: Header, position: np.ndarray) -> None:
        if not self._settings.target_frame:
            self._position.publish(pose_message(header, position))
        elif self._frames is not None:
            self._late.append(_Waiting(header, position, time.monotonic() + self._settings.transform_wait))
            self._publish_late()

    def _publish_late(self) -> None:
        """Publishes the positions whose transforms have come, in order; drops those that waited too long."""
        with self._lock:
            while self._late and self._frames is not None:
                waiting, frame = self._late[0], self._settings.target_frame
                try:
                    position = self._frames.place(waiting.position, waiting.header, frame)
                except LookupError as error:
                    if time.monotonic() < waiting.until:
                        return
                    source, stamp = waiting.header.frame_id, waiting.header.stamp
                    self._complain(
                        "position",
                        f"no transform from '{source}' to '{frame}' (the parameter target_frame) of the image's time "
                        f"{stamp.sec}.{stamp.nanosec:09d} within transform_wait: {error}",
                    )
                else:
                    header = Header(stamp=waiting.header.stamp, frame_id=frame)
                    self._position.publish(pose_message(header, position))
                    self._complaints["position"] = "", self._complaints.get("position", ("", -_LOG_INTERVAL))[1]
                self._late.popleft()

    def _publish_transform(self, header: Header, target_id: int, position: np.ndarray) -> None:
        if self._transforms is None:
            return
        if not header.frame_id:
            self._complain("transforms", "the images' frame_id is empty, so there is no frame to place the target in")
            return
        child_frame = f"{self._settings.tf_prefix}{target_id}"
        transform = transform_message(header, child_frame, position)
        self._transforms.publish(TFMessage(transforms=[transform]))

    def _depth_of(self, frame: Frame) -> Image | None:
        if frame.stamp == 0:  # no stamps: depth and image cannot be matched
            return None
        try:
            return self._depths.at(frame.stamp, round(self._settings.depth_tolerance * NANOSECONDS)).message
        except LookupError:
            return None

    def _expects_depth(self, frame: Frame) -> bool:
        """Whether depth images arrive, so that this frame's may follow."""
        try:
            newest = self._depths.newest().stamp
        except LookupError:
            return False
        return frame.stamp - NANOSECONDS < newest < frame.stamp

    # Messages

    def _is_wanted(self) -> bool:
        publishers = (self._markers, self._bearing, self._position)
        return self._transforms is not None or any(p.get_subscription_count() > 0 for p in publishers)

    def _is_depth_wanted(self) -> bool:
        return self._transforms is not None or self._position.get_subscription_count() > 0

    def _delete(self, target_ids: set[int]) -> None:
        if target_ids and self._node.context.ok():  # nothing can be published after Ctrl-C
            self._markers.publish(marker_array(self._header, (), sorted(target_ids)))
        self._shown -= target_ids

    def _complain(self, subject: str, trouble: ValueError | cv2.error | str) -> None:
        """Logs an input's fault once, and at a limited rate if the reason changes."""
        now = time.monotonic()
        text, since = self._complaints.get(subject, ("", -_LOG_INTERVAL))
        if text != str(trouble) and now - since >= _LOG_INTERVAL:
            self._complaints[subject] = str(trouble), now
            self._node.get_logger().warning(f"No {subject}: {trouble}")


def _corners(camera: CameraModel, box: Box, image_size: tuple[int, int]) -> np.ndarray | None:
    """Rays (4, 3) to the corners of the box's part inside the image; None if they have none."""
    x, y, width, height = box
    left, right = np.clip((x, x + width), 0, image_size[0] - 1)
    top, bottom = np.clip((y, y + height), 0, image_size[1] - 1)
    try:
        return camera.rays(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))
    except (ValueError, cv2.error):
        return None  # the distortion model may not cover the image's corners; the outline is only for display
