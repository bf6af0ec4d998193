# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`ros2 run atom_tracker follow_target`: an example.

Converts Tracks to velocities, so that a robot follows a target. Copy it and adapt it to your robot: see
docs/follower.md.
"""

from __future__ import annotations

import math
import sys

import rclpy
from geometry_msgs.msg import Twist
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from atom_ros.answering import answer_always
from atom_ros.ending import Ending
from atom_ros.run_tracker import spin
from atom_ros.start import accept_whole_numbers, help_text, start, wants_help
from atom_tracker.msg import Track

PARAMETERS = (  # name, default, description
    ("image_width", 640, "Width of the camera's images, in px."),
    ("target_height", 200.0, "Height of the target's box at the distance to keep, in px."),
    ("max_speed", 0.4, "Forwards and backwards, in m/s."),
    ("max_turn", 1.0, "In rad/s."),
    ("timeout", 0.5, "Seconds without a Track after which the robot stops."),
)


class TargetFollower(Node):
    """Keeps the target in the image's centre and at a fixed height, which represents the distance."""

    def __init__(self) -> None:
        super().__init__("follow_target")
        answer_always(self)
        accept_whole_numbers(self, [name for name, default, _ in PARAMETERS if isinstance(default, float)])
        values = {name: self.declare_parameter(name, default).value for name, default, _ in PARAMETERS}
        self._image_width = values["image_width"]
        self._height = values["target_height"]
        self._max_speed = values["max_speed"]
        self._max_turn = values["max_turn"]
        timeout = values["timeout"]
        self._commands = self.create_publisher(Twist, "cmd_vel", 1)
        self.create_subscription(Track, "tracker/track", self._on_track, 1)
        self._watchdog = self.create_timer(timeout, self.stop, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_track(self, track: Track) -> None:
        self._watchdog.reset()
        if track.status != Track.TRACKING:
            self.stop()
            return
        aside = (track.x + track.width / 2 + 0.5) / self._image_width - 0.5  # of the box's centre: -0.5 left, 0.5 right
        far = 1.0 - track.height / self._height  # 0 at the right distance, negative if too near
        command = Twist()
        command.angular.z = -2.0 * self._max_turn * _bounded(aside, 0.5)
        command.linear.x = self._max_speed * _bounded(far, 1.0)
        self._commands.publish(command)

    def stop(self) -> None:
        """Stops the robot."""
        self._commands.publish(Twist())

    def wait_until_heard(self) -> None:
        """Waits up to a second for the robot to receive the last command."""
        self._commands.wait_for_all_acked(Duration(seconds=1))


def _bounded(value: float, limit: float) -> float:
    return max(-limit, min(limit, value)) if math.isfinite(value) else 0.0


def main(args: list[str] | None = None) -> int:
    """Follows until Ctrl-C or the end of its launch file, and stops the robot; returns the exit status."""
    ending = Ending()
    if wants_help(args):
        print(help_text("follow_target", "Converts Tracks to velocities (cmd_vel).", PARAMETERS, ["tracker/track"]))
        return 0
    # rclpy's own handler would shut down before the last command is sent.
    if not start("follow_target", args, signal_handler_options=SignalHandlerOptions.NO):
        return 2
    try:
        node = TargetFollower()
    except ParameterException as error:
        print(f"follow_target: {error}", file=sys.stderr)
        rclpy.shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ending.call_on_signal(lambda: executor.create_task(lambda: None))  # wakes the executor
    try:
        spin(node, executor, lambda: ending.is_asked)
    finally:
        node.stop()
        node.wait_until_heard()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
