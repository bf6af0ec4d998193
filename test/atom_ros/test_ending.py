# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The node's process ends clean at Ctrl-C and SIGTERM, whatever it is doing."""

from __future__ import annotations

import array
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from number_tracker import BOX
from rclpy.action import ActionClient
from rclpy.task import Future
from robot import TIMEOUT, Robot, wait_until
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from atom_tracker.action import TrackTarget
from atom_tracker.srv import SetTarget


class Process:
    """The node with a slow tracker, and the robot around it."""

    def __init__(self, log: Path, *options: str) -> None:
        self._log = log
        command = [sys.executable, str(Path(__file__).with_name("slow_node.py")), *options]
        with log.open("w") as file:
            ros = ["--ros-args", "-r", "__ns:=/ending", "-p", "qos.reliability:=reliable"]
            self.process = subprocess.Popen([*command, *ros], stdout=file, stderr=file)
        self.robot = Robot("/ending")
        self._camera = self.robot.camera(Image, "image")
        self._count = 0

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self._log.read_text(), f"'{text}' in the log")

    def publish(self) -> None:
        self._count += 1
        message = Image(height=2, width=2, step=2, encoding="mono8", data=array.array("B", [self._count % 256] * 4))
        message.header.stamp.sec = self._count
        self._camera.publish(message)
        time.sleep(0.01)  # for the image to arrive

    def connect(self) -> None:
        wait_until(lambda: self.publish() or self.robot.tracks, "a Track")

    def learn(self) -> None:
        """Asks for a target and leaves the tracker busy with learning it."""
        x, y, width, height = BOX
        self.robot.ask(SetTarget, "tracker/set_target", SetTarget.Request(x=x, y=y, width=width, height=height))
        time.sleep(0.5)
        self.publish()

    def follow(self) -> None:
        """Has it follow a target while viewers look at all that it can publish."""
        self.robot.node.create_subscription(MarkerArray, "tracker/markers", print, 10)
        self.robot.node.create_subscription(CompressedImage, "tracker/debug_image/compressed", lambda _: None, 10)
        self.learn()
        wait_until(lambda: self.publish() or self.robot.tracks[-1].target_id == 1, "the target")

    def report_on(self, target_id: int) -> Future:
        """Sends a goal that reports on the target; returns the future of its result."""
        client = ActionClient(self.robot.node, TrackTarget, "tracker/track_target")
        wait_until(client.server_is_ready, "the action server")
        sent = client.send_goal_async(TrackTarget.Goal(target_id=target_id))
        wait_until(sent.done, "the goal's acceptance")
        return sent.result().get_result_async()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.robot.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def make(*options: str) -> Process:
        processes.append(Process(tmp_path / "log", *options))
        return processes[-1]

    yield make
    for process in processes:
        process.close()


def _expect_clean_end(process: Process, number: int, tmp_path: Path) -> None:
    before = len((tmp_path / "log").read_text())
    process.process.send_signal(number)
    status = process.process.wait(TIMEOUT)
    log = (tmp_path / "log").read_text()[before:]
    assert status == 0, log
    for word in ("Traceback", "ERROR", "WARN", "rror:", "Exception", "terminate"):
        assert word not in log, log


def test_while_it_starts(start: Callable[..., Process], tmp_path: Path) -> None:
    process = start()
    process.wait_for("signals are heard")
    _expect_clean_end(process, signal.SIGINT, tmp_path)


def test_while_the_network_is_loaded(start: Callable[..., Process], tmp_path: Path) -> None:
    process = start("--slow")
    process.wait_for("Loading network")
    _expect_clean_end(process, signal.SIGTERM, tmp_path)


def test_while_a_target_is_learned(start: Callable[..., Process], tmp_path: Path) -> None:
    process = start("--slow")
    process.connect()
    process.learn()
    _expect_clean_end(process, signal.SIGTERM, tmp_path)


def test_while_a_target_is_followed_and_watched(start: Callable[..., Process], tmp_path: Path) -> None:
    process = start("--slow")
    process.connect()
    process.follow()
    result = process.report_on(1)
    _expect_clean_end(process, signal.SIGINT, tmp_path)
    wait_until(result.done, "the goal's result")
    assert result.result().result.error_code == TrackTarget.Result.INACTIVE


def _run(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "program.py"
    script.write_text(text)
    return subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=TIMEOUT)


def test_a_signal_that_comes_to_a_thread_of_a_library(tmp_path: Path) -> None:
    """One that was started before, as those of NumPy's matrix products are."""
    result = _run(
        tmp_path,
        "import signal, threading, time\n"
        "from atom_ros.ending import Ending\n"
        "thread = threading.Thread(target=time.sleep, args=(0.5,))\n"
        "thread.start()\n"
        "ending = Ending()\n"
        "called = threading.Event()\n"
        "ending.call_on_signal(called.set)\n"
        "signal.pthread_kill(thread.ident, signal.SIGTERM)\n"
        "print(called.wait(10), ending.is_asked)\n",
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "True True\n", "")


def test_children_are_ended_by_signals_as_usual(tmp_path: Path) -> None:
    result = _run(
        tmp_path,
        "import os, signal, subprocess, time\n"
        "from atom_ros.ending import Ending\n"
        "ending = Ending()\n"
        "ending.call_on_signal(lambda: print('the parent was asked'))\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "child.terminate()\n"
        "print(child.wait(10))\n"
        "forked = os.fork()\n"
        "if forked == 0:\n"
        "    time.sleep(60)\n"
        "    os._exit(0)\n"
        "os.kill(forked, signal.SIGTERM)\n"
        "print(os.waitpid(forked, 0)[1], ending.is_asked, flush=True)\n",
    )
    assert (result.returncode, result.stdout) == (0, "-15\n15 False\n"), result.stderr


TWICE = """
import os, signal, sys, time
from atom_ros.ending import Ending, ignore_signals
ending = Ending()
calls = []
ending.call_on_signal(lambda: calls.append(1))
os.kill(os.getpid(), signal.SIGTERM)
time.sleep({pause})
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.2)
print(calls, flush=True)
ignore_signals()
os.kill(os.getpid(), signal.SIGINT)
sys.exit(0)
"""


def test_a_second_signal_at_once_is_the_same_request(tmp_path: Path) -> None:
    """As when a service manager signals to `ros2 launch` and to the node, and launch to the node, too."""
    result = _run(tmp_path, TWICE.format(pause=0.1))
    assert (result.returncode, result.stdout, result.stderr) == (0, "[1]\n", "")


def test_a_second_signal_later_ends_at_once(tmp_path: Path) -> None:
    result = _run(tmp_path, TWICE.format(pause=1.2))
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")


HELD_UP = """
import os, signal, time
from atom_ros.ending import Ending
ending = Ending()
ending.call_on_signal(lambda: None)
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""


def test_an_end_that_is_held_up_comes_before_launch_escalates(tmp_path: Path) -> None:
    """By a camera's driver, for instance, that waits ten seconds for an image."""
    begun = time.monotonic()
    result = _run(tmp_path, HELD_UP)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert time.monotonic() - begun < 30


def test_a_long_step_of_the_tracker_does_not_delay_the_end(start: Callable[..., Process], tmp_path: Path) -> None:
    process = start("--stuck")
    process.connect()
    process.learn()
    _expect_clean_end(process, signal.SIGINT, tmp_path)
