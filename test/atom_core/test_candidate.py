# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest

from atom_core.candidate import Candidate, SearchRegion
from atom_core.config import TrackerConfig
from atom_core.result import TrackState

CONFIG = TrackerConfig(search_area_factor=5.0, min_box_side=2.0)


def test_a_region_is_the_square_about_the_expected_box():
    """A box of 36 x 16 px: its square has a side of 5 sqrt(576) = 120 px, about the box's centre (118, 88)."""
    region = SearchRegion.about((100.0, 80.0, 36.0, 16.0), CONFIG)
    x0, y0, side = region.square
    assert side == 120
    assert (x0 + 59.5, y0 + 59.5) == pytest.approx((118, 88), abs=0.5)
    assert region.expected == (100.0, 80.0, 36.0, 16.0)


def test_nothing_is_a_lost_candidate_at_the_expected_box():
    region = SearchRegion.about((100.0, 80.0, 36.0, 16.0), CONFIG)
    assert region.nothing(0.125, (640, 480)) == Candidate((100.0, 80.0, 36.0, 16.0), 0.125, 0.0, TrackState.LOST)


def test_a_box_outside_is_moved_to_overlap_the_image():
    region = SearchRegion.about((100.0, 80.0, 36.0, 16.0), CONFIG)
    x, y, width, height = region.keep_in_image((900.0, -300.0, 36.0, 16.0), (640, 480))
    assert (width, height) == (36, 16)
    assert x < 640 < x + width
    assert y < 0 < y + height
