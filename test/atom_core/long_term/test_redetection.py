# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Where a lost target is looked for, and when it is believed to be back; worked out by hand, without networks."""

import itertools
import math
import tracemalloc

import pytest

from atom_core.classifier.localize import LocalizationState
from atom_core.config import TrackerConfig
from atom_core.long_term.redetection import (
    BLIND_BORDER,
    SCALES,
    Candidate,
    Finding,
    Search,
    is_convincing,
    is_recognised,
    judge,
    may_be_another,
    plan,
    sweep,
)

CONFIG = TrackerConfig(
    redetection=True,
    redetection_score=0.5,
    redetection_iou=0.6,
    redetection_likeness=0.9,
    redetection_frames=3,
    redetection_regions=2,
)
NOT_FOUND, UNCERTAIN = LocalizationState.NOT_FOUND, LocalizationState.UNCERTAIN
HARD_NEGATIVE, NORMAL = LocalizationState.HARD_NEGATIVE, LocalizationState.NORMAL
LAST = (100.0, 80.0, 20.0, 20.0)  # region side 5 * 20 = 100 px
ELSEWHERE = (300.0, 200.0, 20.0, 20.0)


def sure(box=ELSEWHERE, score=0.8) -> Finding:
    return Finding(box, score, 0.9, NORMAL)


def nothing(box=LAST) -> Finding:
    return Finding(box, 0.1, 0.0, NOT_FOUND)


@pytest.mark.parametrize(
    ("place", "width", "height"),
    [
        (LAST, 320, 240),
        ((0.0, 0.0, 12.0, 30.0), 641, 97),
        ((600.0, 400.0, 50.0, 5.0), 640, 480),
        ((10.0, 10.0, 300.0, 200.0), 320, 240),  # a region larger than the image
        ((0.0, 0.0, 4.0, 4.0), 30, 7),
    ],
)
def test_every_place_of_the_image_is_well_inside_a_tile_of_each_scale(place, width, height) -> None:
    views = sweep(place, width, height, CONFIG)
    sizes = [view.box[2] / place[2] for view in views]
    assert sorted(set(sizes), key=sizes.index) == pytest.approx(SCALES)
    for scale in SCALES:
        tiles = [view.region for view, size in zip(views, sizes, strict=True) if size == pytest.approx(scale)]
        for x, y in itertools.product(range(0, width, 3), range(0, height, 3)):
            # Half a pixel is lost where a region's corner is rounded to whole pixels.
            assert any(
                all(
                    start - 0.5 + BLIND_BORDER * side - 1.0 <= at <= start - 0.5 + (1 - BLIND_BORDER) * side + 1.0
                    for start, at in ((x0, x), (y0, y))
                )
                for x0, y0, side in tiles
            )


def test_the_sweep_widens() -> None:
    """320 px by inner parts of 76 px: five columns 64 px apart, at 31.5, 95.5, ...; 240 px: four rows at 29.5, ..."""
    views = [sweep(LAST, 320, 240, CONFIG)[i] for i in range(5 * 4)]
    centers = [(view.box[0] + 10, view.box[1] + 10) for view in views]
    assert sorted({x for x, _ in centers}) == [31.5, 95.5, 159.5, 223.5, 287.5]
    assert sorted({y for _, y in centers}) == [29.5, 89.5, 149.5, 209.5]
    assert centers[0] == (95.5, 89.5)  # nearest to the last centre, (110, 90)
    # In region sides, rounded: the nearest four are within half a side, the last ones two sides away.
    rings = [round(max(abs(x - 110), abs(y - 90)) / 100) for x, y in centers]
    assert rings == sorted(rings) and rings[0] == 0 and rings[-1] == 2
    assert views[0].region == (46.0, 40.0, 100.0)  # 95.5 + 0.5 - 50, and 89.5 + 0.5 - 50


def test_rings_by_brute_force() -> None:
    """Sorted by ring, then by distance, all tiles at once, as they were before they were made one by one."""
    place, side = (200.0, 37.0, 12.0, 30.0), 5 * math.sqrt(12 * 30)
    views = list(sweep(place, 641, 97, CONFIG))
    assert len(views) == len(sweep(place, 641, 97, CONFIG))
    first = [view for view in views if view.box[2] == 12.0]
    offsets = [(v.box[0] - place[0], v.box[1] - place[1]) for v in first]
    keys = [(round(max(abs(dx), abs(dy)) / side), math.hypot(dx, dy)) for dx, dy in offsets]
    assert keys == sorted(keys) and keys[-1][0] == 4
    assert len(set(offsets)) == len(offsets) == 9 * 2  # 641 px by inner parts of 72 px, 97 px by two


def test_there_is_no_view_beyond_the_last() -> None:
    views = sweep(LAST, 320, 240, CONFIG)
    for number in (-1, len(views)):
        with pytest.raises(IndexError, match=f"there are {len(views)} views, and none of number {number}"):
            views[number]


def test_a_tiny_target_in_a_large_image_costs_little() -> None:
    """A quarter of a million tiles of the first scale alone: none of them is made but that which is looked at."""
    tracemalloc.start()
    try:
        views = sweep((1000.0, 1000.0, 2.0, 2.0), 4000, 4000, CONFIG)
        assert len(views) > 250_000 and views[200_000].box[2] == 2.0
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_plan_holds_the_last_place_and_the_next_tiles() -> None:
    walk = sweep(LAST, 320, 240, CONFIG)
    first, tile = plan(Search(LAST), 320, 240, CONFIG)
    assert first.box == LAST and first.region == (60.0, 40.0, 100.0)  # 110.5 - 50 and 90.5 - 50, to even
    assert tile == walk[0]
    more = TrackerConfig(redetection_regions=4)
    views = plan(Search(LAST, missed=9, tiles=len(walk) - 1), 320, 240, more)
    assert [view.region for view in views[1:]] == [walk[len(walk) - 1].region, walk[0].region, walk[1].region]


def test_a_plan_looks_at_the_candidate_instead_of_the_last_place() -> None:
    search = Search(LAST, missed=5, tiles=3, candidate=Candidate(ELSEWHERE, 1))
    first, tile = plan(search, 640, 480, CONFIG)
    assert first.box == ELSEWHERE and tile == sweep(LAST, 640, 480, CONFIG)[3]


def test_only_soon_after_the_loss_a_place_near_the_middle_is_preferred() -> None:
    soon = [view.config.near_limit for view in plan(Search(LAST, missed=30), 320, 240, CONFIG)]
    later = [view.config.near_limit for view in plan(Search(LAST, missed=31), 320, 240, CONFIG)]
    assert (soon, later) == ([0.8, 0.0], [0.0, 0.0])


def test_a_place_outside_a_smaller_image_is_moved_into_it() -> None:
    first, _ = plan(Search(ELSEWHERE), 64, 48, CONFIG)
    assert first.box[0] < 63.5 and first.box[1] < 47.5


@pytest.mark.parametrize("state", [NORMAL, UNCERTAIN, HARD_NEGATIVE])
def test_right_after_the_loss_the_last_place_needs_no_proof(state) -> None:
    verdict = judge(Search(LAST), [Finding(LAST, 0.3, 0.1, state), nothing()], CONFIG)
    assert verdict == (None, 0, False)


@pytest.mark.parametrize(
    ("missed", "likeness", "state", "taken"),
    [
        (2, 0.81, NORMAL, True),  # 0.81 + 0.6 * 0.3 = 0.99, of the (0.6 + 0.1) * 1.4 = 0.98 that are asked for
        (30, 0.81, HARD_NEGATIVE, True),
        (2, 0.79, NORMAL, False),
        (2, 0.81, UNCERTAIN, False),
        (31, 0.81, NORMAL, False),  # as anywhere: a score of 0.3 is not convincing
    ],
)
def test_soon_after_it_has_to_be_recognised(missed, likeness, state, taken) -> None:
    seen = Finding(LAST, 0.3, 0.1, state, likeness)
    verdict = judge(Search(LAST, 1.4, missed, tiles=1), [seen, nothing()], CONFIG)
    assert verdict == ((None, 0, True) if taken else (Search(LAST, 1.4, missed + 1, tiles=2), 0, False))


def test_a_candidate_has_to_convince_even_soon_after_the_loss() -> None:
    search = Search(LAST, 1.4, 2, 1, Candidate(ELSEWHERE, 1))
    assert judge(search, [sure(), nothing()], CONFIG).search == Search(LAST, 1.4, 3, 2, Candidate(ELSEWHERE, 2))


@pytest.mark.parametrize(
    ("score", "likeness", "usual", "recognised"),
    [(0.5, 0.55, 1.4, True), (0.5, 0.53, 1.4, False), (0.4, 0.61, 1.4, True), (0.5, 0.31, 1.0, True)],
)
def test_looks_and_score_make_up_for_one_another(score, likeness, usual, recognised) -> None:
    """likeness + 0.6 * score, of 0.6 of the usual."""
    thing = Finding(LAST, score, 0.0, NORMAL, likeness)
    assert is_recognised(thing, usual, CONFIG) is recognised
    assert is_recognised(thing, usual, TrackerConfig(recognition=0.0))
    assert is_recognised(thing._replace(state=NOT_FOUND), usual, CONFIG), "it is none, so it is no other thing"


def test_only_a_thing_of_low_score_is_compared() -> None:
    low, high = sure(score=0.69), sure(score=0.7)
    assert may_be_another(low, CONFIG) and not may_be_another(high, CONFIG)
    assert not may_be_another(low, TrackerConfig(recognition=0.0))


def test_it_is_taken_up_after_three_convincing_frames_at_one_place() -> None:
    search = Search(LAST, missed=7, tiles=6)
    search = judge(search, [nothing(), sure()], CONFIG).search
    assert search == Search(LAST, 0.0, 8, 7, Candidate(ELSEWHERE, 1))
    moved = (310.0, 204.0, 22.0, 20.0)
    search = judge(search, [sure(moved), nothing()], CONFIG).search
    assert search == Search(LAST, 0.0, 9, 8, Candidate(moved, 2))
    assert judge(search, [sure(moved), nothing()], CONFIG) == (None, 0, True)


def test_one_frame_is_enough_where_one_is_asked_for() -> None:
    once = TrackerConfig(redetection_frames=1)
    assert judge(Search(LAST, 0.0, 7, 6), [nothing(), sure()], once) == (None, 1, True)


@pytest.mark.parametrize(
    "box",
    [
        (321.0, 200.0, 20.0, 20.0),  # 21 px away, more than a target's side
        (295.0, 195.0, 31.0, 31.0),  # 1.55 times as large
    ],
)
def test_a_candidate_that_jumps_or_grows_starts_anew(box) -> None:
    search = Search(LAST, 0.0, 9, 8, Candidate(ELSEWHERE, 2))
    assert judge(search, [sure(box), nothing()], CONFIG).search == Search(LAST, 0.0, 10, 9, Candidate(box, 1))


def test_a_candidate_that_is_not_seen_again_is_dropped() -> None:
    search = Search(LAST, 0.0, 9, 8, Candidate(ELSEWHERE, 2))
    assert judge(search, [nothing(ELSEWHERE), nothing()], CONFIG).search == Search(LAST, 0.0, 10, 9)


def test_a_candidate_that_is_outdone_gives_way() -> None:
    other = (20.0, 20.0, 20.0, 20.0)
    search = Search(LAST, 0.0, 9, 8, Candidate(ELSEWHERE, 2))
    assert judge(search, [sure(score=0.6), sure(other, 0.7)], CONFIG).search.candidate == Candidate(other, 1)


@pytest.mark.parametrize(
    ("score", "iou", "state", "convincing"),
    [
        (0.5, 0.6, NORMAL, True),
        (0.5, 0.6, HARD_NEGATIVE, True),
        (0.49, 0.9, NORMAL, False),
        (0.9, 0.59, NORMAL, False),
        (0.9, 0.9, UNCERTAIN, False),
        (0.9, 0.9, NOT_FOUND, False),
        (float("nan"), 0.9, NORMAL, False),
    ],
)
def test_what_convinces(score, iou, state, convincing) -> None:
    assert is_convincing(Finding(LAST, score, iou, state), CONFIG) is convincing


@pytest.mark.parametrize(("likeness", "convincing"), [(0.9, True), (1.2, True), (0.89, False), (float("nan"), False)])
def test_what_looks_otherwise_does_not_convince(likeness, convincing) -> None:
    assert is_convincing(sure()._replace(likeness=likeness), CONFIG) is convincing
