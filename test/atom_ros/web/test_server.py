# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The server on a real socket, with real WebSockets; what it asks of the tracker is a stand-in's."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from aiohttp import web
from fake_link import BOX, FakeLink, image, track

from atom_ros.web import server as module
from atom_ros.web.access import Access
from atom_ros.web.protocol import MAX_COMMAND, split_picture
from atom_ros.web.server import FILES, Server, ServerLimits
from atom_tracker.msg import Track, TrackArray

TOKEN = "a-given-token"
TIMEOUT = 60.0


class Page:
    """A client that reads all that comes, as a browser does, and confirms pictures if a test asks for it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, confirms: bool) -> None:
        self.socket = socket
        self.confirms = confirms
        self.messages: list[dict[str, Any]] = []
        self.pictures: list[tuple[dict[str, Any], bytes]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type == aiohttp.WSMsgType.TEXT:
                self.messages.append(json.loads(message.data))
                continue
            self.pictures.append(split_picture(message.data))
            if self.confirms:
                await self.say(type="ack", sequence=self.pictures[-1][0]["sequence"])

    async def say(self, **message: object) -> None:
        await self.socket.send_json(message)

    async def ask(self, **message: object) -> dict[str, Any]:
        """Sends a message and waits for its answer."""
        number = 1 + sum(1 for m in self.messages if m["type"] in ("answer", "error"))
        await self.say(id=number, **message)
        return await self.heard(lambda m: m.get("id") == number)

    async def heard(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        await until(lambda: any(map(wanted, self.messages)))
        return next(filter(wanted, self.messages))

    def seconds(self) -> list[int]:
        """The stamps of the pictures that came."""
        return [header["stamp"][0] for header, _ in self.pictures]

    async def ended(self) -> int | None:
        await asyncio.wait_for(self._reading, TIMEOUT)
        return self.socket.close_code


class House:
    """A server and the way to it."""

    def __init__(self, link: FakeLink, server: Server, http: aiohttp.ClientSession, port: int) -> None:
        self.link, self.server, self.http = link, server, http
        self.url = f"http://127.0.0.1:{port}"

    async def visit(self, token: str | None = None, confirms: bool = True, **headers: str) -> Page:
        socket = await self.http.ws_connect(f"{self.url}/ws", headers={"Origin": self.url} | headers)
        page = Page(socket, confirms)
        await page.say(type="hello", token=token)
        return page

    async def welcomed(self, **options: Any) -> Page:
        page = await self.visit(**options)
        await page.heard(lambda message: message["type"] == "state")
        return page


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def opened(access: Access | None = None, limits: ServerLimits | None = None) -> AsyncIterator[House]:
    link = FakeLink()
    server = Server(link, access or Access("127.0.0.1"), limits or ServerLimits(pictures=1000.0))
    runner = web.AppRunner(server.application(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield House(link, server, http, runner.addresses[0][1])
    await runner.cleanup()


def run(scenario: Callable[[House], Awaitable[None]], **options: Any) -> None:
    async def play() -> None:
        async with opened(**options) as house:
            await scenario(house)

    asyncio.run(asyncio.wait_for(play(), 2 * TIMEOUT))


def test_the_files_are_served_with_headers_that_keep_others_out() -> None:
    async def scenario(house: House) -> None:
        for path, kind in zip(FILES, ("text/html", "javascript", "text/css", "image/svg+xml"), strict=True):
            async with house.http.get(house.url + path) as response:
                assert response.status == 200 and kind in response.headers["Content-Type"]
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
                assert "http" not in policy, "nothing from the network"
        for path in ("/../server.py", "/%2e%2e/server.py", "/static/app.js", "/server.py"):
            async with house.http.get(aiohttp.client.URL(house.url + path, encoded=True)) as response:
                assert response.status == 404
        async with house.http.post(house.url + "/") as response:
            assert response.status == 405

    run(scenario)


def test_a_picture_brings_the_tracks_of_its_stamp() -> None:
    async def scenario(house: House) -> None:
        page = await house.welcomed()
        assert house.link.is_watched
        welcome, parameters = page.messages[:2]
        assert welcome == {"type": "welcome", "tracker": "/tracker"}
        assert parameters == {"type": "parameters", "parameters": [{"name": "max_targets", "value": 1}]}
        house.link.show(Track.TRACKING, Track.LOST)
        await until(lambda: page.pictures)
        header, jpeg = page.pictures[0]
        seen = {"id": 1, "status": Track.TRACKING, "box": list(BOX), "confidence": 0.75}
        lost = {"id": 1, "status": Track.LOST, "box": None, "confidence": 0.75}
        assert header == {
            "sequence": 1,
            "stamp": [1, 0],
            "width": 64,
            "height": 48,
            "topic": "/camera",
            "tracks": [seen, lost],
        }
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (48, 64, 3)

    run(scenario)


def test_a_slow_client_gets_fewer_pictures_never_older_ones_and_slows_nobody() -> None:
    async def scenario(house: House) -> None:
        fast, slow = await house.welcomed(), await house.welcomed(confirms=False)
        for number in range(1, 41):
            house.link.show()
            await until(lambda number=number: number in fast.seconds())
        assert fast.seconds() == list(range(1, 41))
        assert slow.seconds() == [1, 2], "two are on their way"
        await slow.say(type="ack", sequence=1)
        await until(lambda: len(slow.pictures) == 3)
        assert slow.seconds() == [1, 2, 40], "the newest"
        state = await slow.heard(lambda m: m["type"] == "state" and m["page"]["skipped"])
        assert state["page"]["skipped"] == 37 and state["page"]["clients"] == 2
        assert not any(m["page"]["skipped"] for m in fast.messages if m["type"] == "state")

    run(scenario)


def test_no_picture_is_made_that_nobody_can_take() -> None:
    async def scenario(house: House) -> None:
        page = await house.welcomed(confirms=False)
        for _ in range(10):
            house.link.show()
            await asyncio.sleep(0.01)
        assert len(page.pictures) == 2
        await page.say(type="watch", on=False)
        await until(lambda: not house.link.is_watched)
        await page.say(type="ack", sequence=2)
        house.link.show()
        await page.say(type="watch", on=True)
        await until(lambda: len(page.pictures) == 3)
        assert page.seconds()[-1] == 11
        await page.socket.close()
        await until(lambda: not house.link.is_watched)

    run(scenario)


def test_an_image_that_cannot_be_shown_does_not_stop_the_others() -> None:
    async def scenario(house: House) -> None:
        page = await house.welcomed()
        house.link.show(encoding="purple8")
        await until(lambda: house.link.image_error)
        assert "encoding 'purple8' is not supported" in house.link.image_error
        house.link.show()
        await until(lambda: page.pictures)

    run(scenario)


def test_tracks_that_come_late_follow() -> None:
    async def scenario(house: House) -> None:
        page = await house.welcomed()
        house.link.on_late_tracks(TrackArray(header=image(7).header, tracks=[track(Track.TRACKING)]))
        message = await page.heard(lambda m: m["type"] == "tracks")
        assert message["stamp"] == [7, 0] and message["tracks"][0]["box"] == list(BOX)

    run(scenario)


def test_requests_reach_the_tracker_and_their_answers_who_asked() -> None:
    async def scenario(house: House) -> None:
        page, other = await house.welcomed(), await house.welcomed()
        box = list(BOX)
        answer = await page.ask(type="set_target", stamp=[5, 9], box=box, target=2, topic="/camera")
        assert answer == {"type": "answer", "id": 1, "command": "set_target", "ok": True, "message": "done"}
        for command, fields in (
            ("remove_target", {"target": 3}),
            ("pause", {"on": True}),
            ("set_parameter", {"name": "max_targets", "value": 4}),
            ("camera", {"topic": "/other"}),
        ):
            assert (await page.ask(type=command, **fields))["ok"]
        assert house.link.requests == [
            ("set_target", BOX, (5, 9), 2, "/camera"),
            ("remove_target", 3),
            ("pause", True),
            ("set_parameter", "max_targets", 4),
            ("camera", "/other"),
        ]
        assert not any(message["type"] == "answer" for message in other.messages)

    run(scenario)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (RuntimeError("box is too narrow"), "box is too narrow"),
        (ConnectionError("no service"), "no service"),
        (TimeoutError(), "no answer in time"),
        (ZeroDivisionError("a fault of ours"), "the server failed: ZeroDivisionError; see its log"),
    ],
)
def test_a_refusal_is_told(failure: Exception, message: str) -> None:
    async def scenario(house: House) -> None:
        page = await house.welcomed()
        house.link.failure = failure
        answer = await page.ask(type="pause", on=True)
        assert (answer["ok"], answer["message"]) == (False, message)
        house.link.failure = None
        assert (await page.ask(type="pause", on=False))["ok"]

    run(scenario)


def test_pictures_go_on_while_a_request_waits() -> None:
    async def scenario(house: House) -> None:
        page = await house.welcomed()
        house.link.gate = asyncio.Event()
        await page.say(type="pause", on=True, id=1)
        await until(lambda: house.link.requests)
        house.link.show()
        await until(lambda: page.pictures)
        house.link.gate.set()
        await page.heard(lambda m: m["type"] == "answer")

    run(scenario)


def test_a_bad_message_gets_an_error_and_closes_nothing() -> None:
    async def scenario(house: House) -> None:
        page, other = await house.welcomed(), await house.welcomed()
        await page.socket.send_str("{")
        assert "not JSON" in (await page.heard(lambda m: m["type"] == "error"))["message"]
        assert "type is 'reboot'" in (await page.ask(type="reboot"))["message"]
        await page.socket.send_bytes(b"\x00" * 10)
        await page.heard(lambda m: "expected text" in m.get("message", ""))
        await page.socket.send_str("x" * (MAX_COMMAND + 1))
        await page.heard(lambda m: "expected at most" in m.get("message", ""))
        assert (await page.ask(type="pause", on=True))["ok"] and (await other.ask(type="pause", on=True))["ok"]

    run(scenario)


def test_a_huge_message_ends_its_own_connection_only() -> None:
    async def scenario(house: House) -> None:
        page, other = await house.welcomed(), await house.welcomed()
        await page.socket.send_str("x" * (20 * MAX_COMMAND))
        assert await page.ended() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        assert (await other.ask(type="pause", on=True))["ok"]

    run(scenario)


def test_too_many_requests_are_refused() -> None:
    async def scenario(house: House) -> None:
        page, other = await house.welcomed(), await house.welcomed()
        house.link.gate = asyncio.Event()
        for number in range(1, 6):
            await page.say(type="pause", on=True, id=number)
        await page.heard(lambda m: m.get("id") == 4 and not m["ok"])
        assert len(house.link.requests) == 3, "three wait for the tracker"
        house.link.gate.set()
        for number in range(6, 40):
            await page.say(type="pause", on=True, id=number)
        answer = await page.heard(lambda m: m.get("id") == 39)
        assert (answer["ok"], answer["message"]) == (False, "too many requests at once; wait a moment")
        assert (await other.ask(type="pause", on=True))["ok"]

    run(scenario, limits=ServerLimits(pending=3))


def test_a_flood_is_read_no_faster_than_it_may_come() -> None:
    async def scenario(house: House) -> None:
        flood, other = await house.welcomed(), await house.welcomed()
        for number in range(150):
            await flood.say(type="reboot", id=number)
        await asyncio.sleep(0.3)
        read = sum(1 for message in flood.messages if message["type"] == "error")
        assert 50 <= read <= 100, "the burst, and 50 a second"
        assert (await other.ask(type="pause", on=True))["ok"]

    run(scenario, limits=ServerLimits(messages=50.0))


def test_so_many_pages_and_no_more() -> None:
    async def scenario(house: House) -> None:
        first, _ = await house.welcomed(), await house.welcomed()
        third = await house.visit()
        assert await third.ended() == aiohttp.WSCloseCode.TRY_AGAIN_LATER
        assert "2 pages are open already" in third.messages[0]["message"]
        await first.socket.close()
        await until(lambda: house.server.clients == 1)
        assert (await (await house.welcomed()).ask(type="pause", on=True))["ok"]

    run(scenario, limits=ServerLimits(clients=2))


def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELLO_TIMEOUT", 0.1)

    async def scenario(house: House) -> None:
        silent = Page(await house.http.ws_connect(f"{house.url}/ws", headers={"Origin": house.url}), False)
        rude = Page(await house.http.ws_connect(f"{house.url}/ws", headers={"Origin": house.url}), False)
        await rude.say(type="pause", on=True)
        for page in (silent, rude):
            assert await page.ended() == aiohttp.WSCloseCode.POLICY_VIOLATION
            assert page.messages[0]["message"] == "the first message must be a hello"
        assert house.link.requests == []

    run(scenario)


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_pages_of_other_sites_are_refused(headers: dict[str, str]) -> None:
    async def scenario(house: House) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await house.visit(**headers)
        assert error.value.status == 403
        async with house.http.get(f"{house.url}/ws", headers={"Origin": house.url}) as response:
            assert response.status == 400, "no WebSocket"

    run(scenario)


def test_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFUSAL_DELAY", 0.05)

    async def scenario(house: House) -> None:
        for token, reason in ((None, "the server asks for its token"), ("a-wrong-token", "wrong token")):
            page = await house.visit(token=token)
            assert await page.ended() == module.WRONG_TOKEN
            assert page.messages == [{"type": "refused", "message": reason, "token": True}]
        assert not house.link.is_watched
        page = await house.welcomed(token=TOKEN)
        house.link.show()
        await until(lambda: page.pictures)
        async with house.http.get(house.url + "/") as response:
            assert response.status == 200, "the files hold no secrets, and ask for the token"

    run(scenario, access=Access("0.0.0.0", TOKEN))


def test_the_end_of_the_server_ends_the_pages() -> None:
    async def play() -> None:
        async with opened() as house:
            page = await house.welcomed()
            await house.server.stop()
            assert await page.ended() == aiohttp.WSCloseCode.GOING_AWAY

    asyncio.run(play())
