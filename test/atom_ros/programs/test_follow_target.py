# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The follower as a process: Tracks of a fake tracker in, velocities out."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_tracker import FakeTracker
from geometry_msgs.msg import Twist
from robot import TIMEOUT, wait_until

from atom_tracker.msg import Track

STOP = (0.0, 0.0)


class Follower:
    def __init__(self, tracker: FakeTracker, log: Path) -> None:
        self.tracker = tracker
        self.commands: list[tuple[float, float]] = []  # m/s forwards, rad/s to the left
        tracker.node.create_subscription(Twist, "/wheels/cmd_vel", self._on_command, 100)
        command = [sys.executable, "-m", "atom_ros.programs.follow_target", "--ros-args", "-r", "__ns:=/wheels"]
        with log.open("w") as file:
            self.process = subprocess.Popen([*command, "-p", "timeout:=0.3"], stdout=file, stderr=file)
        wait_until(lambda: tracker.listeners() and self.commands, "the follower")

    def _on_command(self, twist: Twist) -> None:
        self.commands.append((twist.linear.x, twist.angular.z))

    def answers(self, status: int, box: tuple[float, ...], expected: tuple[float, float]) -> None:
        """Publishes a Track until this command comes: in between, the follower may stop for want of Tracks."""
        self.commands.clear()

        def has_come() -> bool:
            self.tracker.publish(status, box=box)
            return any(command == pytest.approx(expected, abs=1e-6) for command in list(self.commands))

        wait_until(has_come, f"the command {expected}")


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Follower]:
    tracker = FakeTracker(namespace="/wheels")
    follower = Follower(tracker, tmp_path_factory.mktemp("follower") / "log")
    yield follower
    if follower.process.poll() is None:
        follower.process.kill()
    tracker.close()


def test_goes_after_the_target(follower: Follower) -> None:
    # The middle of 640 px is 319.5, and 200 px high is near enough.
    follower.answers(Track.TRACKING, (289.5, 10, 60, 200), (0.0, 0.0))
    # A quarter of the width to the left: half the greatest turn; half the height: half the greatest speed.
    follower.answers(Track.TRACKING, (129.5, 10, 60, 100), (0.2, 0.5))
    # Far outside on the right, and very near: both bounded.
    follower.answers(Track.TRACKING, (2000, 10, 60, 5000), (-0.4, -1.0))


@pytest.mark.parametrize("status", [Track.IDLE, Track.UNCERTAIN, Track.LOST, Track.SEARCHING])
def test_stops_when_the_target_is_not_sure(follower: Follower, status: int) -> None:
    follower.answers(Track.TRACKING, (129.5, 10, 60, 100), (0.2, 0.5))
    follower.tracker.publish(status, box=(129.5, 10, 60, 100))
    wait_until(lambda: follower.commands[-1] == STOP, "the stop")


def test_stops_when_the_tracks_end(follower: Follower) -> None:
    follower.answers(Track.TRACKING, (129.5, 10, 60, 100), (0.2, 0.5))
    wait_until(lambda: follower.commands[-1] == STOP, "the stop")


def test_stops_at_the_end(follower: Follower) -> None:
    follower.answers(Track.TRACKING, (129.5, 10, 60, 100), (0.2, 0.5))
    follower.process.send_signal(signal.SIGINT)
    assert follower.process.wait(TIMEOUT) == 0
    wait_until(lambda: follower.commands[-1] == STOP, "the last command")
