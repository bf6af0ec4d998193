# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""How runs are compared, by hand; real ones are in test_command.py."""

import numpy as np
import pytest

from atom_core.benchmark.acceptance import tracking
from atom_core.benchmark.acceptance.modes import Mode
from atom_core.benchmark.acceptance.sheet import Sheet, Status
from atom_core.benchmark.acceptance.tracking import Agreement, agree, cut, load, read, save
from atom_core.data.sequences import Sequence
from atom_core.evaluation.runner import GIVEN, Run


def run(xs, states=None, name="a") -> Run:
    boxes = np.array([(x, 0.0, 10.0, 10.0) for x in xs])
    unknown = np.full(len(xs), np.nan)
    return Run("x", name, boxes, unknown, unknown, states or (GIVEN, *["TRACKING"] * (len(xs) - 1)), unknown)


def sequence(xs, name="a") -> Sequence:
    return Sequence(name, [], np.array([(x, 0.0, 10.0, 10.0) for x in xs]))


def test_agreement_by_hand() -> None:
    """The boxes overlap by 1, 1/3, 0; the truth by 1 in all frames for the CPU."""
    states = (GIVEN, "TRACKING", "TRACKING", "LOST")
    found = agree([run([0, 0, 5, 20], states)], [run([0, 0, 0, 0])], [sequence([0, 0, 0, 0])])
    assert found.overlap == pytest.approx(1 / 3) and found.same_state == pytest.approx(2 / 3)
    assert found.farthest == 20
    assert found.cpu_auc == pytest.approx(20 / 21)  # of 21 thresholds, the overlap 1 is above all but the last
    # thresholds 0, 0.05, ..., 1: two frames of four above 20, the third above 7, the last above none
    assert found.auc == pytest.approx((2 * 20 + 7) / (4 * 21))


def test_runs_of_other_sequences_are_not_compared() -> None:
    with pytest.raises(ValueError, match="the CPU tracked b, and not a"):
        agree([run([0, 0])], [run([0, 0], name="b")], [sequence([0, 0])])


@pytest.mark.parametrize(
    ("auc", "overlap", "status"),
    [
        (0.70, 0.95, Status.PASSED),
        (0.66, 0.95, Status.FAILED),
        (0.74, 0.95, Status.FAILED),
        (0.70, 0.80, Status.FAILED),
        (np.nan, 0.95, Status.PASSED),
        (np.nan, 0.80, Status.FAILED),
        (0.70, np.nan, Status.FAILED),
    ],
)
def test_verdicts(tmp_path, auc, overlap, status) -> None:
    sheet = Sheet("tracking", tmp_path / "lines")
    tracking.judge(sheet, Mode("float32", "graph"), Agreement(auc, 0.7 + 0 * auc, overlap, 1.0, 2.0))
    (line,) = sheet.lines()
    assert (line.name, line.status) == ("float32 captured", status)


def test_runs_are_kept(tmp_path) -> None:
    runs = [run([0, 1.25]), run([3, 4, 5], (GIVEN, "LOST", "SEARCHING"), "b")]
    save(runs, tmp_path / "runs.json")
    for one, other in zip(runs, load(tmp_path / "runs.json"), strict=True):
        assert one.sequence == other.sequence and one.states == other.states
        assert np.array_equal(one.boxes, other.boxes) and np.array_equal(one.lost, other.lost)


def test_the_street_clip_is_the_default_and_is_cut() -> None:
    (street,) = read(None, 3)
    assert len(street) == len(list(street.frames)) == 3
    assert len(cut(street, None)) == len(cut(street, 9)) == 3
