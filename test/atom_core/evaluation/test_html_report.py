# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from atom_core.data.sequences import Sequence
from atom_core.evaluation.html_report import build_page
from atom_core.evaluation.runner import Run
from atom_core.evaluation.summary import summarize_all

NASTY = "<script>alert('x')</script> & \"co\""
BOX = (20.0, 20.0, 10.0, 10.0)
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Checks that each element is closed, and gathers texts and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.texts, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


def make_run(tracker: str, shifts: list[float], seed: int = 0) -> Run:
    boxes = np.array([BOX] * len(shifts)) + np.array([[shift, 0, 0, 0] for shift in shifts])
    nothing = np.full(len(shifts), np.nan)
    return Run(tracker, NASTY, boxes, nothing, nothing, ("TRACKING",) * len(shifts), np.ones(len(shifts)), seed)


@pytest.fixture(scope="module")
def results():
    """Two trackers with nasty names on a sequence with another, their runs, the sequence."""
    sequence = Sequence(NASTY, [np.zeros((60, 80, 3), np.uint8)] * 3, np.tile(BOX, (3, 1)))
    runs = [make_run(NASTY, [0, 1, 20], seed=0), make_run(NASTY, [0, 1, 1], seed=1), make_run("other", [0, 0, 0])]
    trackers = summarize_all(runs, [sequence])
    trackers[NASTY]["settings"] = {"network": NASTY, "config": {"memory_size": 100, "seed": 5}}
    trackers["other"]["settings"] = {"baseline": "other"}
    settings = {
        "folder": NASTY,
        "lost_is_miss": False,
        "jobs": 2,
        "cpu": "c",
        "cpu_cores": 2,
        "cpu_threads": 1,
        "gpu": "none",
    }
    failures = [{"run": NASTY, "reason": "no image"}]
    return {"settings": settings, "trackers": trackers, "failures": failures}, runs, [sequence]


def test_the_page_is_well_formed_and_escapes_every_name(results):
    text = build_page(NASTY, *results)
    page = Page(text)
    assert "script" not in page.tags
    assert f"Trackers on {NASTY}" in page.texts
    assert f"{NASTY}: no image" in page.texts
    assert page.tags.count("svg") == 5
    assert page.tags.count("img") == 3


def test_the_page_needs_nothing_else(results):
    text = build_page("data", *results)
    attributes = dict.fromkeys(Page(text).attributes)
    sources = [value for name, value in attributes if name in ("src", "href", "xlink:href", "data", "srcset")]
    assert sources
    assert all(value.startswith(("data:image/jpeg;base64,", "#")) for value in sources)
    assert not re.search(r"@import|url\((?!#)", text)


def test_identifiers_are_unique(results):
    identifiers = [value for name, value in Page(build_page("data", *results)).attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))


def test_tables_have_captions_and_heads_and_pictures_a_text(results):
    page = Page(build_page("data", *results))
    assert page.tags.count("caption") == page.tags.count("table") == page.tags.count("thead")
    scopes = [value for name, value in page.attributes if name == "scope"]
    assert len(scopes) == page.tags.count("th")
    assert page.tags.count("img") == len([value for name, value in page.attributes if name == "alt" and value])


def test_figures_spread_and_changed_settings_are_there(results):
    page = Page(build_page("data", *results))
    # AUC of the seeds: 2 of 3 frames at 9/11 (17 of 21 thresholds) or 0; (20 + 17 + 0) / 63 and (20 + 17 + 17) / 63
    assert "0.722" in page.texts  # their mean, (37 + 54) / 126
    assert "±0.135" in page.texts  # of two seeds that differ by 17 / 63, half of it
    assert "0.952" in page.texts  # the other's 20 / 21
    assert "memory_size=100" in page.texts
    assert any("2 runs were made in parallel" in line for line in page.texts)


def test_without_ground_truth_there_are_neither_plots_nor_pictures():
    sequence = Sequence(NASTY, [], np.array([BOX, [np.nan] * 4, [np.nan] * 4]))
    runs = [make_run("a", [0, 0, 0])]
    trackers = summarize_all(runs, [sequence])
    trackers["a"]["settings"] = {}
    settings = {"lost_is_miss": True, "jobs": 1, "cpu": "c", "cpu_cores": 2, "cpu_threads": 1, "gpu": "none"}
    page = Page(build_page("data", {"settings": settings, "trackers": trackers, "failures": []}, runs, [sequence]))
    assert not {"svg", "img"} & set(page.tags)
    assert "1000.0" in page.texts  # the speed is there
