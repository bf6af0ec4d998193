# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from atom_ros.frame_buffer import Arrival
from atom_ros.outputs.diagnostics import Condition, Snapshot, Statistics, diagnostic_array


class HandClock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_counts_and_rates() -> None:
    clock = HandClock()
    statistics = Statistics(clock)
    for i in range(6):
        clock.now += 0.5
        statistics.count_received()
        statistics.count_processed(dropped=i % 2, processing_ms=10.0 + i)
        statistics.add_latency(100.0 * i)
    snapshot = statistics.snapshot()
    assert (snapshot.received, snapshot.processed, snapshot.dropped, snapshot.failed) == (6, 6, 3, 0)
    assert snapshot.input_rate == pytest.approx(2.0)  # 6 in 3 s
    assert snapshot.fps == pytest.approx(2.0)
    assert snapshot.processing_ms == 12.5  # median of 10 .. 15
    assert snapshot.latency_ms == 250.0

    clock.now += 4.0
    statistics.count_failed(dropped=1, error="odd")
    statistics.count_lost(2)
    statistics.count_lost(1)
    snapshot = statistics.snapshot()
    assert snapshot.input_rate == 0.0
    assert (snapshot.dropped, snapshot.failed, snapshot.new_failures, snapshot.last_error) == (4, 1, 1, "odd")
    assert snapshot.lost == 3
    assert snapshot.fps == pytest.approx(0.25), "no image for 4 s"
    assert statistics.snapshot().new_failures == 0


def test_ignored_images_are_counted_by_their_reason() -> None:
    statistics = Statistics()
    for arrival, times in ((Arrival.NEXT, 1), (Arrival.DUPLICATE, 2), (Arrival.OUT_OF_ORDER, 3), (Arrival.RESTART, 4)):
        for _ in range(times):
            statistics.count_received(arrival)
    snapshot = statistics.snapshot()
    assert (snapshot.received, snapshot.duplicates, snapshot.out_of_order, snapshot.new_ignored) == (10, 2, 3, 5)
    assert statistics.snapshot().new_ignored == 0


def test_idle_images_do_not_count_as_fast_tracking() -> None:
    statistics = Statistics()
    statistics.count_processed(dropped=0, processing_ms=0.0)
    statistics.count_processed(dropped=0, processing_ms=8.0)
    assert statistics.snapshot().processing_ms == 8.0


def test_before_the_first_image_everything_is_zero() -> None:
    snapshot = Statistics().snapshot()
    assert (snapshot.fps, snapshot.processing_ms, snapshot.latency_ms, snapshot.received) == (0.0, 0.0, 0.0, 0)


def _snapshot(**changes: object) -> Snapshot:
    values = {
        "received": 9,
        "processed": 8,
        "dropped": 1,
        "lost": 2,
        "failed": 0,
        "duplicates": 3,
        "out_of_order": 4,
        "paused": 0,
        "last_error": "odd",
        "input_rate": 10.0,
        "new_failures": 0,
        "new_ignored": 0,
        "fps": 10.0,
        "processing_ms": 7.0,
        "latency_ms": 8.0,
    }
    return Snapshot(**values | changes)


@pytest.mark.parametrize(
    ("lifecycle", "fault", "changes", "level", "words"),
    [
        ("active", "", {}, DiagnosticStatus.OK, "TRACKING"),
        ("active", "", {"input_rate": 0.0}, DiagnosticStatus.WARN, "no image arrives on /camera"),
        ("active", "", {"new_failures": 2}, DiagnosticStatus.ERROR, "2 images not processed: odd"),
        (
            "active",
            "",
            {"new_ignored": 5},
            DiagnosticStatus.WARN,
            "5 images ignored whose stamps do not grow, on /camera",
        ),
        ("active", "no GPU", {}, DiagnosticStatus.WARN, "TRACKING; no GPU"),
        ("inactive", "no GPU", {"input_rate": 0.0}, DiagnosticStatus.ERROR, "inactive; no GPU"),
        ("inactive", "", {"input_rate": 0.0}, DiagnosticStatus.OK, "inactive"),
    ],
)
def test_the_message(lifecycle: str, fault: str, changes: dict[str, float], level: bytes, words: str) -> None:
    condition = Condition(lifecycle, "TRACKING", "/camera", "cuda:0", "lite (1a2b)", "captured", fault, 512.4, 99.6)
    message = diagnostic_array(Time(sec=5), "/front/tracker", condition, _snapshot(**changes))
    (status,) = message.status
    assert message.header.stamp.sec == 5
    assert (status.name, status.level, status.message) == ("/front/tracker: tracker", level, words)
    values = {value.key: value.value for value in status.values}
    assert (values["received"], values["dropped"], values["lost"], values["device"]) == ("9", "1", "2", "cuda:0")
    assert (values["duplicates"], values["out of order"]) == ("3", "4")
    assert values["processing (ms, median)"] == "7.0"
    assert (values["network"], values["execution"]) == ("lite (1a2b)", "captured")
    assert (values["memory (MB)"], values["GPU memory (MB)"], values["GPU fault"]) == ("512", "100", fault)
