# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: a person's hand, a moving target, and the tracker's node, over real DDS.

The tracker in the node follows by correlation (template_tracker.py), so that the whole way is real but for the network.
Where the target is in an image is known from the image's stamp, and seen in the picture's own pixels.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import moving_camera
import numpy as np
import pytest
from browser import MISSING, Browser
from moving_camera import HEIGHT, WIDTH
from web_rig import AMPLITUDE, TURNS, PageProcess, WebRig, wait_until

from atom_ros.web.protocol import split_picture
from atom_ros.web.server import WRONG_TOKEN

if MISSING:
    pytest.skip(
        f"not installed: {', '.join(MISSING)} (Debian: sudo apt install chromium chromium-driver)",
        allow_module_level=True,
    )

GREEN = (60, 220, 60)
TOKEN = "a-token-for-the-test"
STATE = "return document.querySelector('#stage').dataset.state;"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRig]:
    rig = WebRig(tmp_path_factory.mktemp("rig"))
    yield rig
    assert rig.close() == 0, "Ctrl-C ends the page without an error"
    assert "Traceback" not in rig.page.log.read_text()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def browser(rig: WebRig, window: Browser) -> Iterator[Browser]:
    """The page, without targets."""
    rig.tracker.is_blind = False
    window.open(rig.page.url)
    wait_until(lambda: _stamp(window), "a picture")
    wait_until(lambda: window.run(STATE) in ("none", "tracking"), "the live page")
    while rig.tracker.target_ids or _targets(window):
        # In one step: between two, the page may remove the button, and then nothing is there to click.
        window.run("document.querySelector('#targets .danger')?.click();")
        time.sleep(0.3)
    yield window
    assert window.errors() == [], "nothing in the page's console"


def _keep(browser: Browser, name: str) -> None:
    """A screenshot for who wants to look: ATOM_TRACKER_SCREENSHOTS names the folder."""
    if folder := os.environ.get("ATOM_TRACKER_SCREENSHOTS"):
        browser.screenshot(Path(folder) / f"{name}.png")


def _targets(browser: Browser) -> int:
    return browser.run("return document.querySelectorAll('#targets li').length;")


def _stamp(browser: Browser) -> int:
    """Of the picture on the canvas, in ns; 0 before the first."""
    text = browser.run("return document.querySelector('#picture').dataset.stamp || '0.0';")
    second, nanosecond = map(int, text.split("."))
    return 1_000_000_000 * second + nanosecond


class Screen:
    """Where things of the image are on the page."""

    def __init__(self, browser: Browser) -> None:
        area = browser.run("const a = document.querySelector('#picture').getBoundingClientRect();"
                           "return [a.left, a.top, a.width, a.height];")  # fmt: skip
        self.left, self.top, self.width, self.height = area

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.left + (x + 0.5) * self.width / WIDTH, self.top + (y + 0.5) * self.height / HEIGHT


def _corners(box: tuple[float, ...]) -> tuple[tuple[float, float], tuple[float, float]]:
    x, y, width, height = box
    return (x, y), (x + width, y + height)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union."""
    sides = [min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    common = max(0.0, sides[0]) * max(0.0, sides[1])
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def _until_it_turns(browser: Browser) -> None:
    """Waits until the target on the page is nearly still for the next tenths of a second, however late the page is."""
    wait_until(lambda: (_stamp(browser) / 1e9 - TURNS + 0.25) % 3.0 < 0.3, "a picture in which the target turns")


def _drag(browser: Browser, kind: str, rest: float = 0.0) -> int:
    """Drags a box around the moving target, and rests before letting go; returns the stamp of the picture."""
    screen, pointer = Screen(browser), browser.pointer(kind)
    for _ in range(20):
        _until_it_turns(browser)
        first, _ = _corners(moving_camera.target_box(_stamp(browser), AMPLITUDE))
        pointer.press(*screen.point(*first))
        stamp = _stamp(browser)
        truth, last = _corners(moving_camera.target_box(stamp, AMPLITUDE))
        if abs(truth[0] - first[0]) <= 4:
            pointer.move(*screen.point(*last))
            time.sleep(rest)
            assert _stamp(browser) == stamp, "the picture stands still"
            pointer.release()
            return stamp
        browser.keys("#picture", "\ue00c")  # Escape: the next picture had come meanwhile, on a busy machine
        pointer.release()
    raise AssertionError("the picture on the page was never that of the moment")


def _drawn(browser: Browser) -> tuple[float, float] | None:
    """Left edges, in px of the image: of the target as it is seen in the picture, and of the box that is drawn."""
    pixels = browser.canvas("#picture")
    scale = pixels.shape[1] / WIDTH
    middle = pixels[round(HEIGHT / 2 * scale)].astype(int)  # a row through the target, below the label
    green = np.flatnonzero(np.abs(middle - GREEN).max(axis=1) < 8)
    if not len(green):
        return None
    small = cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)[:, :, 0]
    inner = moving_camera.scene()[1][8:-8, 8:-8]  # without what the outline covers
    _, _, _, (x, _) = cv2.minMaxLoc(cv2.matchTemplate(small, inner, cv2.TM_CCOEFF_NORMED))
    return x - 8 - 0.5, green[0] / scale - 0.5


@pytest.mark.parametrize("kind", ["mouse", "touch", "pen"])
def test_a_box_on_a_moving_picture_is_followed(rig: WebRig, browser: Browser, kind: str) -> None:
    before = len(rig.tracker.boxes)
    stamp = _drag(browser, kind, rest=1.2)  # in which the target moves on, further than its own width
    wait_until(lambda: len(rig.tracker.boxes) > before, "the box")
    truth = moving_camera.target_box(stamp, AMPLITUDE)
    assert _overlap(rig.tracker.boxes[-1], truth) > 0.75, "on the picture that was seen"
    wait_until(lambda: browser.run(STATE) == "tracking", "the state")
    assert re.search(r"Target \d+\s+TRACKING\s+\d+ %", browser.text("#targets"))
    seen = []

    def is_followed() -> bool:
        edges = _drawn(browser)
        seen.extend([] if edges is None else [edges])
        return len(seen) >= 8 and np.ptp([target for target, _ in seen]) > AMPLITUDE / 2

    wait_until(is_followed, "pictures in which the target has moved")
    apart = [abs(target - box) for target, box in seen]
    assert max(apart) <= 7, "each box is drawn on the picture that it belongs to"


def test_the_keyboard_draws_a_box(rig: WebRig, browser: Browser) -> None:
    before = len(rig.tracker.boxes)
    left, right, up, down, shift = "\ue012", "\ue014", "\ue013", "\ue015", "\ue008"
    browser.keys("#picture", left, up, "\ue007", *[right] * 4, *[down] * 3, shift, right, right, shift, "\ue007")
    wait_until(lambda: len(rig.tracker.boxes) > before, "the box")
    assert rig.tracker.boxes[-1] == (WIDTH / 2 - 10, HEIGHT / 2 - 10, 42.0, 30.0)


def test_a_click_removes_a_target_or_learns_it_anew(rig: WebRig, browser: Browser) -> None:
    _drag(browser, "mouse")
    wait_until(lambda: _targets(browser) == 1, "the target")
    number = int(re.search(r"Target (\d+)", browser.text("#targets"))[1])
    wait_until(lambda: browser.run(STATE) == "tracking", "the state")

    def open_menu() -> bool:
        _until_it_turns(browser)
        x, y, width, height = moving_camera.target_box(_stamp(browser), AMPLITUDE)
        browser.pointer().click(*Screen(browser).point(x + width / 2, y + height / 2))
        return browser.text("#menu-title") == f"Target {number}"

    wait_until(open_menu, "the menu")
    before = len(rig.tracker.boxes)
    browser.click("#menu-relearn")
    assert f"learn target {number} again" in browser.text("#hint")
    _drag(browser, "mouse")
    wait_until(lambda: len(rig.tracker.boxes) > before, "the second box")
    assert rig.tracker.target_ids == (number,), "it keeps its number"
    wait_until(open_menu, "the menu")
    browser.click("#menu-remove")
    wait_until(lambda: not rig.tracker.target_ids and not _targets(browser), "the removal")


def test_lost_is_seen_from_across_a_room(rig: WebRig, browser: Browser) -> None:
    _drag(browser, "mouse")
    wait_until(lambda: browser.run(STATE) == "tracking", "the target")
    rig.tracker.is_blind = True
    wait_until(lambda: browser.text("#banner").strip() in ("LOST", "SEARCHING"), "the banner")
    height, width = browser.run("const a = document.querySelector('#banner').getBoundingClientRect();"
                                "return [a.height, a.width];")  # fmt: skip
    assert height > 0.08 * browser.run("return window.innerHeight;") and width > 0.9 * Screen(browser).width
    assert browser.run("return document.title;").startswith(("LOST", "SEARCHING"))
    assert browser.text("#summary") in ("LOST", "SEARCHING"), "for screen readers"
    _keep(browser, "lost")
    assert "LOST" in browser.run("return document.querySelector('.plot').getAttribute('aria-label');")
    rig.tracker.is_blind = False
    wait_until(lambda: browser.text("#banner") == "", "the end of the banner")


def test_pause(rig: WebRig, browser: Browser) -> None:
    browser.click("#pause")
    wait_until(lambda: "PAUSED" in browser.text("#banner"), "the pause")
    stamp = _stamp(browser)
    wait_until(lambda: _stamp(browser) > stamp, "the picture goes on")
    browser.click("#pause")
    wait_until(lambda: browser.text("#banner") == "", "the end of the pause")


def test_parameters_have_their_ranges_and_are_set(rig: WebRig, browser: Browser) -> None:
    browser.click("#parameters-panel summary")
    slider = "#parameters input[type=range][aria-label^='tracker.not_found_threshold,']"
    wait_until(lambda: browser.run("return document.querySelector(arguments[0]) !== null;", slider), "the slider")
    bounds = browser.run("const s = document.querySelector(arguments[0]); return [s.min, s.max, s.value];", slider)
    assert [float(value) for value in bounds] == [-1.0, 1.0, 0.25]
    names = browser.run("return [...document.querySelectorAll('#parameters label')].map((label) => label.title);")
    assert "max_targets" in names and "weights" not in names, "those that can be changed at any time"
    browser.keys(slider, *["\ue014"] * 5)  # five steps of 0.01 to the right
    name = "tracker.not_found_threshold"
    wait_until(lambda: rig.node.get_parameter(name).value == pytest.approx(0.30), "the new value")


@pytest.mark.parametrize(
    ("name", "typed", "reason"),
    [
        ("tracker.not_found_threshold", "5", "out of range Min: -1.0, Max: 1.0, value: 5.0"),
        ("max_targets", "0", "out of range. Min: 1, Max: 100, value: 0"),
        ("pixel_range", "a lot", "is 'a lot'; expected LOW,HIGH"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_reason(
    rig: WebRig, browser: Browser, name: str, typed: str, reason: str
) -> None:
    before = rig.node.get_parameter(name).value
    browser.click("#parameters-panel summary")
    field, value = f"[id='parameter-{name}']", "return document.querySelector(arguments[0])?.value;"
    wait_until(lambda: browser.run(value, field) is not None, "the field")
    shown = browser.run(value, field)
    browser.keys(field, "\ue009a\ue000", typed, "\ue007")  # Ctrl+A, the value, Enter
    wait_until(lambda: reason in browser.text(".message.error"), "the tracker's reason")
    assert name in browser.text(".message.error")
    wait_until(lambda: browser.run(value, field) == shown, "the value before")
    assert rig.node.get_parameter(name).value == before


def test_a_reload_finds_everything_again(rig: WebRig, browser: Browser) -> None:
    _drag(browser, "mouse")
    wait_until(lambda: browser.run(STATE) == "tracking", "the target")
    time.sleep(1.0)  # some history
    browser.open(rig.page.url)
    wait_until(lambda: browser.run(STATE) == "tracking", "the state")
    label = browser.run("return document.querySelector('.plot').getAttribute('aria-label');")
    assert "TRACKING" in label, "the last minute is the server's"
    assert float(browser.text("#figures dd").split()[0]) >= 0


def test_the_camera_goes_and_comes_back(rig: WebRig, browser: Browser) -> None:
    _drag(browser, "mouse")
    wait_until(lambda: browser.run(STATE) == "tracking", "the target")
    rig.kill_camera()
    wait_until(lambda: "NO PICTURE" in browser.text("#banner"), "the word")
    assert "/page/image" in browser.text("#banner")
    rig.start_camera()
    wait_until(lambda: browser.run(STATE) == "tracking", "the target again")
    stamp = _stamp(browser)
    wait_until(lambda: _stamp(browser) > stamp, "pictures")


def test_the_camera_is_chosen_from_those_that_there_are(rig: WebRig, browser: Browser) -> None:
    options = "return [...document.querySelectorAll('#camera option')].map((option) => option.value);"
    wait_until(lambda: "/page/image" in browser.run(options), "the camera")
    assert "/page/tracker/debug_image" in browser.run(options)
    choose = (
        "const s = document.querySelector('#camera'); s.value = arguments[0]; s.dispatchEvent(new Event('change'));"
    )
    browser.run(choose, "/page/tracker/debug_image")
    wait_until(lambda: "The tracker listens to /page/image" in browser.text("#camera-note"), "the note")
    browser.run(choose, "/page/image")
    wait_until(lambda: browser.text("#camera-note") == "", "the tracker's own camera")


def test_a_slow_client_slows_nobody(rig: WebRig, browser: Browser) -> None:
    async def slow() -> list[int]:
        """Confirms a picture a second; returns the stamps that it was sent, in ns."""
        origin = rig.page.url.replace("localhost", "127.0.0.1")
        stamps = []
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as page:
            await page.send_json({"type": "hello"})
            end = time.monotonic() + 6.0
            while time.monotonic() < end:
                message = await page.receive(timeout=30)
                if message.type == aiohttp.WSMsgType.BINARY:
                    header, _ = split_picture(message.data)
                    stamps.append(1_000_000_000 * header["stamp"][0] + header["stamp"][1])
                    await asyncio.sleep(1.0)
                    await page.send_json({"type": "ack", "sequence": header["sequence"]})
        return stamps

    browser.run("""
        window.stamps = new Set();
        new MutationObserver(() => window.stamps.add(document.querySelector('#picture').dataset.stamp))
          .observe(document.querySelector('#picture'), {attributes: true, attributeFilter: ['data-stamp']});
    """)
    stamps = asyncio.run(slow())
    assert stamps == sorted(stamps) and len(stamps) <= 8
    assert len(browser.run("return [...window.stamps];")) > 2 * len(stamps), "this page had the others meanwhile"


def test_two_pages_share_a_target(rig: WebRig, browser: Browser) -> None:
    _drag(browser, "mouse")
    wait_until(lambda: browser.run(STATE) == "tracking", "the target")
    number = int(re.search(r"Target (\d+)", browser.text("#targets"))[1])

    async def remove() -> dict[str, Any]:
        """Another page sees the target, and removes it."""
        origin = rig.page.url.replace("localhost", "127.0.0.1")
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as page:
            await page.send_json({"type": "hello"})
            asked = False
            async for message in page:
                if message.type != aiohttp.WSMsgType.TEXT:
                    continue
                told = json.loads(message.data)
                if not asked and told["type"] == "state" and [target["id"] for target in told["targets"]] == [number]:
                    await page.send_json({"type": "remove_target", "id": 1, "target": number})
                    asked = True
                if told["type"] == "answer":
                    return told
        raise AssertionError("the server ended the connection")

    assert asyncio.run(asyncio.wait_for(remove(), 60))["ok"]
    wait_until(lambda: _targets(browser) == 0 and browser.run(STATE) == "none", "the removal on this page")


def test_the_keyboard_suffices(rig: WebRig, browser: Browser) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(60):
            browser.press("\ue004")
            if browser.run("return document.activeElement.matches(arguments[0]);", selector):
                return
        raise AssertionError(f"60 times Tab did not lead to {selector}")

    tab_to("#picture")
    outline = "const s = getComputedStyle(document.activeElement); return [s.outlineStyle, parseFloat(s.outlineWidth)];"
    assert browser.run(outline) == ["solid", 3], "the focus is seen"
    before = len(rig.tracker.boxes)
    browser.press("\ue012", "\ue007", *["\ue014"] * 4, *["\ue015"] * 4, "\ue007")
    wait_until(lambda: len(rig.tracker.boxes) > before and _targets(browser) == 1, "the target")
    tab_to("#pause")
    browser.press("\ue007")
    wait_until(lambda: browser.text("#banner").startswith("PAUSED"), "the pause")
    browser.press(" ")
    wait_until(lambda: "PAUSED" not in browser.text("#banner"), "the end of the pause")
    tab_to("#camera")
    tab_to("#targets button.danger")
    browser.press("\ue007")
    wait_until(lambda: not rig.tracker.target_ids, "the removal")


def test_on_a_phone(rig: WebRig, browser: Browser) -> None:
    browser.device(390, 844, 3.0, mobile=True)
    try:
        browser.open(rig.page.url)
        wait_until(lambda: _stamp(browser) and browser.run(STATE) == "none", "the live page")
        assert browser.run("return document.documentElement.scrollWidth;") <= 390, "nothing to scroll sideways"
        assert Screen(browser).width > 0.9 * 390
        heights = browser.run(
            "return [...document.querySelectorAll('.toolbar button, .toolbar select')].map((b) => b.offsetHeight);"
        )
        assert min(heights) >= 36, "px: for a finger"
        before = len(rig.tracker.boxes)
        _drag(browser, "touch")
        wait_until(lambda: len(rig.tracker.boxes) > before, "the box")
        assert browser.run("return window.scrollY;") == 0, "a finger on the picture draws and does not scroll"
        wait_until(lambda: browser.run(STATE) == "tracking", "the target")
        _keep(browser, "phone")
    finally:
        browser.no_device()


CONTRASTS = """
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (node) => {
      for (; node; node = node.parentElement) {
        const color = channels(getComputedStyle(node).backgroundColor);
        if (color.length === 3 || color[3] === 1) return color;
      }
      return [255, 255, 255];
    };
    const found = [];
    for (const node of document.querySelectorAll('body *')) {
      const text = [...node.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join('');
      if (!text || !node.checkVisibility() || node.closest('.banner, script, :disabled')) continue;
      const [a, b] = [light(channels(getComputedStyle(node).color)), light(ground(node))];
      found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text]);
    }
    return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_legible(rig: WebRig, browser: Browser, scheme: str) -> None:
    """The contrast that WCAG 2 asks for (AA, 1.4.3): 4.5 to 1."""
    _drag(browser, "mouse")
    wait_until(lambda: browser.run(STATE) == "tracking", "the target")
    browser.colors(scheme)
    try:
        browser.click("#parameters-panel summary")
        page = browser.run("return getComputedStyle(document.body).backgroundColor;")
        assert (sum(map(int, re.findall(r"\d+", page))) > 384) == (scheme == "light")
        contrasts = browser.run(CONTRASTS)
        assert len(contrasts) > 60
        assert [(round(ratio, 1), text) for ratio, text in contrasts if ratio < 4.5] == []
        _keep(browser, scheme)
    finally:
        browser.colors("")


def test_the_token_is_asked_for(rig: WebRig, window: Browser, tmp_path: Path) -> None:
    page = PageProcess(tmp_path / "log", token=TOKEN)
    try:
        window.open(page.url)
        opened = "return document.querySelector('#login').open;"
        wait_until(lambda: window.run(opened), "the question")
        window.keys("#token", "not-the-token", "\ue007")
        wait_until(lambda: window.text("#login-error") == "This is not the token.", "the answer")
        assert _stamp(window) == 0
        window.keys("#token", TOKEN, "\ue007")
        wait_until(lambda: _stamp(window), "a picture")
        assert not window.run(opened)
        window.open(page.url)  # a reload
        wait_until(lambda: _stamp(window), "a picture")
        assert TOKEN not in window.run("return location.href;") and TOKEN not in page.log.read_text()
        assert "Wrong token" in page.log.read_text()
    finally:
        assert page.stop() == 0
    assert WRONG_TOKEN == 4401 and window.errors() is not None, "the page's own number; the end is in the console"
