# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`make demo ARGS=--web`: in a real browser a box is dragged around the person in red, and the tracker follows."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import cv2
import numpy as np
import pytest

from atom_core.data.sequences import read_sequence
from atom_ros.web.protocol import split_picture
from demo.run import CLIP, OCCLUSION

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "atom_ros"))
from browser import MISSING, Browser  # noqa: E402

needs_a_browser = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: sudo apt install chromium chromium-driver)"
)
SMALL = (128, 72)  # px, in which pictures are compared
PATIENCE = 240.0  # s, on a busy machine
EMPTY_CANVAS = 300  # px, a canvas's width before anything is drawn
STATE = "return document.querySelector('#stage').dataset.state;"


Box = tuple[float, ...]


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    sides = [min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    common = max(0.0, sides[0]) * max(0.0, sides[1])
    return common / (a[2] * a[3] + b[2] * b[3] - common)


class Scene:
    """The clip: which of its frames a picture shows, and where the person in red is."""

    def __init__(self) -> None:
        clip = read_sequence(CLIP)
        self.boxes = [tuple(map(float, box)) for box in clip.boxes]
        images = list(clip.frames)
        self.height, self.width, _ = images[0].shape
        self._frames = np.array([self._small(image) for image in images])

    def index(self, picture: np.ndarray) -> int:
        """Of the frame that is most similar to a picture, (height, width, 3) RGB."""
        return int(np.abs(self._frames - self._small(picture)).mean(axis=(1, 2)).argmin())

    @staticmethod
    def _small(picture: np.ndarray) -> np.ndarray:
        small = cv2.resize(np.ascontiguousarray(picture), SMALL, interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`make demo ARGS="--web --port 0"` without make, and the page's address."""
    command = [sys.executable, "demo/run.py", "--web", "--port", "0", "--device", "cpu", "--output", str(tmp_path)]
    told = tmp_path / "told"
    with told.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(r"The page: (http://\S+) ", told.read_text())) is None:
            assert process.poll() is None and time.monotonic() < deadline, told.read_text()
            time.sleep(0.1)
        yield process, found[1]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, told.read_text()


def wait_until(condition: Callable[[], object], what: str) -> None:
    assert holds_within(PATIENCE, condition), f"waited in vain for {what}"


def holds_within(seconds: float, condition: Callable[[], object]) -> bool:
    """Whether the condition comes true in this time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


def drag_around_the_person(browser: Browser, scene: Scene) -> None:
    """Presses at the person's corner; what then stands still is what the rest of the box is drawn for."""
    pointer, lag = browser.pointer(), 0  # images between a look at the page and the press
    for _ in range(200):
        shown = scene.index(browser.canvas("#picture"))
        if shown + lag > OCCLUSION[0] - 15:  # behind the sign soon, or past it
            time.sleep(0.2)
            continue
        left, top, width, height = browser.run(
            "const a = document.querySelector('#picture').getBoundingClientRect();"
            "return [a.left, a.top, a.width, a.height];"
        )
        frame_width, frame_height = scene.width / width, scene.height / height  # px of the image in one of the page
        x, y, _, _ = scene.boxes[shown + lag]
        pointer.press(left + (x + 0.5) / frame_width, top + (y + 0.5) / frame_height)
        held = scene.index(browser.canvas("#picture"))
        truth = scene.boxes[held]
        right, bottom = truth[0] + truth[2], truth[1] + truth[3]
        if held < OCCLUSION[0] - 10 and overlap((x, y, right - x, bottom - y), truth) > 0.7:
            pointer.move(left + (right + 0.5) / frame_width, top + (bottom + 0.5) / frame_height)
            pointer.release()
            return
        browser.keys("#picture", "\ue00c")  # Escape
        pointer.release()
        lag = max(0, min(15, held - shown))
    raise AssertionError("the person in red was never where the page had just shown it")


async def pictures(url: str, scene: Scene, enough: int) -> list[tuple[int, float]]:
    """Of a second page: frame and overlap of pictures with a box, until this many boxes are on the person."""
    url = url.replace("localhost", "127.0.0.1")
    seen: list[tuple[int, float]] = []
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/ws", headers={"Origin": url}) as page:
        await page.send_json({"type": "hello"})
        async for message in page:
            if message.type != aiohttp.WSMsgType.BINARY:
                continue
            header, jpeg = split_picture(message.data)
            await page.send_json({"type": "ack", "sequence": header["sequence"]})
            for track in header["tracks"] or []:
                if track["box"] is not None:
                    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
                    frame = scene.index(picture)
                    seen.append((frame, overlap(tuple(track["box"]), scene.boxes[frame])))
            if sum(share > 0.5 for _, share in seen) >= enough:
                return seen
    raise AssertionError("the server ended the connection")


@needs_a_browser
def test_the_demo_s_page_follows_the_person_in_red(
    demo: tuple[subprocess.Popen[bytes], str], scene: Scene, tmp_path: Path
) -> None:
    process, url = demo
    browser = Browser(tmp_path)
    try:
        browser.open(url)
        wait_until(lambda: browser.run(STATE) == "none", "the tracker")
        width = "return document.querySelector('#picture').width;"
        wait_until(lambda: browser.run(width) != EMPTY_CANVAS, "a picture")
        for _ in range(3):  # now and then a drawn box is not followed, and a person would draw another
            drag_around_the_person(browser, scene)
            if holds_within(20.0, lambda: browser.run(STATE) == "tracking"):
                break
        wait_until(lambda: browser.run(STATE) == "tracking", "the target")
        seen = asyncio.run(asyncio.wait_for(pictures(url, scene, 12), PATIENCE))
        assert np.ptp([scene.boxes[frame][0] for frame, share in seen if share > 0.5]) > 40, "px: it has moved"
        assert np.mean([share > 0.5 for _, share in seen]) > 0.5
        assert re.search(r"Target 1\s+\w+", browser.text("#targets"))
        if folder := os.environ.get("ATOM_TRACKER_SCREENSHOTS"):
            browser.colors("dark")
            wait_until(lambda: browser.run(STATE) == "tracking", "the target in view")
            browser.screenshot(Path(folder) / "demo.png")
    finally:
        browser.close()
    assert process.poll() is None


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """The demo ends with the page's reason, and ends the tracker and the camera."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "demo/run.py", "--web", "--port", port, "--device", "cpu", "--output", str(tmp_path)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 2
    assert "choose another with --host and --port" in ended.stderr
