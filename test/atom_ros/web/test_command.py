# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The page's command line; test_page has the running program."""

import pytest

from atom_ros.web import command

TOKEN = "ATOM_TRACKER_WEB_TOKEN"


@pytest.fixture(autouse=True)
def _signals_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program takes over the process's signals; a test runs in the process of all."""
    monkeypatch.setattr(command, "Ending", lambda: None)
    monkeypatch.delenv(TOKEN, raising=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rate", "0"], "--rate is 0.0; expected 0.1 to 120"),
        (["--quality", "101"], "--quality is 101; expected 1 to 100"),
        (["--width", "63"], "--width is 63; expected 64 to 8192"),
        (["--clients", "0"], "--clients is 0; expected 1 to 100"),
        (["--port", "65536"], "--port is 65536; expected 0 to 65535"),
        (["--nice", "20"], "--nice is 20; expected 0 to 19"),
    ],
)
def test_numbers_out_of_range_are_named(words: list[str], message: str, capsys) -> None:
    assert command.main(words) == 2
    assert capsys.readouterr().err == f"web: {message}\n"


def test_a_short_token_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv(TOKEN, "elevenchars")
    assert command.main(["--host", "0.0.0.0"]) == 2
    error = capsys.readouterr().err
    assert f"{TOKEN} has 11 characters; expected at least 12" in error and "elevenchars" not in error


def test_help_names_the_options(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    printed = capsys.readouterr().out
    assert all(
        f"--{name}" in printed for name in ("tracker", "host", "port", "rate", "quality", "width", "clients", "nice")
    )
