# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""When places in space are published, and from which depth; the messages over DDS are in test_outputs.py."""

from __future__ import annotations

import array
import dataclasses
from dataclasses import dataclass, field

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from atom_ros.frame_buffer import Frame, to_nanoseconds
from atom_ros.parameters import TABLE, Settings
from atom_ros.report import Report, Status
from atom_ros.spatial import frames, outputs
from atom_ros.spatial.geometry import CameraModel
from atom_ros.spatial.outputs import SpatialOutputs

WIDTH, HEIGHT = 40, 20
# Focal length 10 px, the axis through (20, 10). The box's centre is (25, 10), so the ray is (0.5, 0, 1) / sqrt(1.25).
INFO = CameraInfo(width=WIDTH, height=HEIGHT, k=(10.0, 0.0, 20.0, 0.0, 10.0, 10.0, 0.0, 0.0, 1.0))
BOX = (22.0, 6.0, 6.0, 8.0)
MILLISECOND = 1_000_000


class FakePublisher:
    def __init__(self) -> None:
        self.messages: list = []
        self.subscribers = 1

    def get_subscription_count(self) -> int:
        return self.subscribers

    def publish(self, message: object) -> None:
        self.messages.append(message)


@dataclass
class FakeNode:
    """What SpatialOutputs needs of a node; a message is delivered by calling its callback."""

    publishers: dict[str, FakePublisher] = field(default_factory=dict)
    callbacks: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def create_lifecycle_publisher(self, _: type, topic: str, __: object) -> FakePublisher:
        return self.publishers.setdefault(topic, FakePublisher())

    def create_subscription(self, _: type, topic: str, callback: object, __: object) -> str:
        self.callbacks[topic] = callback
        return topic

    def destroy_subscription(self, topic: str) -> None:
        self.callbacks.pop(topic, None)  # of the calibration there are two

    def create_timer(self, _: float, callback: object, clock: object) -> str:
        self.callbacks["timer"] = callback
        return "timer"

    destroy_timer = destroy_subscription

    def resolve_topic_name(self, topic: str) -> str:
        return f"/{topic}"

    def get_namespace(self) -> str:
        return "/"

    @property
    def context(self) -> FakeNode:
        return self

    def ok(self) -> bool:
        return True

    def get_logger(self) -> FakeNode:
        return self

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@dataclass
class TFMessage:
    """The message of tf2_msgs, which is not among the packages that pip can install."""

    transforms: list[TransformStamped]


class FakeFrames:
    """Stands for tf2_ros, which pip cannot install: the camera is 10 m from the frame's origin, when that is known."""

    def __init__(self, node: FakeNode) -> None:
        self.known: set[int] = set()  # times in ms
        node.frames = self

    def place(self, position: np.ndarray, header: Header, target_frame: str) -> np.ndarray:
        if to_nanoseconds(header.stamp) // MILLISECOND not in self.known:
            raise LookupError("tf2 does not know it")
        return position + np.array([10.0, 0.0, 0.0])

    def destroy(self) -> None:
        self.known.clear()


@pytest.fixture
def odom(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Positions in the frame odom."""
    monkeypatch.setattr(frames, "tf2_ros", object())
    monkeypatch.setattr(frames, "Frames", FakeFrames)
    return Rig(target_frame="odom", transform_wait=10.0)


class Rig:
    def __init__(self, **parameters: object) -> None:
        self.node = FakeNode()
        values = {spec.name: spec.default for spec in TABLE} | parameters
        self.outputs = SpatialOutputs(self.node, Settings.from_values(values))
        self.outputs.start("/camera/image_raw")
        self.info(INFO)

    def sent(self, topic: str) -> list:
        return self.node.publishers[topic].messages

    def info(self, info: CameraInfo) -> None:
        self.node.callbacks["/camera/camera_info"](info)

    def depth(self, milliseconds: int, metres: float = 2.0, **fields: object) -> None:
        message = Image(width=WIDTH, height=HEIGHT, step=4 * WIDTH, encoding="32FC1", **fields)
        message.data = array.array("B", np.full((HEIGHT, WIDTH), metres, np.float32).tobytes())
        self.stamp(message, milliseconds)
        self.node.callbacks["/depth"](message)

    def see(self, milliseconds: int, *target_ids: int, frame_id: str = "camera", lost: tuple[int, ...] = ()) -> None:
        """Reports the targets of an image, those in `lost` as not seen."""
        message = Image(width=WIDTH, height=HEIGHT)
        message.header.frame_id = frame_id
        self.stamp(message, milliseconds)
        frame = Frame(1, message)
        reports = [Report(frame, number, Status.TRACKING, BOX, 0.9, 0.8) for number in target_ids or (1,)]
        reports = [dataclasses.replace(r, status=Status.LOST, box=None) if r.target_id in lost else r for r in reports]
        self.outputs.publish(reports, (WIDTH, HEIGHT))

    def positions(self) -> list[tuple[int, float]]:
        """Stamp (ms) and z of each position that was published."""
        messages = self.sent("~/position")
        return [(to_nanoseconds(m.header.stamp) // MILLISECOND, m.pose.position.z) for m in messages]

    def actions(self) -> dict[int, int]:
        """By target, the newest action of its arrow."""
        arrows = [m for array in self.sent("~/markers") for m in array.markers if m.ns == "bearing"]
        return {marker.id: marker.action for marker in arrows}

    @staticmethod
    def stamp(message: Image, milliseconds: int) -> None:
        message.header.stamp.sec, rest = divmod(milliseconds, 1000)
        message.header.stamp.nanosec = rest * MILLISECOND


def test_the_bearing_needs_no_depth() -> None:
    rig = Rig()
    rig.see(1000)
    (bearing,) = rig.sent("~/bearing")
    assert (bearing.header.stamp.sec, bearing.header.frame_id) == (1, "camera")
    assert (bearing.point.x, bearing.point.y, bearing.point.z) == pytest.approx((0.5 / 1.25**0.5, 0, 1 / 1.25**0.5))
    assert rig.positions() == [] and rig.actions() == {1: Marker.ADD}


def test_a_depth_that_is_there_gives_the_position() -> None:
    rig = Rig()
    rig.depth(1000, metres=2.0)
    rig.see(1000)
    assert rig.positions() == [(1000, 2.0)]
    assert rig.sent("~/position")[0].pose.position.x == pytest.approx(1.0)


def test_a_depth_that_comes_after_the_result_is_waited_for() -> None:
    rig = Rig()
    rig.depth(900, metres=9.0)
    rig.see(1000)
    assert rig.positions() == [] and rig.actions() == {} and len(rig.sent("~/bearing")) == 1
    rig.depth(1000, metres=2.0)
    rig.depth(1100, metres=9.0)
    assert rig.positions() == [(1000, 2.0)] and rig.actions() == {1: Marker.ADD}


@pytest.mark.parametrize(("milliseconds", "is_near"), [(979, False), (981, True), (1019, True), (1021, False)])
def test_the_stamps_may_differ_by_the_tolerance(milliseconds: int, is_near: bool) -> None:
    rig = Rig(depth_tolerance=0.02)
    rig.depth(milliseconds)
    rig.see(1000)
    assert bool(rig.positions()) is is_near


def test_a_stale_depth_is_never_used() -> None:
    rig = Rig()
    rig.depth(1000)
    rig.see(1000)
    for milliseconds in range(1100, 5000, 100):  # the depth camera has stopped
        rig.see(milliseconds)
    assert rig.positions() == [(1000, 2.0)]
    assert len(rig.sent("~/bearing")) == 40
    newest = rig.sent("~/markers")[-1].markers[0]
    assert (newest.header.stamp.sec, newest.header.stamp.nanosec) == (4, 900 * MILLISECOND), "of the bearing alone"


def test_images_without_stamps_have_no_depth() -> None:
    rig = Rig()
    rig.depth(0)
    rig.see(0)
    assert rig.positions() == []


def test_a_lost_target_is_nowhere() -> None:
    rig = Rig()
    rig.depth(1000)
    rig.see(1000)
    rig.depth(1100)
    rig.see(1100, 1, lost=(1,))
    assert rig.positions() == [(1000, 2.0)] and len(rig.sent("~/bearing")) == 1
    assert rig.actions() == {1: Marker.DELETE}


def test_a_result_that_waits_is_not_published_after_the_target_is_lost_or_removed() -> None:
    rig = Rig()
    rig.depth(900)
    rig.see(1000)
    rig.see(1050, 1, lost=(1,))
    rig.depth(1000)
    rig.see(1100)
    rig.outputs.forget(1)
    rig.depth(1100)
    assert rig.positions() == [] and rig.actions() == {}


def test_the_topics_without_numbers_are_about_the_lowest() -> None:
    rig = Rig()
    rig.depth(1000)
    rig.see(1000, 2, 5)
    assert len(rig.sent("~/bearing")) == len(rig.positions()) == 1
    assert rig.actions() == {2: Marker.ADD, 5: Marker.ADD}
    rig.depth(1100)
    rig.see(1100, 2, 5, lost=(2,))
    assert len(rig.sent("~/bearing")) == len(rig.positions()) == 1, "not of another target instead"
    assert rig.actions() == {2: Marker.DELETE, 5: Marker.ADD}


def test_removing_and_stopping_delete_the_markers() -> None:
    rig = Rig()
    rig.see(1000, 1, 2, 3)
    rig.outputs.forget(2)
    assert rig.actions() == {1: Marker.ADD, 2: Marker.DELETE, 3: Marker.ADD}
    rig.outputs.stop()
    assert set(rig.actions().values()) == {Marker.DELETE}
    assert rig.node.callbacks == {}


def test_nothing_is_computed_while_nobody_subscribes(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    for publisher in rig.node.publishers.values():
        publisher.subscribers = 0
    monkeypatch.setattr(CameraModel, "rays", None)  # calling it raises
    rig.depth(1000)
    rig.see(1000)
    assert rig.sent("~/bearing") == rig.sent("~/markers") == rig.positions() == []


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (CameraInfo(width=WIDTH, height=HEIGHT), "No camera_info: camera_info's k has fx = 0"),
        (CameraInfo(width=80, height=40, k=INFO.k), "No bearing: camera_info is for 80 x 40 images"),
    ],
)
def test_a_wrong_calibration_is_named_once(info: CameraInfo, expected: str) -> None:
    rig = Rig()
    rig.info(info)
    for milliseconds in (1000, 1100, 1200):
        rig.info(info)
        rig.see(milliseconds)
    assert len(rig.node.warnings) == 1 and rig.node.warnings[0].startswith(expected)
    assert rig.sent("~/bearing") == []
    rig.info(INFO)
    rig.see(1300)
    assert len(rig.sent("~/bearing")) == 1


def test_a_wrong_depth_image_is_named_once_and_the_bearing_stays() -> None:
    rig = Rig()
    for milliseconds in (1000, 1100):
        message = Image(width=2, height=1, encoding="rgb8", step=6, data=bytes(6))
        rig.stamp(message, milliseconds)
        rig.node.callbacks["/depth"](message)
        rig.see(milliseconds)
    assert len(rig.node.warnings) == 1 and "No depth: depth image has encoding 'rgb8'" in rig.node.warnings[0]
    assert len(rig.sent("~/bearing")) == 2 and rig.actions() == {1: Marker.ADD}


def test_transforms_name_their_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "TFMessage", TFMessage)
    rig = Rig(publish_tf=True, tf_prefix="front_")
    rig.depth(1000)
    rig.see(1000, 3, 4)
    transforms = [transform for message in rig.sent("/tf") for transform in message.transforms]
    assert [transform.child_frame_id for transform in transforms] == ["front_3", "front_4"]
    assert transforms[0].header == rig.sent("~/position")[0].header
    assert transforms[0].transform.translation.z == 2.0
    rig.see(1100, 3)  # without a depth
    rig.depth(1200)
    rig.see(1200, 3, frame_id="")
    assert len(rig.sent("/tf")) == 2
    assert rig.node.warnings == [
        "No transforms: the images' frame_id is empty, so there is no frame to place the target in"
    ]


def test_without_tf2_msgs_the_node_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "TFMessage", None)
    rig = Rig(publish_tf=True)
    assert rig.node.warnings == ["publish_tf is on, but the package tf2_msgs is not installed: no transforms"]
    rig.depth(1000)
    rig.see(1000)
    assert "/tf" not in rig.node.publishers and rig.positions() == [(1000, 2.0)]


def test_a_position_in_another_frame_is_that_of_the_image_s_time(odom: Rig) -> None:
    odom.node.frames.known = {1000}
    odom.depth(1000, metres=2.0)
    odom.see(1000)
    (pose,) = odom.sent("~/position")
    assert (pose.header.frame_id, pose.header.stamp.sec) == ("odom", 1)
    assert (pose.pose.position.x, pose.pose.position.z) == pytest.approx((11.0, 2.0))
    assert odom.sent("~/bearing")[0].header.frame_id == "camera", "only the position"
    assert odom.outputs.condition({})["target frame"] == "odom"


def test_positions_wait_for_their_transforms_and_keep_their_order(odom: Rig) -> None:
    for milliseconds in (1000, 1100, 1200):
        odom.depth(milliseconds, metres=milliseconds / 1000)
        odom.see(milliseconds)
    odom.node.frames.known = {1100, 1200}
    odom.node.callbacks["timer"]()
    assert odom.positions() == [], "the oldest is still awaited"
    odom.node.frames.known |= {1000}
    odom.node.callbacks["timer"]()
    assert odom.positions() == [(1000, 1.0), (1100, pytest.approx(1.1)), (1200, pytest.approx(1.2))]
    assert odom.node.warnings == []


def test_without_a_transform_there_is_no_position_and_a_reason(odom: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(outputs.time, "monotonic", lambda: now[0])
    for milliseconds in (1000, 1100):
        odom.depth(milliseconds)
        odom.see(milliseconds)
    now[0] = 109.9
    odom.node.callbacks["timer"]()
    assert odom.node.warnings == []
    now[0] = 110.0
    odom.node.callbacks["timer"]()
    (warning,) = odom.node.warnings
    assert warning == (
        "No position: no transform from 'camera' to 'odom' (the parameter target_frame) of the image's time "
        "1.000000000 within transform_wait: tf2 does not know it"
    )
    assert odom.positions() == [] and warning[13:] in odom.outputs.condition({})["target frame"]
    odom.node.frames.known = {1200}
    odom.depth(1200)
    odom.see(1200)
    assert odom.positions() == [(1200, 2.0)] and odom.outputs.condition({})["target frame"] == "odom"


def test_what_waits_for_a_transform_goes_with_its_target_and_with_the_node_s_activity(odom: Rig) -> None:
    odom.depth(1000)
    odom.see(1000)
    odom.outputs.forget(1)
    odom.node.frames.known = {1000}
    odom.node.callbacks["timer"]()
    assert odom.positions() == []
    odom.outputs.stop()
    assert odom.node.callbacks == {} and odom.node.frames.known == set()


def test_without_tf2_ros_no_position_is_published_in_a_wrong_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "tf2_ros", None)
    rig = Rig(target_frame="odom")
    assert "target_frame is 'odom', but the package tf2_ros is not installed" in rig.node.warnings[0]
    rig.depth(1000)
    rig.see(1000)
    assert rig.positions() == [] and len(rig.sent("~/bearing")) == 1
    assert rig.outputs.condition({})["target frame"] == "no position: tf2_ros is not installed"
