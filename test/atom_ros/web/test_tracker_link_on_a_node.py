# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The page's side towards ROS with the tracker's real node; test_tracker_link has the answers that it may give."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
import rclpy
from node_rig import Rig
from number_tracker import BOX
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from robot import TIMEOUT

from atom_ros.run_tracker import spin
from atom_ros.web.tracker_link import TrackerLink
from atom_tracker.msg import Track, TrackArray


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    rig = Rig(max_targets=3)
    rig.start()
    yield rig
    rig.close()


def run(play: Callable[[TrackerLink], Awaitable[None]]) -> None:
    """Plays with a link to the rig's tracker, whose executor spins in a thread of its own."""
    context = Context()
    rclpy.init(context=context)
    node = Node("web", namespace="/operations", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    async def linked() -> None:
        link = TrackerLink(node, executor)
        stopped = threading.Event()
        thread = threading.Thread(target=spin, args=(node, executor, stopped.is_set), daemon=True)
        thread.start()
        link.watch(True)
        try:
            await until(lambda: link.state()["tracker"]["present"])
            await play(link)
        finally:
            stopped.set()
            executor.shutdown()
            await asyncio.to_thread(thread.join)
            await link.close()

    try:
        asyncio.run(linked())
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.01)


def numbers(link: TrackerLink) -> list[int]:
    return [target["id"] for target in link.state()["targets"]]


async def set_target(link: TrackerLink, rig: Rig) -> int:
    """The number of a new target on a new image."""
    stamp = (await asyncio.to_thread(rig.show)).header.stamp
    before = set(numbers(link))
    await link.set_target(BOX, (stamp.sec, stamp.nanosec), 0, "/operations/image")
    await until(lambda: set(numbers(link)) - before)
    return (set(numbers(link)) - before).pop()


def test_a_target_is_set_and_removed(rig: Rig) -> None:
    async def play(link: TrackerLink) -> None:
        number = await set_target(link, rig)
        assert f"target {number}" in await link.remove_target(number)
        assert numbers(link) == [], "at once"
        with pytest.raises(RuntimeError, match=f"there is no target {number}"):
            await link.remove_target(number)

    run(play)


def test_tracks_from_before_a_removal_do_not_bring_the_target_back(rig: Rig) -> None:
    publisher = rig.robot.node.create_publisher(TrackArray, "tracker/tracks", 10)

    async def play(link: TrackerLink) -> None:
        await until(lambda: publisher.get_subscription_count() > 0)
        removed, kept = await set_target(link, rig), await set_target(link, rig)
        await link.remove_target(removed)
        late = TrackArray(tracks=[Track(target_id=number, status=Track.TRACKING) for number in (removed, kept)])
        late.header.stamp.sec = 7
        count = len(link.history.after(0))
        publisher.publish(late)
        await until(lambda: len(link.history.after(0)) > count)
        assert numbers(link) == [kept]
        await link.remove_target(kept)

    run(play)


def test_the_pause_is_seen(rig: Rig) -> None:
    async def play(link: TrackerLink) -> None:
        await link.pause(True)
        await until(lambda: link.state()["tracker"]["paused"])
        await link.pause(False)
        await until(lambda: not link.state()["tracker"]["paused"])

    run(play)


def test_the_tracker_s_reason_is_passed_on(rig: Rig) -> None:
    async def play(link: TrackerLink) -> None:
        await until(lambda: link.parameters)
        with pytest.raises(ValueError, match=r"out of range Min: -1\.0, Max: 1\.0, value: 5\.0"):
            await link.set_parameter("tracker.not_found_threshold", 5)
        with pytest.raises(LookupError, match="weights is not a parameter"):
            await link.set_parameter("weights", "other")
        with pytest.raises(LookupError, match="nobody publishes images on /nowhere; there are: "):
            await link.choose_camera("/nowhere")

    run(play)
