# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from array import array
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PointStamped, PoseStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from robot import Robot, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import ImageMarker, Marker, MarkerArray

from atom_ros.frame_buffer import Frame
from atom_ros.outputs.annotations import ImageAnnotations
from atom_ros.outputs.diagnostics import Statistics
from atom_ros.outputs.publishers import Outputs
from atom_ros.parameters import declare
from atom_ros.report import Report, Status
from atom_ros.run_tracker import spinning

PICTURE = np.zeros((20, 30, 3), np.uint8)
NO_PICTURE = np.zeros((0,), np.uint8)  # drawing on it raises


@pytest.fixture
def node() -> Iterator[LifecycleNode]:
    context = Context()
    rclpy.init(context=context)
    node = LifecycleNode("tracker", namespace="/outputs", context=context)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot("/outputs")
    yield robot
    robot.close()


def _report(second: int) -> Report:
    message = Image(width=30, height=20)
    message.header.frame_id = "camera_optical"
    message.header.stamp.sec = second
    return Report(Frame(second, message), 1, Status.TRACKING, (1.0, 2.0, 3.0, 4.0), 0.9, 0.8, 5.0)


def test_the_debug_image_is_drawn_only_while_somebody_subscribes(node: LifecycleNode, robot: Robot) -> None:
    outputs = Outputs(node, Statistics(), declare(node))
    node.trigger_configure()
    node.trigger_activate()
    assert not outputs.wants_image()
    outputs.publish([_report(1)], NO_PICTURE)  # is not drawn on

    images: list[Image] = []
    subscription = robot.node.create_subscription(Image, "tracker/debug_image", images.append, 10)
    wait_until(outputs.wants_image, "the subscription")
    with pytest.raises(ValueError):
        outputs.publish([_report(2)], NO_PICTURE)
    seconds = iter(range(3, 10_000))
    wait_until(lambda: outputs.publish([_report(next(seconds))], PICTURE) or images, "a debug image")
    assert (images[0].width, images[0].height) == (30, 20)

    robot.node.destroy_subscription(subscription)
    wait_until(lambda: not outputs.wants_image(), "the end of the subscription")
    outputs.publish([_report(10_000)], NO_PICTURE)


def test_latency_is_counted(node: LifecycleNode) -> None:
    statistics = Statistics()
    outputs = Outputs(node, statistics, declare(node))
    now = node.get_clock().now().nanoseconds // 1_000_000_000
    outputs.publish([_report(now - 50)], None)
    assert 49_000 < statistics.snapshot().latency_ms < 60_000


def test_destroying_removes_the_publishers(node: LifecycleNode) -> None:
    before = len(list(node.publishers))
    outputs = Outputs(node, Statistics(), declare(node))
    assert len(list(node.publishers)) > before
    outputs.destroy()
    assert len(list(node.publishers)) == before


@pytest.fixture
def active(node: LifecycleNode) -> Iterator[Outputs]:
    outputs = Outputs(node, Statistics(), declare(node))
    node.trigger_configure()
    node.trigger_activate()
    with spinning(node, SingleThreadedExecutor(context=node.context)):
        outputs.start(node.resolve_topic_name("image"))
        yield outputs
        outputs.stop()
    outputs.destroy()


def test_the_compressed_debug_image_is_a_jpeg(active: Outputs, robot: Robot) -> None:
    images: list[CompressedImage] = []
    robot.node.create_subscription(CompressedImage, "tracker/debug_image/compressed", images.append, 10)
    wait_until(active.wants_image, "the subscription")
    seconds = iter(range(1, 10_000))
    wait_until(lambda: active.publish([_report(next(seconds))], PICTURE) or images, "a debug image")
    assert images[0].format == "jpeg"
    assert cv2.imdecode(np.frombuffer(bytes(images[0].data), np.uint8), cv2.IMREAD_COLOR).shape == (20, 30, 3)


def test_lines_over_the_image_go_when_the_target_is_lost(active: Outputs, robot: Robot) -> None:
    markers: list[ImageMarker] = []
    robot.node.create_subscription(ImageMarker, "tracker/image_markers", markers.append, 10)
    seconds = iter(range(1, 10_000))
    wait_until(lambda: active.publish([_report(next(seconds))], None) or markers, "a marker")
    assert markers[-1].action == ImageMarker.ADD and markers[-1].header.frame_id == "camera_optical"
    assert [(p.x, p.y) for p in markers[-1].points[:2]] == [(1.0, 2.0), (4.0, 2.0)]  # the box's upper edge
    lost = dataclasses.replace(_report(next(seconds)), status=Status.LOST, box=None)
    active.publish([lost], None)
    wait_until(lambda: markers[-1].action == ImageMarker.REMOVE, "the marker's end")


def test_lines_over_the_image_go_without_another_image(active: Outputs, robot: Robot) -> None:
    markers: list[ImageMarker] = []
    robot.node.create_subscription(ImageMarker, "tracker/image_markers", markers.append, 10)
    seconds = iter(range(1, 10_000))
    wait_until(lambda: active.publish([_report(next(seconds))], PICTURE) or markers, "a marker")
    active.forget()
    wait_until(lambda: markers[-1].action == ImageMarker.REMOVE, "the marker's end")


def test_annotations_come_and_go_where_their_package_is_installed(
    node: LifecycleNode, active: Outputs, robot: Robot
) -> None:
    if ImageAnnotations is None:
        topics = {publisher.topic_name.rpartition("/")[2] for publisher in node.publishers}
        assert "image_markers" in topics and "annotations" not in topics
        pytest.skip("the package foxglove_msgs is not installed")
    received: list[ImageAnnotations] = []
    robot.node.create_subscription(ImageAnnotations, "tracker/annotations", received.append, 10)
    seconds = iter(range(1, 10_000))
    wait_until(lambda: active.publish([_report(next(seconds))], None) or received, "an annotation")
    assert received[-1].texts[0].text == "1 TRACKING 0.90"
    active.forget()
    wait_until(lambda: not received[-1].texts, "its end")


def test_lines_over_a_compressed_image_go_when_there_is_no_target(active: Outputs, robot: Robot) -> None:
    markers: list[ImageMarker] = []
    robot.node.create_subscription(ImageMarker, "tracker/image_markers", markers.append, 10)
    seconds = iter(range(1, 10_000))
    idle = Report(Frame(1, CompressedImage()), 1)  # nobody has decoded the image, whose size is unknown
    wait_until(lambda: active.publish([_report(next(seconds))], PICTURE) or markers, "a marker")
    active.publish([idle], None)
    wait_until(lambda: markers[-1].action == ImageMarker.REMOVE, "the marker's end")


def test_bearing_and_position_from_camera_info_and_depth(active: Outputs, robot: Robot) -> None:
    bearings: list[PointStamped] = []
    positions: list[PoseStamped] = []
    markers: list[MarkerArray] = []
    robot.node.create_subscription(PointStamped, "tracker/bearing", bearings.append, 10)
    robot.node.create_subscription(PoseStamped, "tracker/position", positions.append, 10)
    robot.node.create_subscription(MarkerArray, "tracker/markers", markers.append, 10)
    infos = robot.camera(CameraInfo, "camera_info", "BEST_EFFORT")
    depths = robot.camera(Image, "depth", "BEST_EFFORT")
    # Focal length 10 px, the axis through (14.5, 9.5). The box's centre is (2.5, 4): 12 px left and 5.5 px up.
    k = [10.0, 0.0, 14.5, 0.0, 10.0, 9.5, 0.0, 0.0, 1.0]
    info = CameraInfo(width=30, height=20, k=k, distortion_model="plumb_bob", d=[0.0] * 5)
    ticks = iter(range(10_000))

    def publish() -> None:
        report = _report(1)
        stamp = report.frame.message.header.stamp
        stamp.sec, stamp.nanosec = divmod(next(ticks) * 50_000_000, 1_000_000_000)  # a camera of 20 Hz
        infos.publish(info)
        depth = Image(header=report.frame.message.header, width=30, height=20, step=60, encoding="16UC1")
        depth.data = array("B", np.full((20, 30), 2000, np.uint16).tobytes())  # mm
        depths.publish(depth)
        active.publish([report], None)

    wait_until(lambda: publish() or (bearings and positions and markers), "a position")
    ray, place = bearings[-1].point, positions[-1].pose.position
    length = (12**2 + 5.5**2 + 10**2) ** 0.5
    assert (ray.x, ray.y, ray.z) == pytest.approx((-12 / length, -5.5 / length, 10 / length), abs=1e-6)
    assert (place.x, place.y, place.z) == pytest.approx((-2.4, -1.1, 2.0), abs=1e-6)  # 2 m along the axis
    assert bearings[-1].header.frame_id == positions[-1].header.frame_id == "camera_optical"
    wait_until(lambda: publish() or any(m.action == Marker.ADD for a in markers for m in a.markers), "a marker")
    active.forget()
    wait_until(lambda: any(m.action == Marker.DELETE for m in markers[-1].markers), "the markers' end")


def test_stopping_after_the_context_has_gone(active: Outputs, node: LifecycleNode, robot: Robot) -> None:
    """After Ctrl-C, when nothing can be published any more. The fixture destroys the outputs."""
    markers: list[MarkerArray] = []
    robot.node.create_subscription(MarkerArray, "tracker/markers", markers.append, 10)
    infos = robot.camera(CameraInfo, "camera_info", "BEST_EFFORT")
    info = CameraInfo(width=30, height=20, k=[10.0, 0.0, 14.5, 0.0, 10.0, 9.5, 0.0, 0.0, 1.0])
    seconds = iter(range(1, 10_000))
    wait_until(lambda: infos.publish(info) or active.publish([_report(next(seconds))], PICTURE) or markers, "a marker")
    rclpy.shutdown(context=node.context)
    active.stop()
