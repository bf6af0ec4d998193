# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from atom_core.confidence import Calibration, fit
from atom_core.result import TrackResult, TrackState

BOX = (1.0, 2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("score", "iou", "expected"),
    [
        (0.0, 0.0, 1 / (1 + math.e)),  # the intercept alone
        (0.5, 0.0, 0.5),  # -1 + 2 * 0.5 = 0
        (0.5, 0.25, 1 / (1 + math.exp(-1))),  # 0 + 4 * 0.25
        (-1e9, 0.0, 0.0),
        (1e9, 1.0, 1.0),
    ],
)
def test_confidence_is_logistic(score: float, iou: float, expected: float) -> None:
    assert Calibration(-1.0, 2.0, 4.0).confidence(score, iou) == pytest.approx(expected, abs=1e-12)


def test_header_keeps_every_digit() -> None:
    calibration = Calibration(-1.0 / 3, math.pi, 1e-17)
    assert Calibration.from_json(calibration.to_json()) == calibration


@pytest.mark.parametrize("text", ["", "3", "[1, 2, 3]", '{"intercept": 1}', '{"intercept": 1, "score": "x", "iou": 1}'])
def test_damaged_header_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Calibration.from_json(text)


def test_numbers_that_are_not_finite_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="score is inf; expected a finite number"):
        Calibration(0.0, math.inf, 0.0)


def test_fit_finds_the_numbers_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    scores, ious = rng.uniform(0, 1, 200_000), rng.uniform(0, 1, 200_000)
    correct = rng.random(200_000) < 1 / (1 + np.exp(-(-3 + 4 * scores + 2 * ious)))
    found = fit(scores, ious, correct)
    assert (found.intercept, found.score, found.iou) == pytest.approx((-3, 4, 2), abs=0.08)


def test_fit_is_calibrated_on_average() -> None:
    """At the highest likelihood the mean confidence is the share that is right; the ridge is small."""
    rng = np.random.default_rng(1)
    scores, ious = rng.uniform(0, 1, 500), rng.uniform(0, 1, 500)
    correct = scores + rng.normal(0, 0.3, 500) > 0.4
    found = fit(scores, ious, correct)
    said = [found.confidence(s, q) for s, q in zip(scores, ious, strict=True)]
    assert np.mean(said) == pytest.approx(correct.mean(), abs=1e-4)


def test_fit_stays_finite_where_the_score_parts_the_frames() -> None:
    scores = np.linspace(0, 1, 50)
    found = fit(scores, np.full(50, 0.5), scores > 0.5)
    assert found.confidence(0.9, 0.5) > 0.99 and found.confidence(0.1, 0.5) < 0.01


@pytest.mark.parametrize("correct", [np.ones(4, bool), np.zeros(4, bool)])
def test_fit_needs_frames_of_both_kinds(correct: np.ndarray) -> None:
    with pytest.raises(ValueError, match="of 4 frames are correct; expected some of either kind"):
        fit(np.arange(4.0), np.arange(4.0), correct)


def test_result_without_a_calibration_has_the_score_within_bounds() -> None:
    assert TrackResult(BOX, 0.4, 0.9, TrackState.TRACKING).confidence == 0.4
    assert TrackResult(BOX, 1.2, 0.9, TrackState.UNCERTAIN).confidence == 1
    assert TrackResult(BOX, 0.4, 0.0, TrackState.LOST).confidence == 0


def test_calibration_changes_visible_results_alone() -> None:
    calibration = Calibration(-1.0, 2.0, 4.0)
    seen = TrackResult(BOX, 0.5, 0.25, TrackState.TRACKING)
    assert seen.calibrated(calibration).confidence == pytest.approx(1 / (1 + math.exp(-1)))
    assert seen.calibrated(None) is seen
    lost = TrackResult(BOX, 0.5, 0.25, TrackState.SEARCHING)
    assert lost.calibrated(calibration).confidence == 0
