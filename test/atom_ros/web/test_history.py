# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from fake_link import track

from atom_ros.web.history import History
from atom_tracker.msg import Track


def test_ten_samples_a_second_and_every_change_of_state() -> None:
    now = [0.0]
    history = History(lambda: now[0])
    for frame in range(60):  # 30 Hz; the state of one image differs
        now[0] = frame / 30
        history.add([track(Track.LOST if frame == 31 else Track.TRACKING)])
    samples = history.after(0)
    assert [number for number, *_ in samples] == list(range(1, len(samples) + 1))
    assert 15 <= len(samples) <= 22, "every third or fourth image"
    assert [status for *_, status, _ in samples].count(Track.LOST) == 1
    assert history.after(len(samples) - 2) == samples[-2:]
    assert history.after(len(samples)) == []


def test_samples_tell_target_state_and_confidence() -> None:
    history = History(lambda: 5.0)
    history.add([track(Track.TRACKING, 1, 0.8125), track(Track.SEARCHING, 4, float("nan"))])
    assert history.after(0) == [(1, 5.0, 1, Track.TRACKING, 0.812), (2, 5.0, 4, Track.SEARCHING, None)]


def test_a_minute_is_kept() -> None:
    now = [0.0]
    history = History(lambda: now[0])
    for second in range(200):
        now[0] = float(second)
        history.add([track(Track.TRACKING, target_id=1 + second // 100)])
    times = [time for _, time, *_ in history.after(0)]
    assert times == [float(second) for second in range(139, 200)]
    now[0] = 500.0
    assert history.after(0) == []
    history.add([track(Track.TRACKING, target_id=1)])
    assert len(history.after(0)) == 1
