# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from atom_core.evaluation import state_measures as measures
from atom_core.evaluation.state_measures import Said

ABSENT = np.nan
ROWS = [  # overlap with the reference, whether claimed, confidence
    (0.8, True, 0.95),
    (0.05, True, 0.95),  # off target, silently
    (0.0, False, 0.1),  # given up with the target in view
    (0.6, True, 0.85),
    (ABSENT, True, 0.25),  # silently
    (ABSENT, False, 0.1),
    (ABSENT, True, 0.25),  # another thing is re-detected
    (0.0, False, 0.1),  # the target is back
    (0.7, True, 0.9),
]


def make(rows):
    overlaps, claimed, confidences = zip(*rows, strict=True)
    return Said(np.array(overlaps), np.array(claimed), np.array(confidences, float))


def test_states_by_hand():
    figures = measures.measure_states(make(ROWS))
    assert (figures["silent_error"], figures["later_frames"]) == (pytest.approx(3 / 9), 9)
    assert (figures["false_loss"], figures["present_frames"]) == (pytest.approx(2 / 6), 6)
    # Off: 0.05, two of overlap 0 and three absences; said so in three of them.
    assert (figures["loss_noticed"], figures["off_frames"]) == (pytest.approx(3 / 6), 6)
    assert (figures["returns_30"], figures["returns"]) == (1, 1)  # after one frame
    assert (figures["losses_30"], figures["losses"]) == (1, 1)  # after two frames
    assert (figures["recovery_frames"], figures["recoveries"]) == (1.5, 2)
    assert (figures["wrong_take_ups"], figures["absences"]) == (1, 1)


def stretch(frames, overlap, claimed):
    return [(overlap, claimed, 0.5)] * frames


@pytest.mark.parametrize(
    ("after", "decided", "in_time", "frames"),
    [
        (stretch(5, 0.9, True), 1, 1, 0),  # on target at once
        (stretch(30, 0.0, False) + stretch(5, 0.9, True), 1, 1, 30),
        (stretch(31, 0.0, False) + stretch(5, 0.9, True), 1, 0, 31),
        (stretch(31, 0.0, False), 1, 0, 31),  # not at all
        (stretch(30, 0.0, False), 0, np.nan, 30),  # it ends too early to be counted
        (stretch(30, 0.0, False) + stretch(3, ABSENT, False), 0, np.nan, 30),  # as does this: the target leaves
        (stretch(3, 0.0, True) + stretch(5, 0.9, True), 1, 1, 3),  # a claim off the target is no recovery
    ],
)
def test_returns_after_an_absence(after, decided, in_time, frames):
    figures = measures.measure_states(make(stretch(4, 0.9, True) + stretch(3, ABSENT, False) + after))
    assert figures["returns"] == decided and figures["losses"] == 0
    assert figures["returns_30"] == pytest.approx(in_time, nan_ok=True)
    assert figures["recovery_frames"] == frames
    assert figures["wrong_take_ups"] == 0


def test_without_such_frames_there_are_no_such_figures():
    figures = measures.measure_states(make(stretch(3, 0.9, True)))
    assert figures["silent_error"] == figures["false_loss"] == 0
    names = ("loss_noticed", "returns_30", "losses_30", "recovery_frames", "wrong_take_ups")
    assert all(np.isnan(figures[name]) for name in names)
    absent = measures.measure_states(make(stretch(3, ABSENT, False)))
    assert np.isnan(absent["false_loss"]) and absent["loss_noticed"] == 1


def test_calibration_by_hand():
    bins = measures.calibration_bins(make(ROWS))
    expected = np.zeros((10, 3))
    expected[9], expected[8], expected[2] = (3, 2.8, 2), (1, 0.85, 1), (2, 0.5, 0)
    np.testing.assert_allclose(bins, expected)
    assert measures.calibration_error(bins) == pytest.approx((0.8 + 0.15 + 0.5) / 6)
    assert np.isnan(measures.calibration_error(np.zeros((10, 3))))


def test_calibrated_confidences_have_a_small_error():
    rng = np.random.default_rng(0)
    confidences = rng.random(20_000)
    overlaps = np.where(rng.random(20_000) < confidences, 0.9, 0.2)
    said = Said(overlaps, np.ones(20_000, bool), confidences)
    assert measures.calibration_error(measures.calibration_bins(said)) < 0.015
    shifted = Said(overlaps, said.claimed, (confidences + 0.2).clip(0, 1))
    assert measures.calibration_error(measures.calibration_bins(shifted)) == pytest.approx(0.18, abs=0.015)


def test_precision_recall_and_f_by_hand():
    precision, recall = measures.precision_recall(make(ROWS))
    at = {round(t, 2): i for i, t in enumerate(measures.THRESHOLDS)}
    assert (precision[0], recall[0]) == pytest.approx((2.15 / 6, 2.15 / 6))
    assert (precision[at[0.3]], recall[at[0.3]]) == pytest.approx((2.15 / 4, 2.15 / 6))
    assert (precision[at[0.9]], recall[at[0.9]]) == pytest.approx((1.55 / 3, 1.55 / 6))
    assert np.isnan(precision[at[1.0]]) and recall[at[1.0]] == 0
    best = measures.best_f(np.stack((precision, recall)))
    assert best["f_score"] == pytest.approx(2 * 2.15 / 10)  # 2 * 2.15 / (4 + 6)
    assert best["f_threshold"] == 0.26  # the lowest that leaves out 0.25


def test_a_tracker_without_confidence_has_one_precision():
    said = make([(overlap, claimed, np.nan) for overlap, claimed, _ in ROWS])
    precision, recall = measures.precision_recall(said)
    np.testing.assert_allclose(precision, 2.15 / 6), np.testing.assert_allclose(recall, 2.15 / 6)
    assert not measures.calibration_bins(said).any()


def test_mean_curves_leave_out_what_is_not_defined():
    one, other = np.array([[0.5, np.nan]] * 2), np.array([[0.7, 0.3]] * 2)
    np.testing.assert_allclose(measures.mean_curves([one, other]), [[0.6, 0.3]] * 2)
    assert np.isnan(measures.best_f(np.full((2, 101), np.nan))["f_score"])
