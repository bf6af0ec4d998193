# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from got10k.experiments import ExperimentGOT10k, ExperimentOTB
from got10k.utils.metrics import center_error, rect_iou
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
    np.testing.assert_array_equal(metrics.normalized_distance(boxes, reference), [0, np.inf, np.nan, np.nan])
    assert (metrics.curves(boxes, reference).precision == 0.5).all()
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
    assert metrics.score(reference, reference) == metrics.Scores(
        auc=pytest.approx(20 / 21),
        mean_overlap=1.0,
        success_50=1.0,
        precision_20=1.0,
        frames=3,
        normalized_precision_20=1.0,
        normalized_precision_auc=1.0,
        ao=1.0,
        sr_50=1.0,
        sr_75=1.0,
        ao_frames=2,
    )
    hopeless = metrics.score(reference + np.array([100, 0, 0, 0]), reference)
    assert hopeless == metrics.Scores(0.0, 0.0, 0.0, 0.0, 3, 0.0, 0.0, 0.0, 0.0, 0.0, 2)


def test_rounding_does_not_lift_an_overlap_above_1():
    boxes = np.random.default_rng(2).uniform(0.1, 900, (2000, 4))
    assert metrics.overlap(boxes, boxes).max() == 1.0
    assert metrics.success_curve(metrics.overlap(boxes, boxes))[-1] == 0.0


def test_a_prediction_without_area_overlaps_nothing():
    predicted = np.array([[2, 2, 0, 5.0], [2, 2, -4, -4], [20, 2, -15, 5]])
    assert metrics.overlap(predicted, [[0, 0, 10, 10]] * 3).tolist() == [0, 0, 0]


def test_normalized_precision_by_hand():
    reference = np.array([[0, 0, 20, 10.0]] * 4)
    # Centres off by 2 of 20 across; 2 of 10 down; 6 of 20 and 4 of 10 (a 3-4-5 triangle of 0.3, 0.4, 0.5); far off.
    predicted = reference + np.array([[2, 0, 0, 0], [0, 2, 0, 0], [6, 4, 0, 0], [99, 0, 0, 0]])
    np.testing.assert_allclose(metrics.normalized_distance(predicted, reference), [0.1, 0.2, 0.5, 4.95], rtol=1e-15)
    curve = metrics.curves(predicted, reference).normalized_precision
    assert curve.shape == (51,)
    assert (curve[9], curve[10], curve[19], curve[20], curve[49], curve[50]) == (0, 0.25, 0.25, 0.5, 0.5, 0.75)
    scores = metrics.score(predicted, reference)
    assert scores.normalized_precision_20 == 0.5
    # 10 thresholds with a quarter, 30 with a half, 1 with three quarters
    assert scores.normalized_precision_auc == pytest.approx((10 * 0.25 + 30 * 0.5 + 0.75) / 51)


def test_got10k_leaves_out_the_first_frame_and_absent_ones():
    reference = np.array([[0, 0, 10, 10.0], [0, 0, 10, 10], NAN, [0, 0, 10, 10], [0, 0, 10, 10]])
    predicted = np.array([[0, 0, 10, 10.0], [0, 0, 10, 8], [0, 0, 10, 10], [0, 0, 10, 5], NAN])
    scores = metrics.score(predicted, reference)
    # overlaps 0.8, not counted, 0.5, 0
    assert (scores.ao, scores.sr_50, scores.sr_75) == (pytest.approx(1.3 / 3), 1 / 3, 1 / 3)
    assert (scores.frames, scores.ao_frames) == (4, 3)


def test_got10k_moves_a_box_in_that_begins_outside_the_image():
    reference = np.array([[0, 0, 1, 1], [-1, -1, 20, 10], [-1, -1, 20, 10], [79, 39, 20, 20.0]])
    predicted = np.array([[0, 0, 1, 1], [-11, -1, 20, 10], [9, -1, 20, 10], [69, 29, 60, 60.0]])
    # Frame 1: 10 px too far left, moved in, the same box. Frame 2: 10 of 20 px shared, 1/3.
    # Frame 3: in an image of 100 x 50 px that starts with pixel 1, cut to 20 x 10 and to 30 x 20.
    overlaps = metrics.got10k_overlap(predicted, reference, (100, 50))
    np.testing.assert_allclose(overlaps, [1, 1 / 3, 200 / 600], rtol=1e-14)


def test_got10k_has_no_figures_without_a_box_after_the_first():
    scores = metrics.score([[0, 0, 9, 9]] * 2, [[0, 0, 9, 9], NAN])
    assert np.isnan([scores.ao, scores.sr_50, scores.sr_75]).all()
    assert (scores.ao_frames, scores.frames) == (0, 1)


@pytest.fixture
def boxes():
    """Predicted and reference boxes of all degrees of overlap, (300, 4) each, some beyond an image of 120 x 90 px."""
    generator = np.random.default_rng(11)
    reference = np.concatenate([generator.uniform(-30, 100, (300, 2)), generator.uniform(4, 60, (300, 2))], axis=1)
    predicted = reference + generator.normal(0, 12, (300, 4)) * generator.uniform(0, 1, (300, 1))
    predicted[:, 2:] = predicted[:, 2:].clip(1)
    return predicted, reference


def test_agrees_with_the_got10k_toolkit_frame_by_frame(boxes):
    predicted, reference = boxes
    np.testing.assert_allclose(metrics.overlap(predicted, reference), rect_iou(predicted, reference), rtol=1e-12)
    np.testing.assert_allclose(
        metrics.center_distance(predicted, reference), center_error(predicted, reference), rtol=1e-9
    )


def test_curves_agree_with_the_toolkit_s_otb(boxes):
    predicted, reference = boxes
    experiment = ExperimentOTB.__new__(ExperimentOTB)  # its constructor would fetch the benchmark
    experiment.nbins_iou, experiment.nbins_ce = 21, 51
    success, precision = experiment._calc_curves(*experiment._calc_metrics(predicted, reference))
    ours = metrics.curves(predicted, reference)
    np.testing.assert_allclose(ours.success, success, rtol=1e-15)
    np.testing.assert_allclose(ours.precision, precision, rtol=1e-15)
    scores = metrics.score(predicted, reference)
    assert (scores.auc, scores.precision_20) == (pytest.approx(np.mean(success)), precision[20])
    assert 0.2 < scores.auc < 0.8  # neither perfect nor hopeless


@pytest.mark.parametrize("image_size", [None, (120, 90)])
def test_got10k_figures_agree_with_its_toolkit(boxes, image_size):
    predicted, reference = boxes
    # The toolkit changes its arguments, and its pixels start with 1.
    shifted = [values[1:] + np.array([1, 1, 0, 0]) for values in boxes]
    theirs = rect_iou(*shifted, bound=image_size)
    np.testing.assert_allclose(metrics.got10k_overlap(predicted, reference, image_size), theirs, rtol=1e-12, atol=1e-15)
    ao, sr, *_ = ExperimentGOT10k._evaluate(None, theirs, np.ones(1))
    scores = metrics.score(predicted, reference, image_size)
    assert (scores.ao, scores.sr_50) == (pytest.approx(ao), sr)
    assert scores.sr_75 == (theirs > 0.75).mean()
    assert scores.ao_frames == 299


def test_normalized_precision_agrees_with_a_loop(boxes):
    predicted, reference = boxes
    errors = []
    for (x, y, w, h), (rx, ry, rw, rh) in zip(predicted, reference, strict=True):
        errors.append(np.hypot((x + w / 2 - rx - rw / 2) / rw, (y + h / 2 - ry - rh / 2) / rh))
    expected = [sum(error <= percent / 100 for error in errors) / 300 for percent in range(51)]
    np.testing.assert_allclose(metrics.curves(predicted, reference).normalized_precision, expected, rtol=1e-14)


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
    curves = metrics.curves([[0, 0, 1, 1]], [NAN])
    assert all(np.isnan(curve).all() for curve in (curves.success, curves.precision, curves.normalized_precision))
    with pytest.raises(ValueError, match="none of the 1 frames has a reference box"):
        metrics.score([[0, 0, 1, 1]], [NAN])


@pytest.mark.parametrize("predicted, reference", [([[0, 0, 1]], [[0, 0, 1]]), ([[0, 0, 1, 1]], [[0, 0, 1, 1]] * 2)])
def test_wrong_shapes_are_named(predicted, reference):
    with pytest.raises(ValueError, match=r"shapes \(1, \d\) and"):
        metrics.overlap(predicted, reference)


def test_drift_by_hand():
    """The box moves by a tenth of the target's side a frame, and becomes twice as large at the end of 4 frames."""
    reference = np.tile((0.0, 0.0, 20.0, 20.0), (5, 1))
    moving = reference + np.arange(5)[:, None] * (2.0, 0.0, 0.0, 0.0)
    assert metrics.drift(moving, reference) == pytest.approx((0.1, 0))
    growing = np.array([(10 - s / 2, 10 - s / 2, s, s) for s in 20 * 2 ** (np.arange(5) / 4)])
    assert metrics.drift(growing, reference) == pytest.approx((0, 0.25))


def test_drift_of_absent_boxes():
    reference = np.tile((0.0, 0.0, 20.0, 20.0), (4, 1))
    reference[2] = np.nan  # not counted
    lost = np.full((4, 4), np.nan)  # both errors are 1 in frames 1 and 3: (1 + 3) / (1 + 9)
    assert metrics.drift(lost, reference) == pytest.approx((0.4, 0.4))
    assert np.isnan(metrics.drift(lost[:1], reference[:1])).all()
