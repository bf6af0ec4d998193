# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from demo import recording
from demo.recording import DROPPED, GIVEN, LOST, SEARCHING, TRACKING, UNCERTAIN

REFERENCE = (10.0, 20.0, 10.0, 10.0)
OCCLUSION = range(2, 4)


def published(count: int) -> list[dict]:
    """Frame i is stamped at i ms; frame 0 was shown a second time, just before frame 1."""
    return [{"index": 0, "stamp_ns": 0}, {"index": 0, "stamp_ns": 500}] + [
        {"index": index, "stamp_ns": index * 1_000_000} for index in range(1, count)
    ]


def track(index: int, shift: float | None = 0.0, state: str = TRACKING, **changes) -> dict:
    """A Track of a box that lies `shift` px right of the reference; it took 4 ms, and 7 ms to arrive."""
    found = state not in (LOST, SEARCHING)
    return {
        "stamp_ns": index * 1_000_000,
        "received_ns": index * 1_000_000 + 7_000_000,
        "target_id": 1,
        "state": state,
        "box": [REFERENCE[0] + shift, *REFERENCE[1:]] if found else None,
        "confidence": 0.75 if found else 0.125,
        "iou": 0.5 if found else None,
        "processing_ms": 4.0,
    } | changes


def merge(count: int, *tracks: dict) -> list[recording.RecordedFrame]:
    return recording.merge(published(count), list(tracks), np.array([REFERENCE] * count))


def test_frames_are_matched_by_stamp_and_measured():
    # a shift of 5 px of 10: 50 px shared of 150
    frames = merge(4, track(1, shift=5.0), track(3, state=LOST))
    assert [frame.state for frame in frames] == [GIVEN, TRACKING, DROPPED, LOST]
    assert [frame.is_scored for frame in frames] == [False, True, False, True]
    assert frames[0].box == REFERENCE
    assert frames[1].overlap == pytest.approx(1 / 3)
    assert (frames[1].confidence, frames[1].iou) == (0.75, 0.5)
    assert (frames[1].processing_ms, frames[1].overhead_ms) == (4.0, 3.0)
    assert frames[2].box is None
    assert math.isnan(frames[2].overlap)
    assert (frames[3].box, frames[3].overlap, frames[3].confidence) == (None, 0.0, 0.125)
    assert math.isnan(frames[3].iou)


def test_tracks_of_the_first_frame_and_without_a_target_are_not_scored():
    again = track(0) | {"stamp_ns": 500}  # the frame that was shown twice
    frames = merge(3, track(0, state="IDLE"), again, track(1), track(2, state="IDLE"))
    assert [frame.state for frame in frames] == [GIVEN, TRACKING, DROPPED]


def test_a_stamp_of_no_image_and_a_second_track_are_refused():
    with pytest.raises(ValueError, match="stamp 1234 ns; no image was published with it"):
        merge(3, track(1, stamp_ns=1234))
    with pytest.raises(ValueError, match="frame 1 has two Tracks"):
        merge(3, track(1), track(1))


def test_summary_worked_out_by_hand():
    frames = merge(6, track(1), track(2, state=LOST), track(4, shift=5.0, state=UNCERTAIN), track(5, processing_ms=2.0))
    summary = recording.summarize(frames, OCCLUSION)
    # overlaps of the four scored frames: 1, 0 (lost), 1/3, 1
    assert summary["success_rate"] == 0.5
    assert summary["mean_overlap"] == pytest.approx((1 + 0 + 1 / 3 + 1) / 4, abs=1e-4)
    assert summary["frames"] == {"published": 6, "processed": 5, "dropped": 1}
    # 2, 4, 4, 4 ms: the 95th percentile is 4; 7 ms to arrive leave 5, 3, 3, 3, and 3 + 0.85 * 2 by interpolation
    assert summary["ms_per_frame"] == {"median": 4.0, "p95": 4.0}
    assert summary["node_overhead_ms"] == {"median": 3.0, "p95": pytest.approx(4.7)}
    assert (summary["scored_frames"], summary["lost_frames"], summary["uncertain_frames"]) == (4, 1, 1)
    # after the occlusion: 1/3 and 1; half is not most
    assert summary["recovered_after_occlusion"] is False
    assert summary["lost_for_good"] is False


@pytest.mark.parametrize("good, lost_for_good", [(4, True), (5, False)])
def test_lost_for_good_means_no_success_in_the_last_20_scored_frames(good, lost_for_good):
    # the one good frame is the 21st or the 20th from the end
    shifts = [0.0 if index == good else 9.0 for index in range(1, 25)]
    tracks = [track(index, shift) for index, shift in enumerate(shifts, start=1)]
    assert recording.summarize(merge(25, *tracks), OCCLUSION)["lost_for_good"] is lost_for_good


def test_a_half_is_no_success():
    # 20 x 10 px about the reference: overlap exactly 0.5
    wide = track(1, box=[5.0, 20.0, 20.0, 10.0])
    summary = recording.summarize(merge(2, wide), OCCLUSION)
    assert (summary["mean_overlap"], summary["success_rate"]) == (0.5, 0.0)


def test_no_track_at_all_is_an_error():
    with pytest.raises(ValueError, match="no Track came"):
        recording.summarize(merge(3), OCCLUSION)


def test_verdicts():
    followed = recording.summarize(merge(6, *(track(index) for index in range(1, 6))), OCCLUSION)
    assert "100% of 5 processed frames (mean overlap 1.00; 0 of 6 frames dropped)" in recording.verdict(followed)
    assert "re-detected after the sign" in recording.verdict(followed)
    lost = recording.summarize(merge(6, track(4, state=LOST), track(5, state=SEARCHING)), OCCLUSION)
    assert lost["lost_frames"] == 2
    assert "0% of 2 processed frames (mean overlap 0.00; 3 of 6 frames dropped)" in recording.verdict(lost)
    assert "lost for good" in recording.verdict(lost)
    late = recording.summarize(merge(6, track(3), track(4, state=LOST), track(5, state=LOST)), OCCLUSION)
    assert "not held after the sign" in recording.verdict(late)
