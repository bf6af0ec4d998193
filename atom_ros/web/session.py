# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""One browser's connection: its waiting messages, and flow control.

A picture is sent only while fewer than two are unconfirmed; otherwise the newest one waits and replaces an older one.
So a slow client gets fewer pictures, but never an old one. It does not delay others: each session sends in its own
task.
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

_WINDOW = 2  # unconfirmed pictures: one being shown and one in transit
_TEXTS = 100  # waiting answers; requests are bounded, so only a client that reads nothing reaches this number
PATIENCE = 20.0  # s for sending one message


class Socket(Protocol):
    """The part of aiohttp's WebSocketResponse that a session needs."""

    async def send_str(self, data: str) -> None:
        """Sends a text; returns when the network has room for more."""

    async def send_bytes(self, data: bytes) -> None:
        """Sends bytes; returns when the network has room for more."""


@dataclass(frozen=True)
class Picture:
    """An encoded picture."""

    sequence: int  # 1 for the first image that could be shown, increasing
    message: bytes
    received: float  # s, time.monotonic(): arrival of its image from the camera


class Session:
    """A session. Use it in the event loop's thread."""

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
        self._last = 0  # number of the last picture sent; 0 at first
        self.skipped = 0  # pictures that this client skipped
        self.samples = 0  # number of the last sample of the history that was sent

    @property
    def is_hungry(self) -> bool:
        """Whether a picture would be sent at once."""
        return self.is_watching and self._waiting is None and len(self._on_the_way) < _WINDOW

    @property
    def delay(self) -> float | None:
        """Median time in s from an image's arrival at the server to the page's confirmation of its picture."""
        return statistics.median(self._delays) if self._delays else None

    def offer(self, picture: Picture) -> None:
        """Sends a picture as soon as the client can receive it, unless a newer one comes first."""
        if self.is_watching:
            self._waiting = picture
            self._wake.set()

    def confirm(self, sequence: int) -> None:
        """Confirms this picture and all before it."""
        while self._on_the_way and self._on_the_way[0].sequence <= sequence:
            picture = self._on_the_way.popleft()
            if picture.sequence == sequence:
                self._delays.append(self._clock() - picture.received)
        self._wake.set()

    def watch(self, on: bool) -> None:
        """Sets whether the page is visible; a page in the background gets no pictures."""
        self.is_watching = on
        self._last = 0
        if not on:
            self._waiting = None

    def say(self, message: Mapping[str, Any]) -> None:
        """Queues a message."""
        self._texts.append(json.dumps(message, allow_nan=False))
        self._wake.set()

    def report(self, state: Callable[[], Json]) -> None:
        """Queues the state, which is read when it is sent; it replaces a waiting one."""
        self._state = state
        self._wake.set()

    async def send_forever(self) -> None:
        """Sends queued messages until cancelled.

        Raises:
            TimeoutError: if a message cannot be sent within 20 s.
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
