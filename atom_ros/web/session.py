# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""One browser at the page: its waiting messages, and flow control.

A picture is sent only while fewer than two are on their way, unconfirmed; of those that come meanwhile the newest
waits and takes the place of the one before. So a slow client gets fewer pictures, and never an old one. It delays
nobody: each session sends in a task of its own.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from atom_ros.web.protocol import Json

_WINDOW = 2  # pictures on their way: one that is shown, and one that travels meanwhile
_TEXTS = 100  # answers that wait; requests are bounded, so only a client that reads nothing reaches this number
PATIENCE = 20.0  # s for one message to leave


class Socket(Protocol):
    """The part of aiohttp's WebSocketResponse that a session needs."""

    async def send_str(self, data: str) -> None:
        """Sends a text; returns when the network has room for more."""

    async def send_bytes(self, data: bytes) -> None:
        """Sends bytes, likewise."""


@dataclass(frozen=True)
class Picture:
    """A picture as it is sent."""

    sequence: int  # 1 for the first image that could be shown; one more for each
    message: bytes
    received: float  # s, time.monotonic(): when its image came from the camera


class Session:
    """To be used in the event loop's thread."""

    def __init__(self, socket: Socket, clock: Callable[[], float] = time.monotonic) -> None:
        self._socket = socket
        self._clock = clock
        self._texts: deque[str] = deque(maxlen=_TEXTS)
        self._waiting: Picture | None = None
        self._on_the_way: deque[Picture] = deque()
        self._state: Callable[[], Json] | None = None
        self._delays: deque[float] = deque(maxlen=30)
        self._wake = asyncio.Event()
        self.is_watching = True
        self._last = 0  # number of the last picture sent; 0 at the beginning
        self.skipped = 0  # pictures that this client had to skip
        self.samples = 0  # number of the last sample of the history that was sent

    @property
    def is_hungry(self) -> bool:
        """Whether a picture would be sent at once."""
        return self.is_watching and self._waiting is None and len(self._on_the_way) < _WINDOW

    @property
    def delay(self) -> float | None:
        """Median of the seconds from an image's arrival at the server until the page has confirmed its picture."""
        return statistics.median(self._delays) if self._delays else None

    def offer(self, picture: Picture) -> None:
        """Sends a picture as soon as the client can take it, unless a newer one comes first."""
        if self.is_watching:
            self._waiting = picture
            self._wake.set()

    def confirm(self, sequence: int) -> None:
        """Confirms the picture of this number and all before it."""
        while self._on_the_way and self._on_the_way[0].sequence <= sequence:
            picture = self._on_the_way.popleft()
            if picture.sequence == sequence:
                self._delays.append(self._clock() - picture.received)
        self._wake.set()

    def watch(self, on: bool) -> None:
        """Whether the page is seen; one in the background gets no pictures."""
        self.is_watching = on
        self._last = 0
        if not on:
            self._waiting = None

    def say(self, message: Mapping[str, Any]) -> None:
        """Has a message sent after those that wait."""
        self._texts.append(json.dumps(message, allow_nan=False))
        self._wake.set()

    def report(self, state: Callable[[], Json]) -> None:
        """Has the state sent, as it is when there is room for it: one that waits is replaced."""
        self._state = state
        self._wake.set()

    async def send_forever(self) -> None:
        """Sends what waits, until it is cancelled.

        Raises:
            TimeoutError: if a message does not leave within 20 s.
            ConnectionError: if the client is gone.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._texts:
                await self._in_time(self._socket.send_str(self._texts.popleft()))
            if self._state is not None:
                state, self._state = self._state, None
                await self._in_time(self._socket.send_str(json.dumps(state(), allow_nan=False)))
            await self._send_picture()

    async def _send_picture(self) -> None:
        if self._waiting is None or len(self._on_the_way) >= _WINDOW:
            return
        picture, self._waiting = self._waiting, None
        self._on_the_way.append(picture)
        self.skipped += picture.sequence - self._last - 1 if self._last else 0
        self._last = picture.sequence
        await self._in_time(self._socket.send_bytes(picture.message))

    async def _in_time(self, sending: Any) -> None:
        await asyncio.wait_for(sending, PATIENCE)
