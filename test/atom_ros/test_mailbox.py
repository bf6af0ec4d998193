# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import threading
import time

import pytest

from atom_ros.mailbox import Mailbox


def test_the_newest_frame_wins() -> None:
    mailbox: Mailbox[int, str] = Mailbox()
    for frame in (1, 2, 3):
        mailbox.put_frame(frame)
    assert mailbox.take_frame() == 3
    assert mailbox.take_frame() is None


def test_every_command_is_kept_in_order() -> None:
    mailbox: Mailbox[int, str] = Mailbox()
    for command in "abc":
        mailbox.put_command(command)
    assert [mailbox.take_command() for _ in range(4)] == ["a", "b", "c", None]


def test_waiting_without_blocking() -> None:
    mailbox: Mailbox[int, str] = Mailbox()
    assert mailbox.wait(block=False)
    mailbox.close()
    assert not mailbox.wait(block=False)


@pytest.mark.parametrize(
    "put", [lambda box: box.put_frame(1), lambda box: box.put_command("a"), lambda box: box.close()]
)
def test_what_is_put_ends_a_wait(put) -> None:
    mailbox: Mailbox[int, str] = Mailbox()
    results: list[bool] = []
    waiting = threading.Thread(target=lambda: results.append(mailbox.wait()))
    waiting.start()
    put(mailbox)
    waiting.join(timeout=30)
    assert results == [mailbox.wait(block=False)]


def test_a_closed_mailbox_returns_what_was_not_taken() -> None:
    mailbox: Mailbox[int, str] = Mailbox()
    mailbox.put_command("a")
    mailbox.put_frame(1)
    assert mailbox.close() == ["a"]
    assert mailbox.take_command() is None and mailbox.take_frame() is None
    with pytest.raises(RuntimeError, match="closed"):
        mailbox.put_command("b")


def test_no_frame_is_taken_twice_by_several_threads() -> None:
    mailbox: Mailbox[int, str] = Mailbox()
    taken: list[int] = []

    def take() -> None:
        while mailbox.wait():
            frame = mailbox.take_frame()
            if frame is not None:
                taken.append(frame)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for frame in range(2000):
        mailbox.put_frame(frame)
    deadline = time.monotonic() + 30
    while 1999 not in taken and time.monotonic() < deadline:
        time.sleep(0.001)
    mailbox.close()
    for thread in threads:
        thread.join(timeout=30)
    assert 1999 in taken and len(taken) == len(set(taken))
