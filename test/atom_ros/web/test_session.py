# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A client of which the test decides what it takes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from atom_ros.web import session as module
from atom_ros.web.session import Picture, Session


class Client:
    """The other end: takes what is sent while `reads` is set."""

    def __init__(self) -> None:
        self.texts: list[dict[str, object]] = []
        self.pictures: list[int] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def send_str(self, data: str) -> None:
        await self.reads.wait()
        self.texts.append(json.loads(data))

    async def send_bytes(self, data: bytes) -> None:
        await self.reads.wait()
        self.pictures.append(int(data))


def _run(scenario: Callable[[Session, Client, Callable[[], Awaitable[None]]], Awaitable[None]]) -> None:
    async def run() -> None:
        client = Client()
        session = Session(client, clock=lambda: 10.0)
        sender = asyncio.create_task(session.send_forever())

        async def settle() -> None:
            for _ in range(20):
                await asyncio.sleep(0)

        await scenario(session, client, settle)
        sender.cancel()

    asyncio.run(run())


def _picture(number: int) -> Picture:
    return Picture(number, str(number).encode(), received=9.5)


def test_two_pictures_travel_and_of_the_others_the_newest_waits() -> None:
    async def scenario(session: Session, client: Client, settle: Callable[[], Awaitable[None]]) -> None:
        for number in (1, 2, 3, 4, 5):
            session.offer(_picture(number))
            await settle()
        assert client.pictures == [1, 2] and not session.is_hungry
        session.confirm(1)
        await settle()
        assert client.pictures == [1, 2, 5], "never an older one"
        assert session.skipped == 2, "3 and 4"
        assert session.delay == pytest.approx(0.5)
        session.confirm(5)
        await settle()
        assert session.is_hungry

    _run(scenario)


def test_confirming_what_was_not_sent_changes_nothing() -> None:
    async def scenario(session: Session, client: Client, settle: Callable[[], Awaitable[None]]) -> None:
        session.confirm(99)
        session.offer(_picture(1))
        await settle()
        session.confirm(0)
        session.offer(_picture(2))
        session.offer(_picture(3))
        await settle()
        assert client.pictures == [1, 3] and not session.is_hungry
        session.confirm(10**9)
        assert session.is_hungry and session.delay is None, "nothing can be said about pictures of another number"

    _run(scenario)


def test_a_page_in_the_background_gets_no_pictures_and_misses_none() -> None:
    async def scenario(session: Session, client: Client, settle: Callable[[], Awaitable[None]]) -> None:
        session.offer(_picture(1))
        await settle()
        session.confirm(1)
        session.watch(False)
        session.offer(_picture(2))
        assert not session.is_hungry
        session.watch(True)
        session.offer(_picture(50))
        await settle()
        assert client.pictures == [1, 50] and session.skipped == 0

    _run(scenario)


def test_of_the_state_only_the_newest_waits_and_answers_all() -> None:
    async def scenario(session: Session, client: Client, settle: Callable[[], Awaitable[None]]) -> None:
        client.reads.clear()
        session.say({"answer": 1})
        await settle()
        for number in range(5):
            session.report(lambda number=number: {"state": number})
        session.say({"answer": 2})
        client.reads.set()
        await settle()
        assert client.texts == [{"answer": 1}, {"answer": 2}, {"state": 4}]

    _run(scenario)


def test_who_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    async def run() -> None:
        client = Client()
        client.reads.clear()
        session = Session(client)
        session.say({"answer": 1})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.send_forever(), 30)

    asyncio.run(run())
