# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated robot's geometry, and the whole: its drawn camera, the tracker and the follower, over DDS."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from robot import Robot, TrackerProcess, wait_until

from atom_ros.programs.simulated_robot import SimulatedRobot, World
from atom_tracker.action import TrackTarget
from atom_tracker.msg import Track


def test_the_box_is_the_target_s_projection() -> None:
    world = World()
    # 0.6 x 1 m at 3 m with a focal length of 300 px, in the middle of 320 x 240 px.
    assert world.box == pytest.approx((159.5 - 30, 119.5 - 50, 60, 100))
    world = World(walking_speed=0.0)
    world.move(1.0, 0.0, 0.1)
    assert world.box[0] + world.box[2] / 2 == pytest.approx(159.5 + 300 * math.tan(0.1)), "a turn to the left"
    world = World(walking_speed=0.0)
    world.move(2.0, 0.5, 0.0)
    assert world.box[2:] == pytest.approx((90, 150)), "1 m nearer"
    world.move(4.0, 0.5, 0.0)
    assert world.box is None, "passed"


def test_robot_and_target_move_in_circles() -> None:
    world = World(walking_speed=5 * math.pi / 2)
    for _ in range(1000):
        world.move(0.001, math.pi / 2, math.pi / 2)  # radius 1 m, a quarter of the circle
    assert (world.x, world.y, world.heading) == pytest.approx((1.0, 1.0, math.pi / 2), abs=1e-6)
    assert world.target == pytest.approx((8.0, 5.0)), "a quarter of a circle of 5 m, which began at (3, 0)"
    assert world.place == pytest.approx((4.0, -7.0)), "the robot looks along y now, and x is to its right"


def test_the_camera_sees_the_target_in_its_box_only() -> None:
    world = World(walking_speed=0.0)
    world.move(1.0, 0.3, 0.2)
    image, depth = world.images()
    x, y, width, height = world.box
    world.is_hidden = True
    wall, empty = world.images()
    rows, columns = np.nonzero((image != wall).any(axis=2))
    assert (columns.min(), rows.min()) == (math.ceil(x), math.ceil(y))
    assert (columns.max(), rows.max()) == (math.ceil(x + width) - 1, math.ceil(y + height) - 1)
    assert (empty == 20.0).all() and world.box is None
    rows, columns = np.nonzero(depth != 20.0)
    assert (columns.min(), columns.max()) == (math.ceil(x), math.ceil(x + width) - 1)
    assert depth[rows[0], columns[0]] == pytest.approx(world.place[0])


def test_the_wall_turns_with_the_robot() -> None:
    world = World(walking_speed=0.0, is_hidden=True)
    before, _ = world.images()
    world.move(1.0, 0.0, 30 / 300)  # 30 px at a focal length of 300 px
    after, _ = world.images()
    assert (after[:, 30:] == before[:, :-30]).all(), "to the left, so that all moves to the right"
    world.move(1.0, 0.0, 2 * math.pi - 30 / 300)
    assert np.abs(world.images()[0].astype(int) - before).max() <= 40, "once around, but for half a pixel"


class Chain:
    """Camera, tracker, follower and wheels in one namespace. The world waits for each answer, however long it takes."""

    def __init__(self, folder: Path) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        overrides = [Parameter("lockstep", value=True)]
        self.robot = SimulatedRobot(namespace="/chain", context=self.context, parameter_overrides=overrides)
        self.world = self.robot.world
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.robot)
        self.client = Robot("/chain")
        here = ["-r", "__ns:=/chain"]
        remappings = ["-r", "image:=camera/image_raw", "-r", "depth:=camera/depth"]
        parameters = ["-p", "device:=cpu", "-p", "qos.reliability:=reliable"]
        self.tracker = TrackerProcess(folder / "tracker", *here, *remappings, *parameters)
        options = [
            *here,
            "-p",
            "image_width:=320",
            "-p",
            "target_height:=100",
            "-p",
            "max_speed:=2",
            "-p",
            "timeout:=60",
        ]
        command = [sys.executable, "-m", "atom_ros.programs.follow_target", "--ros-args", *options]
        with (folder / "follower").open("w") as log:
            self.follower = subprocess.Popen(command, stdout=log, stderr=log)
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.executor.spin, self.robot.run)]
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        self.follower.kill()
        self.follower.wait()
        self.tracker.stop()
        self.robot.stop()
        self.executor.shutdown()
        for thread in self.threads:
            thread.join()
        self.robot.destroy_node()
        rclpy.shutdown(context=self.context)
        self.client.close()


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(tmp_path)
    yield chain
    chain.close()


def test_the_robot_follows_its_target_and_stops_when_it_is_lost(chain: Chain) -> None:
    world, tracks, poses = chain.world, [], []
    chain.client.node.create_subscription(PoseStamped, "tracker/position", poses.append, 10)
    client = ActionClient(chain.client.node, TrackTarget, "tracker/track_target")
    wait_until(lambda: chain.client.tracks, "the first Track")
    box = dict(zip(("x", "y", "width", "height"), world.box, strict=True))
    sent = client.send_goal_async(TrackTarget.Goal(**box), lambda message: tracks.append(message.feedback.track))
    wait_until(sent.done, "the goal's acceptance")
    result = sent.result().get_result_async()

    places = []
    wait_until(lambda: places.append(world.place) or world.walked > 3.0, "the target to have walked 3 m")
    assert not result.done()
    assert all(2.5 < forwards < 4.5 for forwards, _ in places), "near 3 m, where it is 100 px high"
    assert max(abs(y / x) for x, y in places) < 0.2, "in the middle third of the image"
    assert math.hypot(world.x, world.y) > 1.5, "it has driven"
    position = poses[-1].pose.position
    assert position.z == pytest.approx(world.place[0], abs=0.3)
    assert position.x == pytest.approx(-world.place[1], abs=0.2), "to the right is positive here"
    assert poses[-1].header.frame_id == "camera_optical_frame"

    world.is_hidden = True
    wait_until(lambda: tracks[-1].status in (Track.LOST, Track.SEARCHING), "the loss")
    command = chain.robot.command
    wait_until(lambda: chain.robot.command is not command, "the answer to it")
    stopped = chain.robot.command
    assert (stopped.linear.x, stopped.angular.z) == (0.0, 0.0)
    where, walked = (world.x, world.y, world.heading), world.walked
    wait_until(lambda: world.walked > walked + 0.3, "the target to go on")
    assert (world.x, world.y, world.heading) == where

    sent.result().cancel_goal_async()
    wait_until(result.done, "the goal's end")
    ended = result.result()
    assert ended.status == GoalStatus.STATUS_CANCELED
    assert ended.result.frames_seen > 90 and ended.result.lost_time > 0, "0.03 m for each image"
    client.destroy()
