# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of the node share: the tracker as a process, and the robot around it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future

from atom_ros.gpu import process_megabytes
from atom_tracker.msg import Track

TIMEOUT = 300.0  # s; generous, for a machine that is busy with other work


def wait_until(condition: Callable[[], object], what: str, timeout: float = TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:g} s in vain for {what}"
        time.sleep(0.005)


class TrackerProcess:
    """`ros2 run atom_tracker tracker_node`, as a user starts it."""

    def __init__(self, log: Path, *ros_arguments: str) -> None:
        self.log = log
        self._file = log.open("w")
        command = [sys.executable, "-m", "atom_ros.run_tracker", "--ros-args", *ros_arguments]
        self._process = subprocess.Popen(command, stdout=self._file, stderr=self._file, cwd=log.parent)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        return self._process.wait(TIMEOUT)

    def kill(self) -> None:
        """As the kernel does when memory runs out; the process has no say."""
        self._process.kill()
        self.wait()
        self._file.close()

    def megabytes(self) -> float:
        """Memory of the process that is in RAM."""
        return process_megabytes(self._process.pid)

    def stop(self) -> int:
        """Ctrl-C; returns the exit status."""
        if self.is_running():
            self._process.send_signal(signal.SIGINT)
        try:
            return self.wait()
        finally:
            self._process.kill()
            self._file.close()


class Robot:
    """All that a robot has around the tracker: a camera, a client and a listener, in one namespace."""

    def __init__(self, namespace: str = "/", tracker: str = "tracker") -> None:
        """Args: `tracker` is the name of the tracker's node."""
        self.tracks: list[Track] = []
        self.track_topic = f"{namespace.rstrip('/')}/{tracker}/track"
        self._diagnostics: dict[str, dict[str, str]] = {}
        self._diagnostics_name = f"{namespace.rstrip('/')}/{tracker}: tracker"
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = Node("robot", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._clients = {}
        self.node.create_subscription(Track, self.track_topic, self.tracks.append, 100)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def camera(self, message_type: type, topic: str, reliability: str = "RELIABLE") -> Publisher:
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy[reliability])
        return self.node.create_publisher(message_type, topic, qos)

    def call(self, service_type: type, name: str, request: object) -> object:
        """Calls a service and waits for its answer."""
        future = self.ask(service_type, name, request)
        wait_until(future.done, f"the answer of {name}")
        return future.result()

    def ask(self, service_type: type, name: str, request: object) -> Future:
        """Calls a service as soon as it is there, and returns the future of its answer."""
        key = (service_type, name)
        if key not in self._clients:
            self._clients[key] = self.node.create_client(service_type, name)
        client = self._clients[key]
        wait_until(client.service_is_ready, f"the service {name}")
        return client.call_async(request)

    def track_of(self, message: object, timeout: float = TIMEOUT) -> Track:
        """Waits for the Track that answers an image message."""
        stamp = message.header.stamp
        wait_until(lambda: self.tracks_at(stamp), f"a Track of stamp {stamp.sec}.{stamp.nanosec:09d}", timeout)
        return self.tracks_at(stamp)[0]

    def diagnostics(self) -> dict[str, str]:
        """The newest values of this namespace's tracker, and its `level` and `message`."""
        wait_until(self.has_diagnostics, "the diagnostics")
        return self._diagnostics[self._diagnostics_name]

    def has_diagnostics(self) -> bool:
        """Whether this namespace's tracker was heard."""
        return self._diagnostics_name in self._diagnostics

    def tracks_at(self, stamp: object) -> list[Track]:
        """The Tracks that answered an image of this stamp."""
        return [track for track in list(self.tracks) if track.header.stamp == stamp]

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {value.key: value.value for value in status.values}
            self._diagnostics[status.name] = values | {"level": status.level, "message": status.message}
