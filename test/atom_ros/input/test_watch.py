# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot import wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from atom_ros.input.watch import (
    CAMERA_INFO,
    COMPRESSED,
    IMAGE,
    PATIENCE,
    Input,
    InputWatch,
    Offer,
    camera_info_topic,
    explain,
)
from atom_ros.parameters import TABLE, Settings
from atom_ros.spatial.outputs import SpatialOutputs

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
VOLATILE = QoSProfile(depth=1)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
INFO = CameraInfo(width=40, height=20, k=(10.0, 0.0, 20.0, 0.0, 10.0, 10.0, 0.0, 0.0, 1.0))


class Rig:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._executor = SingleThreadedExecutor(context=context)
        self.camera = self._add(Node("camera", namespace="/watch", context=context))
        self.tracker = self._add(self.node("watched"))

    def node(self, name: str, *remappings: str) -> LifecycleNode:
        arguments = [word for remapping in remappings for word in ("-r", remapping)]
        cli_args = ["--ros-args", *arguments]
        return LifecycleNode(name, namespace="/watch", context=self._context, cli_args=cli_args)

    def _add(self, node: Node) -> Node:
        self._executor.add_node(node)
        return node

    def until(self, condition: object, what: str) -> None:
        wait_until(lambda: self._executor.spin_once(timeout_sec=0.02) or condition(), what)

    def close(self) -> None:
        self._executor.shutdown()
        for node in (self.camera, self.tracker):
            node.destroy_node()


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    context = Context()
    rclpy.init(context=context)
    rig = Rig(context)
    yield rig
    rig.close()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize("qos", [LATCHED, VOLATILE])
def test_a_calibration_is_heard_of_both_kinds_of_publishers(rig: Rig, qos: QoSProfile) -> None:
    """The latched one is sent before anybody subscribes, and never again."""
    publisher = rig.camera.create_publisher(CameraInfo, "/watch/cam/camera_info", qos)
    publisher.publish(INFO)
    outputs = SpatialOutputs(rig.tracker, Settings.from_values({spec.name: spec.default for spec in TABLE}))
    outputs.start("/watch/cam/image_raw")

    def is_heard() -> bool:
        if qos is VOLATILE:
            publisher.publish(INFO)
        return outputs.received["camera_info"] > 0

    rig.until(is_heard, "the calibration")
    assert outputs.condition({})["calibration"] == "from /watch/cam/camera_info"
    outputs.stop()
    outputs.destroy()
    rig.camera.destroy_publisher(publisher)


@pytest.mark.parametrize(
    ("remappings", "expected"),
    [
        ((), "/watch/camera_info"),
        (("image:=/cam/color/image_raw",), "/cam/color/camera_info"),
        (("image:=/cam/image_raw", "camera_info:=camera_info"), "/cam/camera_info"),  # as the launch file does
        (("image:=/cam/image_raw", "camera_info:=/left/camera_info"), "/left/camera_info"),
    ],
)
def test_the_calibration_is_beside_the_image_unless_it_was_remapped(rig: Rig, remappings: tuple, expected: str) -> None:
    node = rig.node("remapped", *remappings)
    assert camera_info_topic(node, node.resolve_topic_name("image")) == expected
    node.destroy_node()


def test_an_input_of_another_type_is_named_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = rig.camera.create_publisher(PointCloud2, "/watch/image", 1)
    rig.until(lambda: rig.tracker.get_publishers_info_by_topic("/watch/image"), "the discovery")
    now, count, logged = 0.0, 0, []
    monkeypatch.setattr(rig.tracker, "get_logger", lambda: SimpleNamespace(warning=logged.append))
    entry = Input("image", "/watch/image", IMAGE, lambda: count)
    watch = InputWatch(rig.tracker, [entry], lambda: now)
    assert watch.check() == {"image": ""}  # it may still come
    now = PATIENCE
    reason = watch.check()["image"]
    assert "carries sensor_msgs/msg/PointCloud2 (of /watch/camera), not sensor_msgs/msg/Image" in reason
    now = 2 * PATIENCE
    assert watch.check()["image"] == reason
    assert logged == [f"No image: {reason}"]
    count = 1
    assert watch.check() == {"image": ""}
    rig.camera.destroy_publisher(publisher)


def test_a_topic_that_is_only_subscribed_to_is_not_offered_instead(rig: Rig) -> None:
    now = 0.0
    rig.tracker.create_subscription(Image, "/watch/left_depth", print, 1)  # as the node itself does
    rig.camera.create_subscription(Image, "/watch/viewer", print, 1)
    rig.until(lambda: rig.tracker.count_subscribers("/watch/viewer"), "the discovery")
    watch = InputWatch(rig.tracker, [Input("image", "/watch/image", IMAGE, lambda: 0)], lambda: now)
    now = PATIENCE
    reason = watch.check()["image"]
    assert reason.startswith("nobody publishes /watch/image; there is no topic with sensor_msgs/msg/Image"), reason
    publisher = rig.camera.create_publisher(Image, "/watch/viewer", 1)
    rig.until(lambda: "there is /watch/viewer: remap it" in watch.check()["image"], "the publisher")
    rig.camera.destroy_publisher(publisher)


def test_what_nobody_wants_is_not_missed_unless_it_is_published(rig: Rig) -> None:
    now = 0.0
    entry = Input("depth", "/watch/depth", IMAGE, lambda: 0, is_wanted=lambda: False)
    watch = InputWatch(rig.tracker, [entry], lambda: now)
    now = PATIENCE
    assert watch.check() == {"depth": ""}
    publisher = rig.camera.create_publisher(CompressedImage, "/watch/depth", 1)
    rig.until(lambda: watch.check()["depth"], "the publisher")
    assert "only raw images are read here" in watch.check()["depth"]
    rig.camera.destroy_publisher(publisher)


def _input(
    name: str = "image", topic: str = "/image", message_type: str = IMAGE, qos: QoSProfile | None = None
) -> Input:
    return Input(name, topic, message_type, lambda: 0, qos=None if qos is None else lambda: qos)


@pytest.mark.parametrize(
    ("entry", "offers", "topics", "expected"),
    [
        (_input(), [], {"/cam/image_raw": [IMAGE]}, "nobody publishes /image; .* image:=/cam/image_raw"),
        (
            _input(),
            [],
            {"/cam/image_raw/compressed": [COMPRESSED]},
            "set image_transport:=compressed and image:=/cam/image_raw$",
        ),
        (
            _input(message_type=COMPRESSED, topic="/image/compressed"),
            [],
            {"/cam/image_raw": [IMAGE]},
            "set image_transport:=raw and image:=/cam/image_raw",
        ),
        (_input(), [], {}, "no topic with sensor_msgs/msg/Image; is the camera running"),
        (
            _input(topic="/cam/compressed"),
            [Offer(COMPRESSED, VOLATILE, "/cam")],
            {},
            "set image_transport:=compressed and image:=/cam$",
        ),
        (
            _input(qos=VOLATILE),
            [Offer(IMAGE, BEST_EFFORT, "/cam")],
            {},
            "/cam publishes /image as best_effort and volatile, the node asks for reliable and volatile; set qos",
        ),
        (_input(qos=BEST_EFFORT), [Offer(IMAGE, VOLATILE, "/cam")], {}, "/cam publishes /image, but sends nothing"),
        (
            _input("camera_info", "/cam/camera_info", CAMERA_INFO),
            [],
            {"/other/camera_info": [CAMERA_INFO]},
            "camera_info:=/other/camera_info",
        ),
    ],
)
def test_the_reason_says_what_is_there_and_what_to_change(
    entry: Input, offers: list[Offer], topics: dict[str, list[str]], expected: str
) -> None:
    assert re.search(expected, explain(entry, offers, topics))
