# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A real browser without a screen: Chromium by its driver, with a mouse, a finger, a pen and a keyboard."""

from __future__ import annotations

import base64
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

_PROGRAMS = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
MISSING = [name for name, path in _PROGRAMS.items() if path is None]
MISSING += [] if find_spec("selenium") else ["selenium (pip)"]


class Browser:
    """One window."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 800) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        os.environ.setdefault("SE_AVOID_STATS", "true")  # nothing that tests start reports anywhere
        options = webdriver.ChromeOptions()
        options.binary_location = _PROGRAMS["chromium"]
        for argument in (
            "--headless=new",
            "--no-sandbox",  # tests may run as root, in a container
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},{height}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = Service(_PROGRAMS["chromedriver"], log_output=str(folder / "chromedriver.log"))
        self.driver = webdriver.Chrome(options, service)
        self.driver.set_script_timeout(60)

    def close(self) -> None:
        self.driver.quit()

    def open(self, url: str) -> None:
        self.driver.get(url)

    def run(self, script: str, *arguments: object) -> Any:
        """What a script's `return` gives."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """The text of the first element that a selector finds; empty where there is none or it is not seen."""
        return self.run(
            # Of an element that is not rendered, innerText is the text that it would have.
            "const node = document.querySelector(arguments[0]); return node?.checkVisibility() ? node.innerText : '';",
            selector,
        )

    def click(self, selector: str) -> None:
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def keys(self, selector: str, *keys: str) -> None:
        """Puts the focus on an element and types; Shift and Ctrl hold until they come again."""
        self.run("document.querySelector(arguments[0]).focus();", selector)
        self.driver.switch_to.active_element.send_keys(*keys)

    def press(self, *keys: str) -> None:
        """Types to what has the focus."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def pointer(self, kind: str = "mouse") -> Pointer:
        return Pointer(self, kind)

    def canvas(self, selector: str) -> np.ndarray:
        """The pixels of a canvas, (height, width, 3) uint8 RGB."""
        data = self.run("return document.querySelector(arguments[0]).toDataURL('image/png');", selector)
        encoded = np.frombuffer(base64.b64decode(data.partition(",")[2]), np.uint8)
        return cv2.imdecode(encoded, cv2.IMREAD_COLOR)[:, :, ::-1]

    def device(self, width: int, height: int, scale: float = 1.0, mobile: bool = False) -> None:
        """Makes the page as large as a device's."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def no_device(self) -> None:
        """Makes the page as large as the window again."""
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def colors(self, scheme: str) -> None:
        """Prefers `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def screenshot(self, path: Path) -> None:
        self.driver.save_screenshot(str(path))

    def errors(self) -> list[str]:
        """What the console has said as errors since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


class Pointer:
    """A mouse, a finger (touch) or a pen, at pixels of the page."""

    def __init__(self, browser: Browser, kind: str) -> None:
        self._browser = browser
        self._kind = kind
        self._at = (0, 0)

    def press(self, x: float, y: float) -> None:
        self._at = (round(x), round(y))
        self._send("touchStart", "mousePressed")

    def move(self, x: float, y: float) -> None:
        self._at = (round(x), round(y))
        self._send("touchMove", "mouseMoved")

    def release(self) -> None:
        self._send("touchEnd", "mouseReleased")

    def click(self, x: float, y: float) -> None:
        self.press(x, y)
        self.release()

    def _send(self, touch: str, mouse: str) -> None:
        x, y = self._at
        command = self._browser.driver.execute_cdp_cmd
        if self._kind == "touch":
            points = [] if touch == "touchEnd" else [{"x": x, "y": y}]
            command("Input.dispatchTouchEvent", {"type": touch, "touchPoints": points})
            return
        buttons = {"button": "left", "buttons": int(mouse != "mouseReleased"), "clickCount": 1}
        where = {"type": mouse, "x": x, "y": y, "pointerType": self._kind}
        command("Input.dispatchMouseEvent", where | buttons)
