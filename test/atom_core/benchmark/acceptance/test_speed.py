# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The verdicts on the targets; real times are in test_command.py."""

import time

import pytest
import torch

from atom_core.benchmark.acceptance import speed
from atom_core.benchmark.acceptance.modes import Mode
from atom_core.benchmark.acceptance.profiling import Profile
from atom_core.benchmark.acceptance.sheet import Sheet, Status

H100, ORIN = "NVIDIA H100 80GB HBM3", "Orin"


@pytest.mark.parametrize(
    ("gpu", "video_ms", "host_ms", "statuses"),
    [
        (H100, 6.6, 0.9, [Status.PASSED, Status.PASSED]),
        (H100, 6.7, 1.1, [Status.FAILED, Status.FAILED]),
        ("NVIDIA H200", 6.6, 1.1, [Status.PASSED, Status.FAILED]),
        (ORIN, 30.0, 5.0, [Status.TOLD, Status.TOLD]),
    ],
)
def test_the_targets_are_those_of_an_h100(tmp_path, gpu, video_ms, host_ms, statuses) -> None:
    sheet = Sheet("speed", tmp_path / "lines")
    seen = Profile(5, 1, 60, 3.0, 0.1, 0.1, 2.0, host_ms)
    speed.judge_targets(sheet, Mode("float32", "graph"), gpu, video_ms, seen)
    assert [line.status for line in sheet.lines()] == statuses
    assert [line.name for line in sheet.lines()] == ["float32 captured, rate", "float32 captured, host"]


def test_without_a_profile_the_rate_is_judged(tmp_path) -> None:
    sheet = Sheet("speed", tmp_path / "lines")
    speed.judge_targets(sheet, Mode("float16", "graph"), H100, 5.0, None)
    (line,) = sheet.lines()
    assert (line.name, line.status) == ("float16 captured, rate", Status.PASSED)
    assert line.text.startswith("200 images a second; at least 150")


def test_both_clocks_tell_the_same_on_the_cpu() -> None:
    result, clocks = speed.clocked(lambda: time.sleep(0.05), torch.device("cpu"))
    assert result is None and 0.05 <= clocks.device <= clocks.wall
