# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from atom_ros.benchmark import soak
from atom_ros.benchmark.soak import Line, growth, slope


def lines(*memory: float) -> list[Line]:
    """A line every half minute."""
    return [Line(0.5 * (i + 1), m, 300, 20.0, 30.0, 40.0, 300, 0, 0, True) for i, m in enumerate(memory)]


def test_growth_leaves_out_the_warm_up() -> None:
    # Fifths of two lines: the second holds 200 and 202, the last one 206 and 210.
    assert growth(lines(100, 180, 200, 202, 300, 300, 300, 300, 206, 210)) == 208 - 201
    assert math.isnan(growth(lines(1, 2, 3, 4)))


def test_slope_is_per_minute() -> None:
    assert slope(lines(0, 100, 101, 102, 103)) == pytest.approx(2.0)
    assert slope(lines(500, 7, 7, 7, 7)) == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(slope(lines(1)))


def test_a_few_seconds_for_real(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "soak.csv"
    arguments = ["0.2", "--every", "6", "--size", "320x240", "--fps", "5", "--device", "cpu", "--csv", str(path)]
    assert soak.main(arguments) == 0
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 1  # two, unless the machine is busy
    assert all(int(row["requests"]) == 11 and float(row["answer_max"]) > 0 for row in rows)
    assert all(float(row["memory"]) > 100 for row in rows)
    assert sum(int(row["tracks"]) for row in rows) > 0
    assert "MB a minute" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["0"], ["-1"], ["nan"], ["1", "--size", "12"], ["1", "--size", "4x4"]])
def test_wrong_arguments_are_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        soak.main(arguments)
    assert arguments[-1] in capsys.readouterr().err
