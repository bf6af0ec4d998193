# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import math

import pytest

from atom_core.offline.results import FrameResult, TargetResult, TargetState, format_stamp
from atom_core.result import TrackResult, TrackState

BOX = (1.5, -2.25, 30.1, 40.7)


@pytest.mark.parametrize("state", TrackState)
def test_only_a_target_that_is_seen_has_a_box(state: TrackState) -> None:
    result = TargetResult.of_track(3, TrackResult(BOX, 0.4, 0.7, state, hard_negative=False))
    assert (result.target_id, result.state.value, result.score) == (3, state.value, 0.4)
    if state in (TrackState.TRACKING, TrackState.UNCERTAIN):
        assert (result.box, result.iou) == (BOX, 0.7)
    else:
        assert result.box is None and math.isnan(result.iou)


def test_json_keeps_every_digit() -> None:
    seen = TargetResult(1, TargetState.UNCERTAIN, (0.1 + 0.2, 1 / 3, 5e-324, 1e300), -0.1, 2 / 3)
    result = FrameResult(7, 1_700_000_000_123_456_789, (TargetResult.given(9, BOX), seen), processing_ms=1.5)
    line = result.to_json()
    assert "\n" not in line
    assert FrameResult.from_json(line) == result


def test_json_of_a_lost_target_and_of_an_unreadable_frame() -> None:
    lost = FrameResult(0, None, (TargetResult(1, TargetState.LOST, None, 0.1, math.nan),))
    again = FrameResult.from_json(lost.to_json())
    assert again.targets[0].box is None and math.isnan(again.targets[0].iou) and again.stamp is None
    unreadable = FrameResult(1, 5, error="a.png: damaged")
    assert FrameResult.from_json(unreadable.to_json()) == unreadable


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"frame": 0, "stamp": 1, "targets": [{}]}', '{"frame'])
def test_what_is_no_result_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        FrameResult.from_json(line)


@pytest.mark.parametrize(
    ("stamp", "text"),
    [(None, ""), (0, "0.000000000"), (1_700_000_000_000_000_001, "1700000000.000000001"), (-1, "-0.000000001")],
)
def test_stamps_are_exact(stamp: int | None, text: str) -> None:
    assert format_stamp(stamp) == text
