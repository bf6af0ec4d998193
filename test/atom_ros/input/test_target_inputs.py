# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Targets by topic: what the messages mean, what waits while the tracker learns, and all of it in the real node."""

from __future__ import annotations

import array
import math
from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Point
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from robot import Robot, TrackerProcess, wait_until
from sensor_msgs.msg import Image, RegionOfInterest

from atom_ros.input import target_inputs
from atom_ros.input.target_inputs import Clicks, TargetInputs, box_of_detection, box_of_region, class_of_detection
from atom_ros.target_client import TargetClient
from atom_tracker.msg import Track

WIDTH, HEIGHT = 320, 240


def test_region() -> None:
    region = RegionOfInterest(x_offset=100, y_offset=50, width=40, height=30)
    # Its first pixel's centre is at 100, so it begins half a pixel before.
    assert box_of_region(region) == (99.5, 49.5, 40.0, 30.0)
    with pytest.raises(ValueError, match="the region is 40 x 0 px"):
        box_of_region(RegionOfInterest(width=40))


def _detection(x: float, y: float, width: float, height: float, theta: float = 0.0) -> SimpleNamespace:
    """Has the fields of a Detection2D, a message of a package that need not be installed."""
    center = SimpleNamespace(position=SimpleNamespace(x=x, y=y), theta=theta)
    return SimpleNamespace(bbox=SimpleNamespace(center=center, size_x=width, size_y=height))


def test_the_class_of_a_detection_is_that_of_its_best_hypothesis() -> None:
    def result(name: str, score: float) -> SimpleNamespace:
        return SimpleNamespace(hypothesis=SimpleNamespace(class_id=name, score=score))

    assert class_of_detection(SimpleNamespace(results=[result("dog", 0.3), result("cat", 0.6)])) == "cat"
    assert class_of_detection(SimpleNamespace(results=[])) == ""


def test_detection() -> None:
    assert box_of_detection(_detection(50, 40, 20, 10)) == (40, 35, 20, 10)
    # A quarter turn swaps the sides; half of that makes both (20 + 10) / sqrt(2).
    assert box_of_detection(_detection(50, 40, 20, 10, math.pi / 2)) == pytest.approx((45, 30, 10, 20))
    side = 30 / math.sqrt(2)
    assert box_of_detection(_detection(50, 40, 20, 10, -math.pi / 4)) == pytest.approx(
        (50 - side / 2, 40 - side / 2, side, side)
    )


@pytest.mark.parametrize("values", [(math.nan, 1, 2, 3, 0), (1, 1, 0, 3, 0), (1, 1, 2, -3, 0), (1, 1, 2, 3, math.inf)])
def test_malformed_detection(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected finite numbers and a positive size"):
        box_of_detection(_detection(*values))


def test_two_clicks() -> None:
    clicks = Clicks()
    assert clicks.add(110, 80, now=5.0, timeout=10.0) is None
    assert clicks.add(100, 50, now=15.0, timeout=10.0) == (99.5, 49.5, 10.0, 30.0)
    assert clicks.add(1, 1, now=15.1, timeout=10.0) is None, "the third is a first one again"


def test_a_late_click_is_a_first_one() -> None:
    clicks = Clicks()
    clicks.add(0, 0, now=5.0, timeout=1.0)
    assert clicks.add(100, 50, now=6.1, timeout=1.0) is None
    assert clicks.add(110, 60, now=6.5, timeout=1.0) == (99.5, 49.5, 10.0, 10.0)


def test_wrong_clicks() -> None:
    clicks = Clicks()
    clicks.add(100, 50, now=0.0, timeout=1.0)
    with pytest.raises(ValueError, match="finite"):
        clicks.add(math.nan, 50, now=0.1, timeout=1.0)
    with pytest.raises(ValueError, match=r"the box is 2\.0 x 9\.0 px"):
        clicks.add(102, 59, now=0.2, timeout=1.0)
    assert clicks.add(110, 60, now=0.3, timeout=1.0) is None, "the tiny box took its first click with it"


class _Tracker:
    """Takes targets and answers when a test asks for it."""

    def __init__(self) -> None:
        self.boxes: list[tuple[float, ...]] = []
        self.classes: list[str] = []
        self.futures: list[Future[int]] = []

    def set_target(self, box: tuple[float, ...], stamp: int, class_id: str) -> Future[int]:
        self.boxes.append(box)
        self.classes.append(class_id)
        self.futures.append(Future())
        return self.futures[-1]


@pytest.fixture
def node() -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context)
    node = Node("inputs", context=context)
    node.declare_parameter("max_targets", 1)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_the_class_goes_with_the_request(node: Node) -> None:
    tracker = _Tracker()
    inputs = TargetInputs(node, tracker.set_target, topics=False)
    inputs.order(target_inputs.BoxOrder((0, 0, 10, 10), 0, "/detector", "dog"))
    assert tracker.classes == ["dog"]


@pytest.mark.parametrize(("max_targets", "expected"), [(1, [0, 4]), (3, [0, 2, 3, 4])])
def test_what_waits_while_the_tracker_learns(node: Node, max_targets: int, expected: list[int]) -> None:
    node.set_parameters([Parameter("max_targets", value=max_targets)])
    tracker = _Tracker()
    inputs = TargetInputs(node, tracker.set_target, topics=False)
    for i in range(5):
        inputs.order(target_inputs.BoxOrder((i, 0, 10, 10), 0, "/detector"))
    assert len(tracker.boxes) == 1, "one at a time"
    for i in range(len(expected)):
        tracker.futures[i].set_result(i)
    assert [box[0] for box in tracker.boxes] == expected, "the newest ones"


def test_the_first_box_is_tried_on_later_images_too(node: Node) -> None:
    tracker = _Tracker()
    inputs = TargetInputs(node, tracker.set_target, box=(1.0, 2.0, 30.0, 40.0), topics=False)
    assert tracker.boxes == [], "there is no image yet"
    inputs.image_arrived()
    inputs.image_arrived()
    assert len(tracker.boxes) == 1
    tracker.futures[0].set_exception(ValueError("image is spoilt"))
    inputs.image_arrived()
    assert tracker.boxes == [(1.0, 2.0, 30.0, 40.0)] * 2
    tracker.futures[1].set_result(1)
    inputs.image_arrived()
    assert len(tracker.boxes) == 2, "once it is set, it is set"


def test_a_box_that_is_always_refused_is_given_up(node: Node) -> None:
    tracker = _Tracker()
    inputs = TargetInputs(node, tracker.set_target, box=(1.0, 2.0, 30.0, 40.0), topics=False)
    for _ in range(20):
        inputs.image_arrived()
        tracker.futures[-1].done() or tracker.futures[-1].set_exception(ValueError("it is outside"))
    assert len(tracker.boxes) == 10


# In the real node

FIRST_BOX = (59.5, 89.5, 48.0, 40.0)


class Scene:
    """A still scene with a textured patch at (60, 90) and another at (200, 60), each 48 x 40 px."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self._publisher = robot.camera(Image, "image")
        generator = np.random.default_rng(5)
        self._picture = cv2.resize(generator.integers(20, 110, (8, 8), np.uint8), (WIDTH, HEIGHT))
        for x, y in ((60, 90), (200, 60)):
            patch = cv2.resize(generator.integers(40, 216, (6, 6), np.uint8), (48, 40), interpolation=cv2.INTER_CUBIC)
            self._picture[y : y + 40, x : x + 48] = patch
        self._stamp = 100

    def show(self) -> Track:
        """Publishes images until one has its Track, which is returned."""
        found: list[Track] = []

        def is_tracked() -> bool:
            self._stamp += 1
            message = Image(width=WIDTH, height=HEIGHT, encoding="mono8", step=WIDTH)
            message.header.stamp.sec = self._stamp
            message.data = array.array("B", self._picture.tobytes())
            self._publisher.publish(message)
            try:
                found.append(self._robot.track_of(message, timeout=1.0))
            except AssertionError:
                return False
            return True

        wait_until(is_tracked, "a Track")
        return found[0]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackerProcess]:
    log = tmp_path_factory.mktemp("inputs") / "log"
    box = ",".join(map(str, FIRST_BOX))
    process = TrackerProcess(
        log, "-r", "__ns:=/inputs", "-r", "image:=eye/image", "-p", "device:=cpu", "-p", f"box:='{box}'"
    )
    yield process
    status = process.stop()
    print(log.read_text())
    assert status == 0


@pytest.fixture(scope="module")
def robot(process: TrackerProcess) -> Iterator[Robot]:
    robot = Robot("/inputs/eye")
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def client(robot: Robot, process: TrackerProcess) -> Iterator[TargetClient]:
    with TargetClient(robot.node, "/inputs/tracker") as client:
        yield client


@pytest.fixture(scope="module")
def scene(robot: Robot, client: TargetClient) -> Scene:
    robot.node.create_subscription(Track, "/inputs/tracker/track", robot.tracks.append, 100)
    return Scene(robot)


def _publish(robot: Robot, message_type: type, topic: str, *messages: object) -> None:
    publisher = robot.node.create_publisher(message_type, topic, 10)
    wait_until(publisher.get_subscription_count, f"the node's subscription to {topic}")
    for message in messages:
        publisher.publish(message)


def _log_says(process: TrackerProcess, text: str) -> None:
    wait_until(lambda: text in process.log.read_text() or not process.is_running(), f"'{text}' in the log")
    assert process.is_running(), process.log.read_text()


def _is_at(track: Track, x: float, y: float) -> bool:
    return abs(track.x + track.width / 2 - x) < 12 and abs(track.y + track.height / 2 - y) < 12


def test_the_parameter_box(scene: Scene, process: TrackerProcess) -> None:
    scene.show()
    _log_says(process, "was set by the parameter box")
    track = scene.show()
    assert (track.target_id, track.status) == (1, Track.TRACKING)
    assert _is_at(track, 83.5, 109.5)


def test_clicks_in_rqt(scene: Scene, robot: Robot, process: TrackerProcess) -> None:
    _publish(robot, Point, "/inputs/eye/image_mouse_left", Point(x=248.0, y=100.0), Point(x=200.0, y=60.0))
    _log_says(process, "One corner at (248, 100) px; click the opposite one within 10 s")
    _log_says(process, "Target 2 was set by /inputs/eye/image_mouse_left")
    track = scene.show()
    assert track.target_id == 2
    assert _is_at(track, 223.5, 79.5)


def test_region_of_interest(scene: Scene, robot: Robot, process: TrackerProcess) -> None:
    region = RegionOfInterest(x_offset=60, y_offset=90, width=48, height=40)
    _publish(robot, RegionOfInterest, "/inputs/tracker/target_roi", region)
    _log_says(process, "Target 3 was set by /inputs/tracker/target_roi")
    assert _is_at(scene.show(), 83.5, 109.5)


def test_refused_targets_change_nothing(scene: Scene, robot: Robot, process: TrackerProcess) -> None:
    before = scene.show()
    _publish(robot, Point, "/inputs/tracker/debug_image_mouse_left", Point(x=math.nan, y=100.0))
    _log_says(process, "Target from /inputs/tracker/debug_image_mouse_left refused: the click is at (nan, 100)")
    outside = RegionOfInterest(x_offset=4_000_000_000, y_offset=90, width=48, height=40)
    _publish(robot, RegionOfInterest, "/inputs/tracker/target_roi", outside)
    _log_says(process, "Target from /inputs/tracker/target_roi refused: ")
    after = scene.show()
    assert (after.target_id, after.status) == (before.target_id, Track.TRACKING)
    assert _is_at(after, 83.5, 109.5)


def test_the_client_with_the_real_node(scene: Scene, client: TargetClient) -> None:
    stamp = scene.show().header.stamp
    number = client.set_target((199.5, 59.5, 48.0, 40.0), stamp, timeout=300)
    scene.show()
    track = client.wait_for_state(Track.TRACKING, target_id=number, timeout=300)
    assert _is_at(track, 223.5, 79.5)
    client.remove(number)
    assert scene.show().status == Track.IDLE
    client.wait_for_state(Track.IDLE, timeout=300)
