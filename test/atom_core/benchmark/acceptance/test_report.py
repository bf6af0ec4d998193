# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
from html.parser import HTMLParser

from atom_core.benchmark.acceptance.report import build_page, count, has_passed, write_report
from atom_core.benchmark.acceptance.sheet import Line, Status

LINES = [
    Line("versions", "torch", Status.PASSED, "2.14.1"),
    Line("tests", "test_a[cuda]", Status.FAILED, "<b>assert</b>", {"stride 8": 0.25, "IoU": float("nan")}),
    Line("tests", "test_b[cuda]", Status.SKIPPED, "no reason"),
]
CIRCUMSTANCES = {"run": {"date": "today"}, "settings": {"device": "cuda"}}


class Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)

    def handle_data(self, data) -> None:
        self.texts.append(data)


def test_all_has_passed_only_if_something_did_and_nothing_failed() -> None:
    assert has_passed([LINES[0], LINES[2]])
    assert not has_passed(LINES) and not has_passed([LINES[2]]) and not has_passed([])
    assert count(LINES) == "1 passed, 1 failed, 1 skipped" and count([]) == "nothing"


def test_both_files(tmp_path) -> None:
    write_report(tmp_path, CIRCUMSTANCES, LINES)
    results = json.loads((tmp_path / "report.json").read_text())
    assert results["format"] == "atom-bench accept 1" and results["passed"] is False
    assert results["run"] == {"date": "today"} and len(results["lines"]) == 3
    assert results["lines"][1] == {
        "part": "tests",
        "name": "test_a[cuda]",
        "status": "failed",
        "text": "<b>assert</b>",
        "figures": {"stride 8": 0.25, "IoU": "nan"},
    }
    assert (tmp_path / "report.html").read_text() == build_page(CIRCUMSTANCES, LINES)


def test_the_page_shows_every_line_and_escapes_it() -> None:
    parser = Texts()
    parser.feed(build_page(CIRCUMSTANCES, LINES))
    for text in ("Acceptance of the device cuda", "Not everything passed", "test_b[cuda]", "<b>assert</b>", "0.25"):
        assert text in parser.texts, text
    assert "tests: test_a[cuda]: <b>assert</b>" in parser.texts
    assert "b" not in parser.tags and "script" not in parser.tags
    assert "Everything passed" in build_page(CIRCUMSTANCES, LINES[:1])
