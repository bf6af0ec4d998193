# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What the page's server asks of a tracker, without ROS's network: answers are given, and requests are kept."""

from __future__ import annotations

import array
import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from atom_ros.web.history import History
from atom_ros.web.pairing import Shown
from atom_tracker.msg import Track

BOX = (10.0, 20.0, 30.0, 40.0)


class FakeLink:
    """Stands for TrackerLink."""

    def __init__(self) -> None:
        self.name = "/tracker"
        self.camera = "/camera"
        self.parameters: list[dict[str, Any]] = [{"name": "max_targets", "value": 1}]
        self.history = History()
        self.requests: list[tuple[Any, ...]] = []
        self.is_watched = False
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None  # while it is there and not set, requests wait
        self.image_error = ""
        self.on_shown: Callable[[Shown], None]
        self.on_late_tracks: Callable[[Any], None]
        self.on_parameters: Callable[[], None]
        self._numbers = itertools.count(1)

    def watch(self, on: bool) -> None:
        self.is_watched = on

    async def set_target(self, box: tuple[float, ...], stamp: tuple[int, int], target: int, topic: str) -> str:
        return await self._answer("set_target", box, stamp, target, topic)

    async def remove_target(self, target: int) -> str:
        return await self._answer("remove_target", target)

    async def pause(self, on: bool) -> str:
        return await self._answer("pause", on)

    async def set_parameter(self, name: str, value: object) -> str:
        return await self._answer("set_parameter", name, value)

    async def choose_camera(self, topic: str) -> str:
        return await self._answer("camera", topic)

    def note_image_error(self, reason: str) -> None:
        self.image_error = reason

    def state(self) -> dict[str, Any]:
        return {"now": 1.0, "targets": []}

    def show(self, *statuses: int, encoding: str = "mono8") -> int:
        """Offers the next image, with a Track for each status; returns its number, which is its stamp's second."""
        number = next(self._numbers)
        self.on_shown(Shown(image(number, encoding=encoding), [track(s) for s in statuses], 0.0, self.camera))
        return number

    async def _answer(self, *request: object) -> str:
        self.requests.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return "done"


def track(status: int, target_id: int = 1, confidence: float = 0.75) -> Track:
    message = Track(status=status, target_id=target_id, confidence=confidence)
    seen = status in (Track.TRACKING, Track.UNCERTAIN)
    message.x, message.y, message.width, message.height = BOX if seen else (float("nan"),) * 4
    return message


def image(second: int, width: int = 64, height: int = 48, encoding: str = "mono8") -> Image:
    pixels = np.full(width * height, 100, np.uint8)
    message = Image(width=width, height=height, step=width, encoding=encoding, data=array.array("B", pixels.tobytes()))
    message.header.stamp.sec = second
    return message
