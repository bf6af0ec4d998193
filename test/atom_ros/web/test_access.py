# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest

from atom_ros.web.access import Access, RateLimit, is_local, new_token

TOKEN = "a-given-token"


def test_which_addresses_are_this_machine_s_own() -> None:
    assert all(map(is_local, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_local, ("0.0.0.0", "::", "192.168.0.7", "robot.local", "")))


def test_no_server_for_others_without_a_token() -> None:
    with pytest.raises(ValueError, match=r"0\.0\.0\.0 without a token"):
        Access("0.0.0.0")
    assert Access("127.0.0.1").accepts("") and not Access("0.0.0.0", TOKEN).accepts("")


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:9000", "[::1]:8080", "localhost", "LocalHost:8080"])
def test_the_page_itself_may_connect(host: str) -> None:
    assert Access("127.0.0.1").obstacle(host, f"http://{host}") == ""


@pytest.mark.parametrize(
    ("host", "origin", "word"),
    [
        ("localhost:8080", "http://evil.example", "Origin"),
        ("localhost:8080", "http://localhost:9999", "Origin"),  # another server on this machine
        ("localhost:8080", "null", "Origin"),  # a file, or a page in a sandbox
        ("localhost:8080", None, "Origin"),
        ("evil.example:8080", "http://evil.example:8080", "Host"),  # its name was given this machine's address
        ("localhost.evil.example", "http://localhost.evil.example", "Host"),
        ("", "", "Host"),
        ("[", "http://[", "Host"),
    ],
)
def test_other_sites_may_not(host: str, origin: str | None, word: str) -> None:
    assert word in Access("127.0.0.1").obstacle(host, origin)


def test_with_a_token_the_robot_s_name_counts_and_other_sites_still_do_not() -> None:
    access = Access("0.0.0.0", TOKEN)
    assert access.obstacle("robot.local:8080", "http://robot.local:8080") == ""
    assert "Origin" in access.obstacle("robot.local:8080", "http://evil.example")
    assert access.accepts(TOKEN)
    assert not any(map(access.accepts, ("", TOKEN[:-1], TOKEN + "x", "ä")))
    assert Access("127.0.0.1").accepts("anything"), "there is none to ask for"


def test_new_tokens_differ() -> None:
    first, second = new_token(), new_token()
    assert first != second and len(first) >= 22  # 128 bits, 6 in a character


def test_rates() -> None:
    now = [0.0]
    limit = RateLimit(rate=2.0, burst=3, clock=lambda: now[0])
    assert [limit.allows() for _ in range(4)] == [True, True, True, False]
    now[0] = 0.5  # one more
    assert [limit.allows() for _ in range(2)] == [True, False]
    now[0] = 100.0  # the burst, not 199
    assert [limit.allows() for _ in range(4)] == [True, True, True, False]


def test_what_is_too_much_waits_its_turn() -> None:
    now = [0.0]
    limit = RateLimit(rate=10.0, burst=2, clock=lambda: now[0])
    assert [limit.delay() for _ in range(4)] == pytest.approx([0.0, 0.0, 0.1, 0.2])
    now[0] = 0.2
    assert limit.delay() == pytest.approx(0.1)
