# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from atom_ros.benchmark import page
from atom_ros.benchmark.page import Block, cpu_seconds, extra


def blocks(*milliseconds: float) -> list[Block]:
    """Without a client, with one, without, ..."""
    return [Block(i % 2 == 1, ms, 2 * ms, 1.0, 2.0, 10, 10 * (i % 2)) for i, ms in enumerate(milliseconds)]


def test_a_block_is_compared_with_its_neighbours() -> None:
    # 12 - 10.5, 14 - 11.5 and 13 - 12.5, while the machine slows down.
    added, error = extra(blocks(10, 12, 11, 14, 12, 13, 13), "processing_ms")
    assert added == pytest.approx(1.5)
    assert error == pytest.approx(1.25 * 1.0 / 3**0.5)
    assert extra(blocks(10, 12, 11, 14, 12, 13, 13), "tracker_cpu_ms")[0] == 0


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_blocks_must_alternate(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} blocks do not alternate"):
        extra(blocks(*range(count)), "processing_ms")


def test_cpu_time_is_that_of_work_and_not_of_sleep() -> None:
    before, end = cpu_seconds(os.getpid()), time.process_time() + 0.3
    while time.process_time() < end:
        pass
    worked = cpu_seconds(os.getpid())
    assert worked - before == pytest.approx(0.3, abs=0.1)


def test_a_few_seconds_for_real(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "blocks.json"
    options = ["--blocks", "1", "--seconds", "2", "--fps", "5", "--size", "320x240", "--device", "cpu"]
    assert page.main([*options, "--limit", "1e9", "--output", str(output)]) == 0
    told = capsys.readouterr().out
    assert "a client adds" in told and "CPU time of the tracker's process" in told
    measured = json.loads(output.read_text())
    assert [block["has_client"] for block in measured] == [False, True, False]
    assert [block["pictures"] > 0 for block in measured] == [False, True, False]
    assert all(block["tracker_cpu_ms"] > 0 for block in measured)


@pytest.mark.parametrize("arguments", [["--blocks", "0"], ["--seconds", "nan"], ["--size", "12"], ["--fps", "0.5"]])
def test_wrong_arguments_are_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        page.main(arguments)
    assert arguments[-1] in capsys.readouterr().err
