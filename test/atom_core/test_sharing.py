# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest

from atom_core.sharing import MAX_OFFSET, MAX_SIDE_RATIO, are_alike, leaders

SQUARE = (10.0, 20.0, 100.0)


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (SQUARE, True),
        ((10.0 + 100 * MAX_OFFSET, 20.0, 100.0), True),
        ((10.0 + 100 * MAX_OFFSET + 0.1, 20.0, 100.0), False),
        ((10.0, 20.0 - 100 * MAX_OFFSET - 0.1, 100.0), False),
        ((60.0 - 50 * MAX_SIDE_RATIO + 0.1, 70.0 - 50 * MAX_SIDE_RATIO + 0.1, 100 * MAX_SIDE_RATIO - 0.2), True),
        ((60.0 - 50 * MAX_SIDE_RATIO - 0.1, 70.0 - 50 * MAX_SIDE_RATIO - 0.1, 100 * MAX_SIDE_RATIO + 0.2), False),
    ],
)
def test_regions_are_alike_by_centre_and_side(other, alike) -> None:
    assert are_alike(SQUARE, other) is alike
    assert are_alike(other, SQUARE) is alike


def test_the_first_of_like_regions_leads_and_followers_lead_nobody() -> None:
    step = 0.9 * MAX_OFFSET * 100
    row = [(x, 0.0, 100.0) for x in (0.0, step, 2 * step, 500.0, 500.0)]
    assert leaders(row) == [0, 0, 2, 3, 3]  # the third is like the second, which is the first's


def test_nobody_shares_with_nobody() -> None:
    assert leaders([]) == []
    assert leaders([SQUARE]) == [0]
