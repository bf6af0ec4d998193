# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Camera and tracker are killed (SIGKILL) and started again, in any order."""

from __future__ import annotations

import contextlib
import math
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import moving_camera
import pytest
from robot import Robot, TrackerProcess, wait_until

from atom_ros.frame_buffer import to_nanoseconds
from atom_tracker.msg import Track
from atom_tracker.srv import SetTarget

NAMESPACE = "/restarts"


class Scene:
    """The processes, and the robot that listens to them."""

    def __init__(self, folder: Path, amplitude: float) -> None:
        self._folder = folder
        self._amplitude = amplitude
        self._trackers: list[TrackerProcess] = []
        self._cameras: list[subprocess.Popen] = []
        self.robot = Robot(NAMESPACE)

    def start_tracker(self, *arguments: str) -> None:
        log = self._folder / f"tracker{len(self._trackers)}.log"
        common = ("-r", f"__ns:={NAMESPACE}", "-p", "device:=cpu", "-p", "qos.reliability:=reliable")
        self._trackers.append(TrackerProcess(log, *common, *arguments))

    def start_camera(self) -> None:
        self._cameras.append(moving_camera.start(NAMESPACE, self._amplitude))

    def kill_tracker(self) -> None:
        assert self._trackers[-1].is_running()
        self._trackers[-1].kill()
        self.robot.tracks.clear()

    def kill_camera(self) -> None:
        assert self._cameras[-1].poll() is None
        self._cameras[-1].kill()
        self._cameras[-1].wait()

    def silence(self) -> None:
        """Waits until no Track has come for a second."""
        count = -1
        while count != len(self.robot.tracks):
            count = len(self.robot.tracks)
            time.sleep(1.0)
        self.robot.tracks.clear()

    def set_target(self) -> int:
        """Sets the target where it is in the image of the newest Track, and returns its number.

        For a while the robot may take a killed tracker's service for the one that answers; then it asks again.
        """
        client = self.robot.node.create_client(SetTarget, "tracker/set_target")
        answers = []
        for _ in range(10):
            stamp = self.robot.tracks[-1].header.stamp
            x, y, width, height = moving_camera.target_box(to_nanoseconds(stamp), self._amplitude)
            answers.append(client.call_async(SetTarget.Request(stamp=stamp, x=x, y=y, width=width, height=height)))
            with contextlib.suppress(AssertionError):
                wait_until(answers[-1].done, "the answer of set_target", timeout=30.0)
                if answers[-1].result().success:
                    return answers[-1].result().target_id
        raise AssertionError(f"no target after {[answer.result() for answer in answers]}")

    def expect(self, what: str, condition: Callable[[Track], bool], count: int = 3) -> None:
        """Waits for Tracks after which nothing else comes, `count` in a row."""
        self.robot.tracks.clear()
        wait_until(
            lambda: len(self.robot.tracks) >= count and all(map(condition, list(self.robot.tracks)[-count:])), what
        )

    def follows(self, target_id: int) -> Callable[[Track], bool]:
        """Whether a Track shows the target where it is at the Track's stamp."""

        def condition(track: Track) -> bool:
            x, y, width, height = moving_camera.target_box(to_nanoseconds(track.header.stamp), self._amplitude)
            apart = math.hypot(track.x + track.width / 2 - x - width / 2, track.y + track.height / 2 - y - height / 2)
            return track.target_id == target_id and apart < 12  # NaN, while LOST, is not

        return condition

    def close(self) -> None:
        for camera in self._cameras:
            camera.kill()
            camera.wait()
        for tracker in self._trackers[:-1]:
            assert not tracker.is_running()
        status = self._trackers[-1].stop()
        self.robot.close()
        assert status == 0, self._trackers[-1].log.read_text()


@pytest.fixture
def make_scene(tmp_path: Path) -> Iterator[Callable[[float], Scene]]:
    scenes: list[Scene] = []

    def make(amplitude: float) -> Scene:
        scenes.append(Scene(tmp_path, amplitude))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.close()


def is_idle(track: Track) -> bool:
    return track.status == Track.IDLE and track.target_id == 0 and math.isnan(track.x)


def test_a_killed_camera_loses_no_target_and_a_killed_tracker_forgets_it(make_scene: Callable[[float], Scene]) -> None:
    scene = make_scene(30.0)
    scene.start_camera()
    scene.start_tracker()
    scene.expect("IDLE Tracks", is_idle)
    number = scene.set_target()
    scene.expect("the moving target", scene.follows(number))

    scene.kill_camera()
    scene.silence()
    scene.start_camera()
    scene.expect("the target from the camera that was started again", scene.follows(number))

    scene.kill_tracker()
    scene.start_tracker()
    scene.expect("IDLE Tracks of the tracker that was started again", is_idle)
    scene.expect("the target that was set again", scene.follows(scene.set_target()))


def test_with_the_parameter_box_a_killed_tracker_takes_its_target_up_anew(
    make_scene: Callable[[float], Scene],
) -> None:
    scene = make_scene(0.0)
    box = ("-p", f"box:='{','.join(map(str, moving_camera.target_box(0, 0.0)))}'")
    scene.start_tracker(*box)
    scene.start_camera()
    scene.expect("the target, the tracker being there first", scene.follows(1))

    scene.kill_tracker()
    scene.kill_camera()
    scene.start_camera()
    scene.start_tracker(*box)
    scene.expect("the target, the camera being there first", scene.follows(1))
