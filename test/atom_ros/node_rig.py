# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The tracker's node in the test's process, with a tracker whose answers and failures are given: no network, no GPU."""

from __future__ import annotations

import array
import contextlib
import threading
import time

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from number_tracker import BOX, NumberTracker
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.task import Future
from robot import Robot, wait_until
from sensor_msgs.msg import Image

from atom_ros.run_tracker import spin
from atom_ros.tracker_node import TrackerNode
from atom_tracker.msg import Track
from atom_tracker.srv import SetTarget


class Rig:
    """A node in this process, and the robot around it."""

    def __init__(self, name: str = "tracker", *ros_arguments: str, **parameters: object) -> None:
        self.trackers: dict[str, NumberTracker] = {}  # by the device that was asked for
        self.loaded = ("", "", "", "")  # weights, device, precision and engine of the network loaded last
        self.load_failures: dict[str, Exception] = {}
        self.loading = threading.Event()  # the loading of the network has begun
        self.load_gate = threading.Event()  # it ends
        self.load_gate.set()
        self._name = name
        self.robot = Robot("/operations", tracker=name)
        self.camera = self.robot.camera(Image, "image")
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = TrackerNode(
            self._load,
            namespace="/operations",
            context=self._context,
            cli_args=["--ros-args", *ros_arguments],
            parameter_overrides=[
                # A best-effort reader that has not found its writer yet loses what that sends it.
                Parameter("qos.reliability", value="reliable"),
                *(Parameter(key, value=value) for key, value in ({"relearn_overlap": 1.0} | parameters).items()),
            ],
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=spin, args=(self.node, self._executor), daemon=True)
        self._count = 0

    def start(self) -> Rig:
        assert self.begin()
        wait_until(lambda: self.camera.get_subscription_count() > 0, "the node's subscription")
        wait_until(self.connects, "the first Track")
        return self

    def begin(self) -> bool:
        """Has the executor spin and the node start itself; returns whether it did."""
        started = self._executor.create_task(self.node.start)
        self._thread.start()
        wait_until(started.done, "the start")
        return started.result()

    def connects(self) -> bool:
        """Whether an image comes through and its Track comes back: each writer and reader has found the other."""
        with contextlib.suppress(AssertionError):
            return bool(self.robot.track_of(self.publish(), timeout=1.0))
        return False

    def close(self) -> None:
        self.load_gate.set()
        for tracker in self.trackers.values():
            tracker.gate.set()
        rclpy.shutdown(context=self._context)
        self._thread.join(60)
        self.node.destroy_node()
        self._executor.shutdown()
        self.robot.close()

    def _load(self, weights: str, device: str, config: object, precision: str, engine: str) -> NumberTracker:
        self.loaded = (weights, device, precision, engine)
        self.loading.set()
        assert self.load_gate.wait(60)
        if device in self.load_failures:
            raise self.load_failures[device]
        tracker = self.trackers[device] = NumberTracker("cpu" if device == "cpu" else "cuda")
        tracker.config = config
        return tracker

    def publish(self) -> Image:
        self._count += 1
        message = Image(height=2, width=2, step=2, encoding="mono8", data=array.array("B", [self._count] * 4))
        message.header.stamp.sec = self._count
        self.camera.publish(message)
        return message

    def jump(self, seconds: int) -> None:
        """Publishes an image whose stamp is far from the others'."""
        message = Image(height=2, width=2, step=2, encoding="mono8", data=array.array("B", [1] * 4))
        message.header.stamp.sec = 10_000 + seconds
        self.camera.publish(message)
        time.sleep(0.01)  # for it to arrive

    def show(self) -> Track:
        return self.robot.track_of(self.publish())

    def call(self, service_type: type, name: str, **fields: object) -> object:
        return self.robot.call(service_type, f"{self._name}/{name}", service_type.Request(**fields))

    def ask(self, service_type: type, name: str, **fields: object) -> Future:
        return self.robot.ask(service_type, f"{self._name}/{name}", service_type.Request(**fields))

    def set_target(self) -> SetTarget.Response:
        x, y, width, height = BOX
        return self.call(SetTarget, "set_target", x=x, y=y, width=width, height=height)

    def change_state(self, transition: int) -> bool:
        return self.call(ChangeState, "change_state", transition=Transition(id=transition)).success

    def state(self) -> int:
        return self.call(GetState, "get_state").current_state.id
