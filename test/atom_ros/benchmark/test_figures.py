# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark's arithmetic, by hand."""

import pytest

from atom_ros.benchmark.figures import (
    Sample,
    Spread,
    by_minute,
    delay_figures,
    excesses,
    overhead_figures,
    own_overheads,
)

MS = 1_000_000  # ns


def _sample(stamp: float, published: float, arrival: float, processing: float) -> Sample:
    """All in ms."""
    return Sample(round(stamp * MS), round(published * MS), round(arrival * MS), processing)


# A camera of 100 Hz and a tracker of 25 ms. The second image comes at 10 ms and waits until 28 ms, when the first one's
# Track is published; then 2 ms of the node's own, 25 ms of tracking, and 1 ms until the Track has arrived.
FIRST = _sample(0, 28, 29, 25)
SECOND = _sample(10, 55, 56, 25)
LATE = _sample(100, 131, 132, 25)  # after a pause: nothing to wait for


def test_overhead_is_the_delay_less_the_trackers_own_time() -> None:
    assert [sample.delay_ms for sample in (FIRST, SECOND)] == [29, 46]
    assert [sample.overhead_ms for sample in (FIRST, SECOND)] == [4, 21]


def test_the_wait_for_the_image_before_is_the_trackers_time() -> None:
    assert own_overheads([FIRST, SECOND, LATE]) == [4, 56 - 28 - 25, 7]
    assert own_overheads([]) == []


def test_what_is_beyond_one_frame_time_and_the_tracking_time() -> None:
    assert excesses([FIRST, SECOND], period_ms=10) == [29 - 10 - 25, 46 - 10 - 25]


def test_spread() -> None:
    spread = Spread.of(range(101))  # the nearest ranks are the values themselves
    assert spread == Spread(count=101, median=50, p95=95, max=100)
    assert str(Spread(3, 1.26, 2.0, 10.0)) == "1.3 ms median, 2.0 ms p95, 10.0 ms max"
    with pytest.raises(ValueError, match="no times were measured"):
        Spread.of([])


def test_minutes_begin_with_the_first_image() -> None:
    begin, minute = 7_000, 60_000  # ms
    samples = [_sample(begin + late, 0, 0, 0) for late in (0, minute - 1, minute, 3 * minute + 1)]
    assert by_minute(samples) == [samples[:2], samples[2:3], [], samples[3:]]
    assert by_minute([]) == []


def test_figures_of_a_run() -> None:
    later = _sample(60_000, 60_027, 60_029, 25)  # in the second minute
    figures = delay_figures([FIRST, SECOND, LATE, later], period_ms=10)
    assert figures["delay_ms"]["max"] == 46
    assert figures["excess_ms"]["max"] == 11
    assert [(m["minute"], m["delay_ms"]["count"]) for m in figures["minutes"]] == [(1, 3), (2, 1)]
    assert figures["minutes"][0]["delay_ms"]["median"] == 32
    assert figures["minutes"][1]["excess_ms"]["median"] == 29 - 10 - 25

    figures = overhead_figures([FIRST, SECOND, LATE])
    assert (figures["tracks"], figures["processing_ms"]["median"]) == (3, 25)
    assert (figures["overhead_ms"]["median"], figures["overhead_ms"]["max"]) == (7, 21)
    assert (figures["own_overhead_ms"]["median"], figures["own_overhead_ms"]["max"]) == (4, 7)
