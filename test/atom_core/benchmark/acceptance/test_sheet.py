# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to a part is a line."""

import sys
from pathlib import Path

import pytest

from atom_core.benchmark.acceptance.sheet import Sheet, Status, run_isolated

sys.path.insert(0, str(Path(__file__).parent))  # a process of its own imports the work by its name
import misbehaving


def run(work, folder, *arguments, seconds=60.0):
    return {line.name: line for line in run_isolated("a part", work, arguments, folder, seconds)}


def test_lines_come_back_from_the_process(tmp_path) -> None:
    lines = run(misbehaving.work_well, tmp_path, 2)
    assert (lines["sum"].status, lines["sum"].text, lines["sum"].figures) == (Status.PASSED, "by hand", {"number": 2})
    assert lines["sum"].part == "a part"
    assert lines["end"].status is Status.TOLD and lines["end"].figures["seconds"] > 0
    assert run(misbehaving.work_well, tmp_path / "..", 3)["sum"].status is Status.FAILED


def test_what_is_raised_is_a_line_and_what_comes_after_goes_on(tmp_path) -> None:
    lines = run(misbehaving.fail_in_between, tmp_path)
    assert [line.status for line in lines.values()] == [Status.FAILED, Status.PASSED, Status.FAILED, Status.TOLD]
    assert lines["first"].text.startswith("RuntimeError: CUDA error: an illegal memory access (misbehaving.py, line ")
    assert lines["a part"].text.startswith("OSError: at the end")


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (misbehaving.crash, "the process ended with signal SIGSEGV: the last words"),
        (misbehaving.leave, "the process ended with status 7: nothing"),
    ],
)
def test_a_process_that_dies_leaves_its_lines_and_its_last_words(tmp_path, work, said) -> None:
    lines = run(work, tmp_path)
    assert lines["end"].status is Status.FAILED and lines["end"].text.startswith(said)
    assert ("before" in lines) == (work is misbehaving.crash)


def test_a_process_that_hangs_is_ended(tmp_path) -> None:
    lines = run(misbehaving.hang, tmp_path, seconds=25.0)
    assert lines["end"].status is Status.FAILED and lines["end"].text.startswith("not finished after 25 s, and ended")
    assert lines["before"].status is Status.PASSED


def test_a_line_that_was_cut_off_is_left_out(tmp_path) -> None:
    sheet = Sheet("a part", tmp_path / "lines")
    sheet.add("whole", Status.SKIPPED, "no reason")
    with (tmp_path / "lines").open("a") as file:
        file.write('{"part": "a pa')
    assert [line.name for line in sheet.lines()] == ["whole"]
