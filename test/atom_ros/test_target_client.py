# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The client over DDS, from every place that an application may call it from; the tracker is a fake."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import rclpy
from builtin_interfaces.msg import Time
from fake_tracker import FakeTracker
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from robot import wait_until
from std_msgs.msg import Empty

from atom_ros.target_client import TargetClient, TargetRefused
from atom_tracker.msg import Track

BOX = (10.0, 20.5, 30.0, 40.0)


@pytest.fixture(scope="module")
def tracker() -> Iterator[FakeTracker]:
    tracker = FakeTracker(namespace="/robot")
    yield tracker
    tracker.close()


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """An application's node, which nobody spins, and whose tracker has another name by remapping."""
    context = Context()
    rclpy.init(context=context, args=["--ros-args", "-r", "__node:=application"])
    arguments = ["--ros-args"]
    for name in ("track", "set_target", "clear_target", "remove_target"):
        arguments += ["-r", f"eye/{name}:=tracker/{name}"]
    node = Node("other", namespace="/robot", context=context, cli_args=arguments)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


@pytest.fixture(scope="module")
def client(node: Node, tracker: FakeTracker) -> Iterator[TargetClient]:
    with TargetClient(node, "eye") as client:
        client.wait_for_tracker()
        wait_until(tracker.listeners, "the client's subscription")
        yield client


def test_a_script_that_never_spins(client: TargetClient, tracker: FakeTracker) -> None:
    number = client.set_target(BOX, Time(sec=3, nanosec=4), target_id=7)
    request = tracker.requests[-1]
    assert (request.x, request.y, request.width, request.height) == BOX
    assert (request.stamp.sec, request.stamp.nanosec, request.target_id) == (3, 4, 7)
    assert number == len(tracker.requests)
    client.set_target(BOX)
    assert tracker.requests[-1].stamp == Time(), "the newest image"


def test_refusals(client: TargetClient) -> None:
    with pytest.raises(TargetRefused, match="box is too narrow"):
        client.set_target((1, 2, 0.5, 4))
    with pytest.raises(ValueError, match=r"box is \(1\.0, 2\.0, 3\.0\); expected four finite numbers"):
        client.set_target((1, 2, 3))
    with pytest.raises(ValueError, match="nan"):
        client.set_target_async((1, 2, 3, float("nan")))
    with pytest.raises(TargetRefused, match="there is no target 99"):
        client.remove(99)


def test_clear_and_remove(client: TargetClient, tracker: FakeTracker) -> None:
    first, second = client.set_target(BOX), client.set_target(BOX)
    client.remove(first)
    assert second in tracker.followed and first not in tracker.followed
    before = tracker.cleared
    client.clear()
    assert tracker.cleared == before + 1
    assert not tracker.followed


def test_no_answer_in_time(client: TargetClient, tracker: FakeTracker) -> None:
    tracker.answer.clear()
    try:
        with pytest.raises(TimeoutError, match=r"no answer of /robot/tracker/set_target within 0\.1 s"):
            client.set_target(BOX, timeout=0.1)
    finally:
        tracker.answer.set()
    assert client.set_target(BOX) == len(tracker.requests), "the late answer is not taken for this one's"


def test_no_tracker(node: Node) -> None:
    with TargetClient(node, "nowhere") as client:
        with pytest.raises(TimeoutError, match=r"no service /robot/nowhere/set_target within 0\.1 s; is the tracker"):
            client.set_target(BOX, timeout=0.1)
        future = client.clear_async()
        assert future.done()
        with pytest.raises(ConnectionError, match=r"no service /robot/nowhere/clear_target"):
            future.result()


@pytest.fixture
def application() -> Iterator[Node]:
    """A node spun by a single-threaded executor, whose one thread a callback that waits holds up."""
    context = Context()
    rclpy.init(context=context)
    node = Node("spun", namespace="/robot", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield node
    executor.shutdown()
    thread.join()
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_inside_callbacks(application: Node, tracker: FakeTracker) -> None:
    numbers: dict[str, int] = {}
    tracks: list[Track] = []
    done = threading.Event()

    def waits(_: Empty) -> None:
        numbers["waited"] = client.set_target(BOX)
        client.remove_async(numbers["waited"]).add_done_callback(lambda _: done.set())

    async def awaits(_: Empty) -> None:
        numbers["awaited"] = await client.set_target_async(BOX)
        try:
            await client.remove_async(99)
        except TargetRefused:
            numbers["refused"] = 99

    application.create_subscription(Empty, "waits", waits, 1)
    application.create_subscription(Empty, "awaits", awaits, 1)
    buttons = [tracker.node.create_publisher(Empty, name, 1) for name in ("waits", "awaits")]
    with TargetClient(application, on_track=tracks.append) as client:
        client.wait_for_tracker()
        for button in buttons:
            wait_until(button.get_subscription_count, "the application's subscriptions")
            button.publish(Empty())
        wait_until(lambda: {"waited", "awaited", "refused"} <= numbers.keys() and done.is_set(), "the answers")
        assert numbers["waited"] != numbers["awaited"]
        assert numbers["waited"] not in tracker.followed

        wait_until(lambda: tracker.listeners() >= 2, "the subscriptions to Tracks")
        sent = tracker.publish(Track.TRACKING, target_id=5, stamp=6)
        wait_until(lambda: sent in tracks, "the callback with the Track")


def test_tracks(client: TargetClient, tracker: FakeTracker) -> None:
    tracker.publish(Track.IDLE, target_id=0, stamp=10)
    assert client.wait_for_state(Track.IDLE, timeout=60).header.stamp.sec == 10
    assert client.tracks == {}
    assert client.track(1) is None

    def publish(stamp: int, *targets: int, status: int = Track.TRACKING) -> None:
        for target in targets:
            last = tracker.publish(status, target, stamp)
        wait_until(lambda: client.track() == last, "the Track")

    publish(11, 1, 2)
    publish(12, 1)
    assert {number: track.header.stamp.sec for number, track in client.tracks.items()} == {1: 12, 2: 11}, "may yet come"
    publish(13, 1)
    assert set(client.tracks) == {1}, "target 2 was not in the image before"
    publish(14, 1, status=Track.SEARCHING)
    assert client.wait_for_state(Track.LOST, Track.SEARCHING, target_id=1, timeout=60).header.stamp.sec == 14


def test_a_state_that_does_not_come(client: TargetClient, tracker: FakeTracker) -> None:
    sent = tracker.publish(Track.LOST, 4, stamp=20)
    wait_until(lambda: client.track() == sent, "the Track")
    with pytest.raises(TimeoutError, match=r"waited 0\.05 s in vain for TRACKING or UNCERTAIN; it is LOST"):
        client.wait_for_state(Track.TRACKING, Track.UNCERTAIN, target_id=4, timeout=0.05)
    with pytest.raises(TimeoutError, match="there is no Track"):
        client.wait_for_state(Track.TRACKING, target_id=5, timeout=0.05)


def test_shutdown_ends_a_wait(tracker: FakeTracker) -> None:
    context = Context()
    rclpy.init(context=context)
    node = Node("short_lived", namespace="/robot", context=context)
    client = TargetClient(node)
    errors: list[Exception] = []

    def wait() -> None:
        try:
            client.wait_for_state(Track.TRACKING, target_id=1234)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    rclpy.shutdown(context=context)
    thread.join(60)
    assert not thread.is_alive()
    assert "ROS was shut down" in str(errors[0])
    client.destroy()
    node.destroy_node()
