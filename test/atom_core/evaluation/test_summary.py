# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json

import numpy as np
import pytest

from atom_core.data.sequences import Sequence
from atom_core.evaluation.runner import Run
from atom_core.evaluation.summary import summarize_all, table

BOX = (0.0, 0.0, 10.0, 10.0)


def shifted(tracker: str, sequence: str, shifts: list[float], seed: int = 0) -> Run:
    """A run whose box is off by `shifts` px, one a frame, in a sequence where the target stays at BOX."""
    boxes = np.array([[shift, 0, 10, 10] for shift in [0, *shifts]], float)
    count = len(boxes)
    seconds = np.array([0.5, *[0.01] * len(shifts)])
    nothing = np.full(count, np.nan)
    return Run(tracker, sequence, boxes, nothing, nothing, ("GIVEN", *["TRACKING"] * len(shifts)), seconds, seed)


def still(name: str, frames: int) -> Sequence:
    return Sequence(name, [], np.tile(BOX, (frames, 1)))


# The overlap of two boxes of width 10, one shifted by s, is (10 - s) / (10 + s): 1/3 for 5, 0 for 10.
RUNS = [
    shifted("a", "one", [0], seed=0),  # mean overlap 1
    shifted("a", "one", [5], seed=1),  # (1 + 1/3) / 2 = 2/3
    shifted("a", "two", [10, 10, 10], seed=0),  # 1/4
    shifted("a", "two", [0, 0, 10], seed=1),  # 3/4
    shifted("b", "one", [10]),  # 1/2
    shifted("b", "two", [0, 0, 0]),  # 1
]
SEQUENCES = [still("one", 2), still("two", 4)]


def test_means_and_spreads_over_the_seeds():
    trackers = json.loads(json.dumps(summarize_all(RUNS, SEQUENCES), allow_nan=False))
    a = trackers["a"]
    assert a["seeds"] == [0, 1]
    assert a["sequences"]["one"]["runs"]["1"]["mean_overlap"] == pytest.approx(2 / 3)
    assert a["sequences"]["one"]["figures"]["mean_overlap"] == pytest.approx(5 / 6)
    # two values that differ by d have the sample standard deviation d / sqrt(2)
    assert a["sequences"]["one"]["spread"]["mean_overlap"] == pytest.approx(1 / 3 / np.sqrt(2))
    assert a["mean"]["mean_overlap"] == pytest.approx((5 / 6 + 1 / 2) / 2)
    # seed 0: (1 + 1/4) / 2 = 15/24; seed 1: (2/3 + 3/4) / 2 = 17/24
    assert a["spread"]["mean_overlap"] == pytest.approx(2 / 24 / np.sqrt(2))
    assert a["error"]["mean_overlap"] == pytest.approx(2 / 24 / 2)  # of two seeds: half the difference
    assert trackers["b"]["mean"]["mean_overlap"] == 0.75
    assert trackers["b"]["spread"]["mean_overlap"] is None


def test_ao_and_sr_weigh_each_frame_alike():
    # without the first frames: 0 of one frame, 1 of three
    b = summarize_all(RUNS, SEQUENCES)["b"]
    assert b["sequences"]["one"]["figures"]["ao"] == 0
    assert b["sequences"]["two"]["figures"]["ao"] == 1
    assert b["mean"]["ao"] == b["mean"]["sr_50"] == pytest.approx(3 / 4)


def test_a_seed_without_all_sequences_is_not_in_the_tracker_s_spread():
    without = [run for run in RUNS if (run.tracker, run.sequence, run.seed) != ("a", "two", 1)]
    a = summarize_all(without, SEQUENCES)["a"]
    assert a["mean"]["mean_overlap"] == pytest.approx((5 / 6 + 1 / 4) / 2)
    assert a["spread"].get("mean_overlap") is None
    assert a["sequences"]["one"]["spread"]["mean_overlap"] is not None


def test_without_references_there_is_speed_only():
    hidden = Sequence("one", [], np.array([BOX, [np.nan] * 4]))
    figures = summarize_all([shifted("a", "one", [0])], [hidden])["a"]["mean"]
    assert figures["auc"] is None
    assert figures["false_tracking_rate"] is None
    assert figures["median_ms"] == pytest.approx(10)


def test_the_table_has_a_line_for_each_sequence_and_mean():
    lines = [line.split() for line in table(summarize_all(RUNS, SEQUENCES)).splitlines()]
    assert lines[0][:3] == ["tracker", "sequence", "AUC"]
    assert lines[0][-4:] == ["median", "ms", "p95", "ms"]
    assert [line[:2] for line in lines[2:]] == [
        ["a", "one"],
        ["a", "two"],
        ["a", "mean"],
        [],
        ["b", "one"],
        ["b", "two"],
        ["b", "mean"],
    ]
    ao = lines[0].index("AO")
    assert lines[2][ao] == "0.667±0.333"  # of one frame: 1 and 1/3
    assert lines[-1][ao] == "0.750"  # of 4 frames: 0, 1, 1, 1


def test_shares_of_frames_and_calibration_are_those_of_all_frames():
    """b: off target in the one later frame of the first sequence, on it in the three of the second."""
    runs = [dataclasses.replace(run, confidences=np.full(len(run.boxes), 0.75)) for run in RUNS[-2:]]
    b = summarize_all(runs, SEQUENCES)["b"]
    assert [of["figures"]["silent_error"] for of in b["sequences"].values()] == [1, 0]
    assert b["mean"]["silent_error"] == pytest.approx(1 / 4)
    assert b["sequences"]["one"]["figures"]["calibration_error"] == pytest.approx(0.75)
    assert b["mean"]["calibration_error"] == pytest.approx(0)  # 3 of 4 at 0.75
    assert b["calibration"][7] == [4, 3, 3] and sum(row[0] for row in b["calibration"]) == 4
    # Mean precision and recall of the sequences: (0 + 1) / 2 each.
    assert b["mean"]["f_score"] == pytest.approx(0.5)
