# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The page as a process, a moving camera as another, and the tracker's node here, all over real DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import moving_camera
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from robot import TIMEOUT
from robot import wait_until as wait
from template_tracker import TemplateTracker

from atom_ros.run_tracker import spin
from atom_ros.tracker_node import TrackerNode
from atom_ros.web.address import page_address

NAMESPACE = "/page"
AMPLITUDE = 60.0  # px, of the target's movement
TURNS = 1.5  # s after a whole period of 6 s, when it is slow for a moment; again every 3 s


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Waits for what a browser shows, which on a busy machine takes longer than a person would wait."""
    wait(condition, what, 180.0)


class PageProcess:
    """`ros2 run atom_tracker web`, as a user starts it, on any free port."""

    def __init__(self, log: Path, *arguments: str, token: str = "") -> None:
        self.log = log
        self._file = log.open("w")
        command = [sys.executable, "-m", "atom_ros.web.command", "--port", "0", "--nice", "0", *arguments]
        command += ["--ros-args", "-r", f"__ns:={NAMESPACE}"]
        environment = os.environ | {"ATOM_TRACKER_WEB_TOKEN": token}
        self.process = subprocess.Popen(command, stdout=self._file, stderr=self._file, env=environment)

    @property
    def url(self) -> str:
        """As the log tells it."""
        wait(lambda: self.process.poll() is not None or page_address(self.log) != "", "the page")
        address = page_address(self.log)
        assert address, self.log.read_text()
        return address

    def stop(self) -> int:
        """Ctrl-C; returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(TIMEOUT)
        finally:
            self.process.kill()
            self._file.close()


class WebRig:
    """Camera, tracker and page."""

    def __init__(self, folder: Path) -> None:
        self.tracker = TemplateTracker()
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = TrackerNode(
            lambda weights, device, config, precision, engine: self.tracker,
            namespace=NAMESPACE,
            context=self._context,
            cli_args=["--ros-args"],
            parameter_overrides=[Parameter("relearn_overlap", value=1.0), Parameter("max_targets", value=5)],
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=spin, args=(self.node, self._executor), daemon=True)
        started = self._executor.create_task(self.node.start)
        self._thread.start()
        wait(started.done, "the tracker's start")
        self._camera: subprocess.Popen | None = None
        self.start_camera()
        self.page = PageProcess(folder / "page.log")

    def start_camera(self) -> None:
        self._camera = moving_camera.start(NAMESPACE, AMPLITUDE)

    def kill_camera(self) -> None:
        self._camera.kill()
        self._camera.wait()

    def close(self) -> int:
        """Ends everything; returns the page's exit status."""
        status = self.page.stop()
        self.kill_camera()
        rclpy.shutdown(context=self._context)
        self._thread.join(60)
        self.node.destroy_node()
        self._executor.shutdown()
        return status
