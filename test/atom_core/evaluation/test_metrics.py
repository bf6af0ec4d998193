# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atom_core.evaluation import metrics

NAN = [np.nan] * 4


def test_overlaps_worked_out_by_hand():
    reference = np.array([[0, 0, 10, 10]] * 5)
    predicted = [
        [0, 0, 10, 10],  # the same
        [5, 0, 10, 10],  # 50 shared of 150
        [0, 0, 5, 10],  # inside: 50 of 100
        [9, 9, 10, 10],  # 1 of 199
        [10, 0, 10, 10],  # they touch: nothing shared
    ]
    np.testing.assert_allclose(metrics.overlap(predicted, reference), [1, 1 / 3, 1 / 2, 1 / 199, 0], rtol=1e-15)


def test_overlap_agrees_with_counting_pixels():
    """Second implementation: whole-pixel boxes painted on a grid."""
    generator = np.random.default_rng(5)
    boxes = np.concatenate([generator.integers(0, 20, (200, 2)), generator.integers(1, 12, (200, 2))], axis=1)
    predicted, reference = boxes[:100], boxes[100:]

    def paint(box):
        grid = np.zeros((40, 40), bool)
        grid[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = True
        return grid

    painted = [(paint(a), paint(b)) for a, b in zip(predicted, reference, strict=True)]
    expected = [(a & b).sum() / (a | b).sum() for a, b in painted]
    assert sum(value > 0 for value in expected) > 10
    np.testing.assert_allclose(metrics.overlap(predicted, reference), expected, rtol=1e-14)


def test_center_distance_is_a_3_4_5_triangle():
    # centres (5, 5) and (8, 9)
    np.testing.assert_allclose(metrics.center_distance([[0, 0, 10, 10]], [[6, 7, 4, 4]]), [5.0])


def test_absent_boxes():
    boxes = np.array([[0, 0, 10, 10.0], NAN, [0, 0, 10, 10], NAN])
    reference = np.array([[0, 0, 10, 10.0], [0, 0, 10, 10], NAN, NAN])
    np.testing.assert_array_equal(metrics.overlap(boxes, reference), [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(metrics.center_distance(boxes, reference), [0, np.inf, np.nan, np.nan])
    scores = metrics.score(boxes, reference)
    assert (scores.frames, scores.mean_overlap, scores.success_50, scores.precision_20) == (2, 0.5, 0.5, 0.5)


def test_success_counts_overlaps_strictly_above_each_threshold():
    curve = metrics.success_curve(np.array([0.0, 0.5, 1.0, 0.52]))
    # above 0: three of four; above 0.5: two (1 and 0.52); above 0.55: one; above 1: none
    assert curve.shape == (21,)
    assert curve[0] == 0.75
    assert curve[9] == 0.75  # threshold 0.45
    assert curve[10] == 0.5
    assert curve[11] == curve[19] == 0.25
    assert curve[20] == 0.0
    # (10 thresholds x 3 + 1 x 2 + 9 x 1) / 4 frames / 21 thresholds
    assert curve.mean() == pytest.approx((30 + 2 + 9) / 4 / 21)


def test_scores_of_a_perfect_and_of_a_hopeless_tracker():
    reference = np.array([[0, 0, 10, 10]] * 3)
    perfect = metrics.score(reference, reference)
    assert perfect == metrics.Scores(
        auc=pytest.approx(20 / 21), mean_overlap=1.0, success_50=1.0, precision_20=1.0, frames=3
    )
    assert metrics.score(reference + np.array([100, 0, 0, 0]), reference) == metrics.Scores(0.0, 0.0, 0.0, 0.0, 3)


def test_precision_includes_20_px_exactly():
    reference = np.array([[0, 0, 10, 10.0]] * 2)
    shifts = np.array([[20, 0, 0, 0], [20.001, 0, 0, 0]])
    assert metrics.score(reference + shifts, reference).precision_20 == 0.5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_success_curve_agrees_with_a_loop_and_never_rises(overlaps):
    curve = metrics.success_curve(np.array(overlaps))
    expected = [sum(value > t for value in overlaps) / len(overlaps) for t in metrics.SUCCESS_THRESHOLDS]
    np.testing.assert_allclose(curve, expected, rtol=1e-14)
    assert (np.diff(curve) <= 0).all()


def test_nothing_to_count():
    assert np.isnan(metrics.success_curve(np.array([np.nan]))).all()
    with pytest.raises(ValueError, match="none of the 1 frames has a reference box"):
        metrics.score([[0, 0, 1, 1]], [NAN])


@pytest.mark.parametrize("predicted, reference", [([[0, 0, 1]], [[0, 0, 1]]), ([[0, 0, 1, 1]], [[0, 0, 1, 1]] * 2)])
def test_wrong_shapes_are_named(predicted, reference):
    with pytest.raises(ValueError, match=r"shapes \(1, \d\) and"):
        metrics.overlap(predicted, reference)
