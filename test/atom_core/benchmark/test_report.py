# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from results_example import results

from atom_core.benchmark.report import grid, rows, stage_names, table
from atom_core.benchmark.timing import REST


def test_columns_are_aligned_the_first_to_the_left() -> None:
    assert grid([["a", "10", "x"], ["bcd", "5", "yy"]]) == ["a    10   x", "bcd   5  yy"]


def test_stages_keep_their_order_and_the_rest_is_last() -> None:
    groups = [{REST: 1, "crop": 1}, {"crop": 1, "backbone": 1}]
    assert stage_names(groups) == ["crop", "backbone", REST]


def test_rows_hold_the_baselines_by_their_names() -> None:
    assert [place for place, _ in rows(results())] == [
        ("480x360", "video"),
        ("480x360", "plain"),
        ("480x360", "kcf video"),
    ]


def test_the_table_shows_times_counts_stages_and_memory() -> None:
    lines = [line.split() for line in table(results()).splitlines()]
    assert ["plain", "10", "20.00", "40.00", "25.00", "50", "1", "2"] in lines
    assert ["kcf", "video", "10", "10.00", "12.00", "11.00", "-", "-", "-"] in lines
    assert ["backbone", "8.00"] in lines
    text = table(results())
    assert "plain: 3 of 10 frames are of this kind through changed thresholds" in text
    assert "warm-up: no frames" in text and "video: 9 tracking, 1 lost" in text
    assert "video, host_mb: 100.0 at frame 5, 101.5 at frame 10" in text and "gpu_mb" not in text
    assert "first_tracker: host_mb 100.0" in text


def test_several_sizes_are_compared_in_a_table_of_their_own() -> None:
    assert "median ms  video" not in table(results())
    lines = [line.split() for line in table(results(("480x360", "640x480"))).splitlines()]
    start = lines.index(["median", "ms", "video", "plain", "kcf", "video"])
    assert lines[start + 1 : start + 3] == [
        ["480x360", "21.00", "20.00", "10.00"],
        ["640x480", "21.00", "20.00", "10.00"],
    ]
