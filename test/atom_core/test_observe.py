# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What the host makes of the step's results."""

from __future__ import annotations

import numpy as np
import pytest

from atom_core.candidate import SearchRegion
from atom_core.config import TrackerConfig
from atom_core.observe import Query, interpret
from atom_core.result import TrackState

CONFIG = TrackerConfig(proposals=3, top_proposals=2)
PLACE = (
    100.0,
    80.0,
    36.0,
    36.0,
)  # px; its search region has a side of 180 px, so that the crop of 288 px enlarges by 1.6


def query(config: TrackerConfig) -> Query:
    return Query(SearchRegion.about(PLACE, config), np.zeros((2, 4)), None, None)


def result(size: tuple[float, float], config: TrackerConfig) -> np.ndarray:
    """A sure peak, and proposals of this size in image px whose centre is that of PLACE."""
    width, height = 1.6 * size[0], 1.6 * size[1]
    middle = (
        config.crop_size / 2 - 0.5 + 0.8
    )  # the region's side is even, the box's centre half an image px after its middle
    proposals = np.tile([middle - width / 2, middle - height / 2, width, height], (3, 1))
    return np.concatenate(([0.9, 0.1, 1, 1, middle, middle], proposals.ravel(), [0.6, 0.8, 0.2]))


def test_the_mean_of_the_best_proposals_is_the_box() -> None:
    candidate = interpret(result((72.0, 18.0), CONFIG), query(CONFIG), (640, 480))
    assert candidate.box == pytest.approx((118 - 36, 98 - 9, 72, 18), abs=0.6)
    assert (candidate.score, candidate.state) == (0.9, TrackState.TRACKING)
    assert candidate.iou == pytest.approx((0.7 + 1) / 2)


def test_nothing_is_found_without_a_peak() -> None:
    numbers = result((72.0, 18.0), CONFIG)
    numbers[0] = 0.1
    candidate = interpret(numbers, query(CONFIG), (640, 480))
    assert (candidate.state, candidate.box, candidate.iou) == (TrackState.LOST, PLACE, 0.0)


def test_without_a_plausible_proposal_the_box_keeps_its_size_at_the_peak() -> None:
    numbers = result((72.0, 18.0), CONFIG)
    numbers[6:18] = np.nan
    numbers[4:6] += 16.0  # crop px, 10 image px
    candidate = interpret(numbers, query(CONFIG), (640, 480))
    assert candidate.box[2:] == pytest.approx(PLACE[2:])
    assert candidate.box[:2] == pytest.approx((PLACE[0] + 10, PLACE[1] + 10), abs=0.6)
