# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The page's connection to a tracker whose answers are given, over DDS."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
import rclpy
from fake_tracker import FakeTracker
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from robot import wait_until

from atom_ros.web.tracker_link import TrackerLink

BOX = (1.0, 2.0, 30.0, 40.0)


def run(scenario: Callable[[TrackerLink, FakeTracker], Awaitable[None]], name: str = "tracker") -> None:
    """Runs a scenario in an event loop, with a page's node that another thread spins."""
    context = Context()
    rclpy.init(context=context)
    tracker = FakeTracker("/web_link")
    node = Node("page", namespace="/web_link", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)

    async def play() -> None:
        link = TrackerLink(node, executor, name)
        thread.start()
        try:
            await scenario(link, tracker)
        finally:
            await link.close()

    try:
        asyncio.run(play())
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        rclpy.shutdown(context=context)
        tracker.close()


async def until(condition: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, what)


def test_a_box_becomes_a_request_and_its_answer_comes_back() -> None:
    async def scenario(link: TrackerLink, tracker: FakeTracker) -> None:
        assert link.name == "/web_link/tracker"
        await until(lambda: link.state()["tracker"]["present"], "the tracker")
        await link.set_target(BOX, (5, 7), 3, "/web_link/image")
        (request,) = tracker.requests
        assert (request.x, request.y, request.width, request.height) == BOX
        assert (request.stamp.sec, request.stamp.nanosec, request.target_id) == (5, 7, 3)
        tracker.refusal = "no image within 0.05 s"
        with pytest.raises(RuntimeError, match="no image within"):
            await link.set_target(BOX, (5, 7), 0, "/web_link/image")

    run(scenario)


def test_without_a_tracker_a_request_fails_at_once() -> None:
    async def scenario(link: TrackerLink, tracker: FakeTracker) -> None:
        assert not link.state()["tracker"]["present"]
        with pytest.raises(ConnectionError, match="no service nobody/remove_target; is the tracker running"):
            await link.remove_target(1)
        assert tracker.requests == []

    run(scenario, "nobody")


def test_only_a_camera_that_there_is_can_be_chosen() -> None:
    async def scenario(link: TrackerLink, tracker: FakeTracker) -> None:
        with pytest.raises(LookupError, match="nobody publishes images on /none; there are: none"):
            await link.choose_camera("/none")

    run(scenario)


def test_an_image_error_is_part_of_the_state() -> None:
    async def scenario(link: TrackerLink, tracker: FakeTracker) -> None:
        assert link.state()["camera"] == {"topic": "/web_link/image", "age": None, "error": ""}
        link.note_image_error("unknown encoding")
        assert link.state()["camera"]["error"] == "unknown encoding"
        assert link.state()["targets"] == [] and link.state()["cameras"] == []

    run(scenario)
