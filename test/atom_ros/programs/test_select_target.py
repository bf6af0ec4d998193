# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The window on a virtual screen, with a real mouse drag; camera and tracker (a fake) talk to it over DDS.

The camera's images are larger than the screen. A red rectangle lies in them; where it is on the screen is read from the
screen's pixels, so that the test shares no arithmetic with the window.
"""

from __future__ import annotations

import array
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_tracker import FakeTracker
from robot import TIMEOUT, wait_until
from sensor_msgs.msg import Image
from virtual_screen import MISSING, VirtualScreen

from atom_tracker.msg import Track

SCREEN = (1024, 700)
WIDTH, HEIGHT = 1920, 1080
RECTANGLE = (600, 300, 480, 240)  # first pixel and size
BOX = (599.5, 299.5, 480.0, 240.0)
GREEN = (0x3C, 0xDC, 0x3C)


def _start(log: Path, display: str | None, *arguments: str) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    if display is not None:
        environment["DISPLAY"] = display
    command = [sys.executable, "-m", "atom_ros.programs.select_target", *arguments]
    with log.open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


@pytest.fixture(scope="module")
def tracker() -> Iterator[FakeTracker]:
    tracker = FakeTracker(namespace="/select")
    yield tracker
    tracker.close()


def test_without_a_display(tmp_path: Path) -> None:
    assert _start(tmp_path / "log", None).wait(TIMEOUT) == 2
    text = (tmp_path / "log").read_text()
    assert "there is no display" in text or "no tkinter" in text
    assert "--box x,y,width,height" in text
    assert "docs/choosing_a_target.md" in text


def test_a_box_on_the_command_line(tmp_path: Path, tracker: FakeTracker) -> None:
    namespace = ["--ros-args", "-r", "__ns:=/select"]
    good = _start(tmp_path / "good", None, "--box", "1.5,2,30,40", *namespace)
    narrow = _start(tmp_path / "narrow", None, "--box", "1.5,2,0.5,40", *namespace)
    wrong = _start(tmp_path / "wrong", None, "--box", "1,2,3", *namespace)
    assert [process.wait(TIMEOUT) for process in (good, narrow, wrong)] == [0, 1, 2], "a shell script can tell"
    assert (1.5, 2, 30, 40) in [(r.x, r.y, r.width, r.height) for r in tracker.requests]
    assert "following" in (tmp_path / "good").read_text()
    assert "box is too narrow" in (tmp_path / "narrow").read_text()
    assert "box is '1,2,3'; expected x,y,width,height" in (tmp_path / "wrong").read_text()


class Desk:
    """A camera, a screen and the window on it."""

    def __init__(self, screen: VirtualScreen, tracker: FakeTracker, log: Path) -> None:
        self.screen = screen
        self.tracker = tracker
        self.log = log
        self._camera = tracker.node.create_publisher(Image, "/select/camera/image", 1)
        arguments = ["camera/image", "--ros-args", "-r", "__ns:=/select"]
        self.process = _start(log, screen.display, *arguments)

    def show(self, grey: int, stamp: int) -> None:
        """Publishes an image of this brightness until it is on the screen: best effort may lose one."""
        message = _image(grey, stamp)

        def is_shown() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            self._camera.publish(message)
            return bool((self.screen.picture() == grey).all(axis=2).sum() > 10_000)

        wait_until(is_shown, f"the image of stamp {stamp}")

    def publish(self, grey: int, stamp: int) -> None:
        self._camera.publish(_image(grey, stamp))

    def rectangle(self) -> tuple[int, int, int, int]:
        """First and last column and row of the red rectangle on the screen; pixels mixed at its border count half."""
        picture = self.screen.picture().astype(int)
        rows, columns = np.nonzero((picture[:, :, 0] > 150) & (picture[:, :, 1] < 50))
        return columns.min(), rows.min(), columns.max(), rows.max()

    def say(self) -> str:
        return self.log.read_text()


def _image(grey: int, stamp: int) -> Image:
    pixels = np.full((HEIGHT, WIDTH, 3), grey, np.uint8)
    x, y, width, height = RECTANGLE
    pixels[y : y + height, x : x + width] = (255, 0, 0)
    message = Image(width=WIDTH, height=HEIGHT, encoding="rgb8", step=3 * WIDTH)
    message.header.stamp.sec = stamp
    message.data = array.array("B", pixels.tobytes())
    return message


@pytest.fixture(scope="module")
def desk(tracker: FakeTracker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)} (sudo apt install xvfb xdotool)")
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    folder = tmp_path_factory.mktemp("screen")
    screen = VirtualScreen(folder, *SCREEN)
    desk = Desk(screen, tracker, folder / "log")
    yield desk
    if desk.process.poll() is None:
        desk.process.send_signal(signal.SIGINT)
    status = desk.process.wait(TIMEOUT)
    screen.close()
    print(desk.say())
    assert status == 0


def test_drag_and_enter(desk: Desk) -> None:
    desk.show(grey=90, stamp=5)
    left, top, right, bottom = desk.rectangle()
    assert right - left < 480 / 2, "the image is larger than the screen"
    before = len(desk.tracker.requests)
    desk.screen.drag((right, bottom), (left, top))  # against the reading direction
    desk.publish(grey=120, stamp=6)  # while the box is drawn, the scene goes on
    desk.screen.release()
    desk.screen.key("Return")
    wait_until(lambda: len(desk.tracker.requests) > before, "the box")
    request = desk.tracker.requests[-1]
    assert request.stamp.sec == 5, "the image that the box was drawn on"
    shown = 480 / (right - left + 1)  # px of the image in one of the screen
    assert (request.x, request.y) == pytest.approx(BOX[:2], abs=shown)
    assert (request.x + request.width, request.y + request.height) == pytest.approx((1079.5, 539.5), abs=shown)
    wait_until(lambda: "following x, y, width, height" in desk.say(), "the outcome")


def test_the_track_is_shown(desk: Desk) -> None:
    desk.show(grey=100, stamp=7)
    left, top, right, bottom = desk.rectangle()
    wait_until(desk.tracker.listeners, "the window's subscription to Tracks")
    desk.tracker.publish(Track.TRACKING, target_id=1, stamp=7, box=BOX)

    def outline() -> bool:
        return bool((desk.screen.picture() == GREEN).all(axis=2).any())

    wait_until(outline, "the green box")
    rows, columns = np.nonzero((desk.screen.picture() == GREEN).all(axis=2))
    edges = (columns.min(), rows.min(), columns.max(), rows.max())
    assert edges == pytest.approx((left, top, right, bottom), abs=2), "a line of 2 px lies around the rectangle"
    desk.tracker.publish(Track.LOST, target_id=1, stamp=8, box=BOX)
    wait_until(lambda: not outline(), "the box's end: an old place would be taken for a new one")


def test_escape_and_a_slip_of_the_mouse_send_nothing(desk: Desk) -> None:
    desk.show(grey=130, stamp=9)
    left, top, right, bottom = desk.rectangle()
    before = len(desk.tracker.requests)
    desk.screen.drag((left, top), (right, bottom))
    desk.screen.release()
    desk.screen.key("Escape")
    desk.screen.key("Return")
    desk.show(grey=140, stamp=10)  # the picture moves again
    desk.screen.drag((left, top), (left + 1, bottom))
    desk.screen.release()
    desk.screen.key("Return")
    desk.show(grey=150, stamp=11)
    cleared = desk.tracker.cleared
    desk.screen.key("c")
    wait_until(lambda: desk.tracker.cleared > cleared, "the clearing")
    assert len(desk.tracker.requests) == before


def test_a_refusal_is_told(desk: Desk) -> None:
    desk.tracker.refusal = "there is no such image"
    desk.show(grey=160, stamp=12)
    left, top, right, bottom = desk.rectangle()
    desk.screen.drag((left, top), (right, bottom))
    desk.screen.release()
    desk.screen.key("Return")
    wait_until(lambda: "refused: there is no such image" in desk.say(), "the refusal")
    desk.tracker.refusal = None
    desk.show(grey=170, stamp=13)


def test_q_quits(desk: Desk) -> None:
    desk.screen.key("q")
    assert desk.process.wait(TIMEOUT) == 0
