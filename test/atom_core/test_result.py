# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import math

import pytest

from atom_core.confidence import Calibration
from atom_core.result import TrackResult, TrackState

BOX = (1.0, 2.0, 3.0, 4.0)


def test_a_box_is_an_observation_while_the_target_is_seen():
    visible = {state: state.is_visible for state in TrackState}
    assert visible == {
        TrackState.TRACKING: True,
        TrackState.UNCERTAIN: True,
        TrackState.LOST: False,
        TrackState.SEARCHING: False,
    }


@pytest.mark.parametrize(
    ("score", "state", "confidence"),
    [
        (0.75, TrackState.TRACKING, 0.75),
        (1.25, TrackState.TRACKING, 1.0),
        (-0.5, TrackState.UNCERTAIN, 0.0),
        (0.75, TrackState.LOST, 0.0),
        (0.75, TrackState.SEARCHING, 0.0),
    ],
)
def test_without_a_calibration_the_score_within_0_and_1_is_the_confidence(score, state, confidence):
    assert TrackResult(BOX, score, 0.5, state).confidence == confidence
    assert TrackResult(BOX, score, 0.5, state).calibrated(None).confidence == confidence


def test_a_given_confidence_is_kept():
    assert TrackResult(BOX, 0.75, 0.5, TrackState.TRACKING, confidence=0.25).confidence == 0.25


def test_a_calibration_replaces_the_confidence_of_a_visible_target_alone():
    calibration = Calibration(0.5, 2.0, -1.0)
    seen = TrackResult(BOX, 0.75, 0.5, TrackState.TRACKING).calibrated(calibration)
    assert seen.confidence == calibration.confidence(0.75, 0.5) != 0.75
    lost = TrackResult(BOX, 0.75, 0.0, TrackState.LOST)
    assert lost.calibrated(calibration) is lost
    assert not math.isnan(lost.confidence)
