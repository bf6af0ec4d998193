# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The page's HTTP server: static files and one WebSocket for each browser.

It is independent of ROS: it reaches the tracker through a `TrackerLink` (tracker_link.py), or a test's substitute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, WSMsgType, web

from atom_ros.web.access import Access, RateLimit
from atom_ros.web.pictures import encode
from atom_ros.web.protocol import (
    MAX_COMMAND,
    Command,
    Json,
    ProtocolError,
    parse,
    picture_message,
    reply_id,
    track_fields,
)
from atom_ros.web.session import Picture, Session

if TYPE_CHECKING:
    from atom_ros.web.pairing import Shown
    from atom_ros.web.tracker_link import TrackerLink
    from atom_tracker.msg import TrackArray

STATIC = Path(__file__).parent / "static"
FILES = {"/": "index.html", "/app.js": "app.js", "/style.css": "style.css", "/icon.svg": "icon.svg"}
WRONG_TOKEN = 4401  # the WebSocket's close code; codes from 4000 are free for applications
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_LARGEST = 16 * MAX_COMMAND  # bytes; a larger message closes its connection, a smaller one gets an error
HELLO_TIMEOUT = 5.0  # s for the first message
REFUSAL_DELAY = 1.0  # s before the answer to a wrong token
_STATE_PERIOD = 0.2  # s between two reports of the state
_HEARTBEAT = 15.0  # s


@dataclass(frozen=True)
class ServerLimits:
    """Limits on clients."""

    clients: int = 8
    messages: float = 100.0  # per second from each client; more have to wait
    commands: float = 10.0  # per second from each client; more are refused
    pending: int = 8  # commands of a client that wait for the tracker
    pictures: float = 30.0  # per second
    quality: int = 80  # of the jpegs
    width: int = 1280  # px; wider images are shrunk


class Server:
    """Serves the page, in one event loop."""

    def __init__(
        self, link: TrackerLink, access: Access, limits: ServerLimits | None = None, log: logging.Logger | None = None
    ) -> None:
        """Args: `link`: to the tracker; `log`: anything with logging's methods."""
        self._link = link
        self._access = access
        self._limits = limits or ServerLimits()
        self._log = log or logging.getLogger(__name__)
        self._sessions: dict[Session, web.WebSocketResponse] = {}
        self._strangers = 0  # connections that have not sent hello
        self._sequence = 0  # of images that could be shown
        self._next: tuple[int, Shown] | None = None  # the next image to encode, with its number
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        link.on_shown = self._offer
        link.on_late_tracks = self._tell_late_tracks
        link.on_parameters = self._tell_parameters

    def application(self) -> web.Application:
        """The application for aiohttp's runner."""
        application = web.Application(client_max_size=MAX_COMMAND)
        for path in FILES:
            application.router.add_get(path, self._file)
        application.router.add_get("/ws", self._websocket)
        application.on_startup.append(self._start)
        application.on_shutdown.append(self.stop)
        return application

    async def _start(self, _: web.Application) -> None:
        self._tasks = [asyncio.create_task(self._encode_forever()), asyncio.create_task(self._report_forever())]

    @property
    def clients(self) -> int:
        """Number of open pages."""
        return len(self._sessions)

    async def stop(self, _: web.Application | None = None) -> None:
        """Ends all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for socket in list(self._sessions.values()):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    # Requests

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / FILES[request.path], headers=_HEADERS)

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        obstacle = self._access.obstacle(request.headers.get("Host", ""), request.headers.get("Origin"))
        if obstacle:
            self._log.warning(f"Connection from {request.remote} refused: {obstacle}")
            return web.Response(status=403, text=obstacle + "\n", headers=_HEADERS)
        socket = web.WebSocketResponse(max_msg_size=_LARGEST, heartbeat=_HEARTBEAT, compress=False)
        await socket.prepare(request)
        if self._strangers >= self._limits.clients:
            await self._refuse(socket, "too many connections are being opened; try again later")
            return socket
        self._strangers += 1
        try:
            is_known = await self._greet(socket, request.remote)
        finally:
            self._strangers -= 1
        if is_known and len(self._sessions) >= self._limits.clients:
            await self._refuse(socket, f"{len(self._sessions)} pages are open already; close one of them")
        elif is_known:
            await self._serve(socket)
        return socket

    async def _refuse(
        self, socket: web.WebSocketResponse, reason: str, code: int = WSCloseCode.TRY_AGAIN_LATER
    ) -> None:
        with contextlib.suppress(ConnectionError):
            await socket.send_json({"type": "refused", "message": reason, "token": code == WRONG_TOKEN})
            await socket.close(code=code)

    async def _greet(self, socket: web.WebSocketResponse, remote: str | None) -> bool:
        """Whether the first message is a hello with the token; otherwise closes the connection."""
        token = None
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError, TypeError, ProtocolError):
            command = parse(await socket.receive_str(timeout=HELLO_TIMEOUT))
            token = command.fields["token"] if command.type == "hello" else None
        if token is None:
            await self._refuse(socket, "the first message must be a hello", WSCloseCode.POLICY_VIOLATION)
            return False
        if self._access.accepts(token):
            return True
        if token:
            self._log.warning(f"Wrong token from {remote}")
            await asyncio.sleep(REFUSAL_DELAY)
        await self._refuse(socket, "wrong token" if token else "the server asks for its token", WRONG_TOKEN)
        return False

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        """Serves one client, from its hello to its end."""
        session = Session(socket)
        self._sessions[session] = socket
        session.say({"type": "welcome", "tracker": self._link.name})
        session.say({"type": "parameters", "parameters": self._link.parameters})
        self._update_watching()
        sender = asyncio.create_task(self._send(session, socket))
        requests: set[asyncio.Task[None]] = set()
        try:
            await self._receive(session, socket, requests)
        finally:
            del self._sessions[session]
            self._update_watching()
            for task in (sender, *requests):
                task.cancel()
            await asyncio.gather(sender, *requests, return_exceptions=True)

    async def _send(self, session: Session, socket: web.WebSocketResponse) -> None:
        try:
            await session.send_forever()
        except (TimeoutError, ConnectionError, RuntimeError):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _receive(
        self, session: Session, socket: web.WebSocketResponse, requests: set[asyncio.Task[None]]
    ) -> None:
        messages = RateLimit(self._limits.messages, round(self._limits.messages))
        commands = RateLimit(self._limits.commands, round(2 * self._limits.commands))
        async for message in socket:
            # Messages beyond the rate stay unread: a client that sends too many waits, and costs no more than other
            # clients.
            await asyncio.sleep(messages.delay())
            if message.type != WSMsgType.TEXT:
                session.say({"type": "error", "message": "a binary message; expected text"})
                continue
            try:
                command = parse(message.data)
            except ProtocolError as error:
                session.say({"type": "error", "id": reply_id(message.data), "message": str(error)})
                continue
            if self._at_once(session, command):
                continue
            if not commands.allows() or len(requests) >= self._limits.pending:
                session.say(_answer(command, False, "too many requests at once; wait a moment"))
                continue
            task = asyncio.create_task(self._carry_out(session, command))
            requests.add(task)
            task.add_done_callback(requests.discard)

    # Commands

    def _at_once(self, session: Session, command: Command) -> bool:
        """Handles a command that needs no answer; returns whether it was one."""
        if command.type == "ack":
            session.confirm(command.fields["sequence"])
            self._wake.set()
        elif command.type == "watch":
            session.watch(command.fields["on"])
            self._update_watching()
        return command.type in ("ack", "watch", "hello")

    async def _carry_out(self, session: Session, command: Command) -> None:
        try:
            result = await self._request(command.type, command.fields)
            session.say(_answer(command, True, result))
        except (TimeoutError, RuntimeError, ValueError, LookupError, OSError) as error:
            session.say(_answer(command, False, str(error) or "no answer in time"))
        except Exception as error:  # the boundary: the page gets the reason
            self._log.error(f"Request {command.type} failed: {type(error).__name__}: {error}")
            session.say(_answer(command, False, f"the server failed: {type(error).__name__}; see its log"))

    def _request(self, kind: str, fields: Json) -> Coroutine[Any, Any, str]:
        link = self._link
        if kind == "set_target":
            return link.set_target(fields["box"], fields["stamp"], fields["target"], fields["topic"])
        if kind == "remove_target":
            return link.remove_target(fields["target"])
        if kind == "pause":
            return link.pause(fields["on"])
        if kind == "set_parameter":
            return link.set_parameter(fields["name"], fields["value"])
        return link.choose_camera(fields["topic"])

    # Pictures and state

    def _update_watching(self) -> None:
        self._link.watch(any(session.is_watching for session in self._sessions))
        self._wake.set()

    def _offer(self, shown: Shown) -> None:
        self._sequence += 1
        self._next = self._sequence, shown
        self._wake.set()

    async def _encode_forever(self) -> None:
        """Encodes the newest image as soon as a client can receive it, once for all clients."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._next is None or not any(session.is_hungry for session in self._sessions):
                continue
            (sequence, shown), self._next = self._next, None
            started = time.monotonic()
            try:
                picture = await loop.run_in_executor(None, self._encode, sequence, shown)
            except ValueError as error:
                self._link.note_image_error(str(error))
                continue
            for session in self._sessions:
                session.offer(picture)
            await asyncio.sleep(max(0.0, started + 1.0 / self._limits.pictures - time.monotonic()))
            self._wake.set()

    def _encode(self, sequence: int, shown: Shown) -> Picture:
        jpeg = encode(shown.image, self._limits.quality, self._limits.width)
        stamp = shown.image.header.stamp
        header = {
            "sequence": sequence,
            "stamp": [stamp.sec, stamp.nanosec],
            "width": jpeg.width,
            "height": jpeg.height,
            "topic": shown.topic,
            "tracks": None if shown.tracks is None else [track_fields(track) for track in shown.tracks],
        }
        return Picture(sequence, picture_message(header, jpeg.data), shown.received)

    async def _report_forever(self) -> None:
        while True:
            for session in list(self._sessions):
                session.report(partial(self._state, session))
            await asyncio.sleep(_STATE_PERIOD)

    def _state(self, session: Session) -> Json:
        samples = self._link.history.after(session.samples)
        if samples:
            session.samples = samples[-1][0]
        delay = session.delay
        own = {
            "clients": len(self._sessions),
            "skipped": session.skipped,
            "delay_ms": None if delay is None else round(1e3 * delay),
        }
        return {"type": "state", "samples": samples, "page": own, **self._link.state()}

    def _tell_late_tracks(self, tracks: TrackArray) -> None:
        stamp = tracks.header.stamp
        fields = [track_fields(track) for track in tracks.tracks]
        for session in self._sessions:
            session.say({"type": "tracks", "stamp": [stamp.sec, stamp.nanosec], "tracks": fields})

    def _tell_parameters(self) -> None:
        for session in self._sessions:
            session.say({"type": "parameters", "parameters": self._link.parameters})


def _answer(command: Command, ok: bool, message: str) -> Json:
    return {"type": "answer", "id": command.id, "command": command.type, "ok": ok, "message": message}
