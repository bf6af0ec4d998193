# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Where a lost target is looked for, and when it is believed to be back; worked out by hand, without networks."""

import dataclasses
import itertools
import math
import tracemalloc

import pytest

from atom_core.candidate import Candidate
from atom_core.config import TrackerConfig
from atom_core.long_term.search import (
    BLIND_BORDER,
    SCALES,
    Hypothesis,
    Search,
    SearchOutcome,
    is_convincing,
    is_recognised,
    is_surely_found,
    judge_search,
    plan_search,
    search_grid,
)
from atom_core.result import TrackState

CONFIG = TrackerConfig(
    redetection=True,
    redetection_score=0.5,
    redetection_iou=0.6,
    redetection_similarity=0.9,
    redetection_frames=3,
    redetection_regions=2,
)
NOT_FOUND, UNCERTAIN, NORMAL = TrackState.LOST, TrackState.UNCERTAIN, TrackState.TRACKING
LAST = (100.0, 80.0, 20.0, 20.0)  # region side 5 * 20 = 100 px
ELSEWHERE = (300.0, 200.0, 20.0, 20.0)


def sure(box=ELSEWHERE, score=0.8) -> Candidate:
    return Candidate(box, score, 0.9, NORMAL)


def nothing(box=LAST) -> Candidate:
    return Candidate(box, 0.1, 0.0, NOT_FOUND)


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
    regions = search_grid(place, width, height, CONFIG)
    sizes = [region.expected[2] / place[2] for region in regions]
    assert sorted(set(sizes), key=sizes.index) == pytest.approx(SCALES)
    for scale in SCALES:
        tiles = [region.square for region, size in zip(regions, sizes, strict=True) if size == pytest.approx(scale)]
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
    regions = [search_grid(LAST, 320, 240, CONFIG)[i] for i in range(5 * 4)]
    centers = [(region.expected[0] + 10, region.expected[1] + 10) for region in regions]
    assert sorted({x for x, _ in centers}) == [31.5, 95.5, 159.5, 223.5, 287.5]
    assert sorted({y for _, y in centers}) == [29.5, 89.5, 149.5, 209.5]
    assert centers[0] == (95.5, 89.5)  # nearest to the last centre, (110, 90)
    # In region sides, rounded: the nearest four are within half a side, the last ones two sides away.
    rings = [round(max(abs(x - 110), abs(y - 90)) / 100) for x, y in centers]
    assert rings == sorted(rings) and rings[0] == 0 and rings[-1] == 2
    assert regions[0].square == (46.0, 40.0, 100.0)  # 95.5 + 0.5 - 50, and 89.5 + 0.5 - 50


def test_rings_by_brute_force() -> None:
    """Sorted by ring, then by distance, all tiles at once, as they were before they were made one by one."""
    place, side = (200.0, 37.0, 12.0, 30.0), 5 * math.sqrt(12 * 30)
    regions = list(search_grid(place, 641, 97, CONFIG))
    assert len(regions) == len(search_grid(place, 641, 97, CONFIG))
    first = [region for region in regions if region.expected[2] == 12.0]
    offsets = [(v.expected[0] - place[0], v.expected[1] - place[1]) for v in first]
    keys = [(round(max(abs(dx), abs(dy)) / side), math.hypot(dx, dy)) for dx, dy in offsets]
    assert keys == sorted(keys) and keys[-1][0] == 4
    assert len(set(offsets)) == len(offsets) == 9 * 2  # 641 px by inner parts of 72 px, 97 px by two


def test_there_is_no_region_beyond_the_last() -> None:
    regions = search_grid(LAST, 320, 240, CONFIG)
    for number in (-1, len(regions)):
        with pytest.raises(IndexError, match=f"there are {len(regions)} search regions, and none of number {number}"):
            regions[number]


def test_a_tiny_target_in_a_large_image_costs_little() -> None:
    """A quarter of a million tiles of the first scale alone: none of them is made but that which is looked at."""
    tracemalloc.start()
    try:
        regions = search_grid((1000.0, 1000.0, 2.0, 2.0), 4000, 4000, CONFIG)
        assert len(regions) > 250_000 and regions[200_000].expected[2] == 2.0
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_plan_holds_the_last_place_and_the_next_tiles() -> None:
    grid = search_grid(LAST, 320, 240, CONFIG)
    first, tile = plan_search(Search(LAST), (320, 240), CONFIG)
    assert first.expected == LAST and first.square == (60.0, 40.0, 100.0)  # 110.5 - 50 and 90.5 - 50, to even
    assert tile == grid[0]
    more = TrackerConfig(redetection_regions=4)
    regions = plan_search(Search(LAST, missed=9, tiles=len(grid) - 1), (320, 240), more)
    assert [region.square for region in regions[1:]] == [grid[len(grid) - 1].square, grid[0].square, grid[1].square]


def test_a_plan_looks_at_the_candidate_instead_of_the_last_place() -> None:
    search = Search(LAST, missed=5, tiles=3, hypothesis=Hypothesis(ELSEWHERE, 1))
    first, tile = plan_search(search, (640, 480), CONFIG)
    assert first.expected == ELSEWHERE and tile == search_grid(LAST, 640, 480, CONFIG)[3]


def test_only_soon_after_the_loss_a_place_near_the_middle_is_preferred() -> None:
    soon = [region.config.near_limit for region in plan_search(Search(LAST, missed=30), (320, 240), CONFIG)]
    later = [region.config.near_limit for region in plan_search(Search(LAST, missed=31), (320, 240), CONFIG)]
    assert (soon, later) == ([0.8, 0.0], [0.0, 0.0])


def test_a_place_outside_a_smaller_image_is_moved_into_it() -> None:
    first, _ = plan_search(Search(ELSEWHERE), (64, 48), CONFIG)
    assert first.expected[0] < 63.5 and first.expected[1] < 47.5


@pytest.mark.parametrize("state", [NORMAL, UNCERTAIN])
def test_right_after_the_loss_the_last_place_needs_no_proof(state) -> None:
    outcome = judge_search(Search(LAST), [Candidate(LAST, 0.3, 0.1, state), nothing()], CONFIG)
    assert outcome == (None, 0, False)


@pytest.mark.parametrize(
    ("missed", "similarity", "state", "taken"),
    [
        (2, 0.81, NORMAL, True),  # 0.81 + 0.6 * 0.3 = 0.99, of the (0.6 + 0.1) * 1.4 = 0.98 that are asked for
        (30, 0.81, NORMAL, True),
        (2, 0.79, NORMAL, False),
        (2, 0.81, UNCERTAIN, False),
        (31, 0.81, NORMAL, False),  # as anywhere: a score of 0.3 is not convincing
    ],
)
def test_soon_after_it_has_to_be_recognised(missed, similarity, state, taken) -> None:
    seen = Candidate(LAST, 0.3, 0.1, state, similarity=similarity)
    outcome = judge_search(Search(LAST, 1.4, missed, tiles=1), [seen, nothing()], CONFIG)
    assert outcome == ((None, 0, True) if taken else (Search(LAST, 1.4, missed + 1, tiles=2), 0, False))


def test_a_candidate_has_to_convince_even_soon_after_the_loss() -> None:
    search = Search(LAST, 1.4, 2, 1, Hypothesis(ELSEWHERE, 1, 1, 0.9, 1.0, 0.9))
    after = judge_search(search, [sure(), nothing()], CONFIG).search
    assert (after.missed, after.tiles, after.hypothesis.box, after.hypothesis.convincing) == (3, 2, ELSEWHERE, 2)


@pytest.mark.parametrize(
    ("score", "similarity", "baseline", "recognised"),
    [(0.5, 0.55, 1.4, True), (0.5, 0.53, 1.4, False), (0.4, 0.61, 1.4, True), (0.5, 0.31, 1.0, True)],
)
def test_similarity_and_score_make_up_for_one_another(score, similarity, baseline, recognised) -> None:
    """similarity + 0.6 * score, of 0.6 of the baseline."""
    thing = Candidate(LAST, score, 0.0, NORMAL, similarity=similarity)
    assert is_recognised(thing, baseline, CONFIG) is recognised
    assert is_recognised(thing, baseline, TrackerConfig(recognition=0.0))
    assert is_recognised(thing._replace(state=NOT_FOUND), baseline, CONFIG), "it is none, so it is no other thing"


def test_a_high_score_alone_is_enough() -> None:
    assert is_surely_found(sure(score=0.7)) and not is_surely_found(sure(score=0.69))


def test_it_is_taken_up_after_three_convincing_frames_at_one_place() -> None:
    search = Search(LAST, missed=7, tiles=6)
    search = judge_search(search, [nothing(), sure()], CONFIG).search
    assert (search.missed, search.tiles) == (8, 7)
    assert search.hypothesis == Hypothesis(ELSEWHERE, 1, 1, sure().score, sure().similarity, sure().iou)
    moved = (310.0, 204.0, 22.0, 20.0)
    search = judge_search(search, [sure(moved), nothing()], CONFIG).search
    assert (search.missed, search.tiles) == (9, 8)
    assert search.hypothesis == Hypothesis(moved, 2, 2, sure().score, sure().similarity, sure().iou)
    assert judge_search(search, [sure(moved), nothing()], CONFIG) == (None, 0, True)


def test_one_frame_is_enough_where_one_is_asked_for() -> None:
    once = TrackerConfig(redetection_frames=1)
    assert judge_search(Search(LAST, 0.0, 7, 6), [nothing(), sure()], once) == (None, 1, True)


@pytest.mark.parametrize(
    "box",
    [
        (341.0, 200.0, 20.0, 20.0),  # 41 px away, more than two of a target's sides
        (295.0, 195.0, 31.0, 31.0),  # 1.55 times as large
    ],
)
def test_a_candidate_that_jumps_or_grows_starts_anew(box) -> None:
    search = Search(LAST, 0.0, 9, 8, Hypothesis(ELSEWHERE, 2))
    hypothesis = judge_search(search, [sure(box), nothing()], CONFIG).search.hypothesis
    assert (hypothesis.box, hypothesis.convincing, hypothesis.frames) == (box, 1, 1)


def test_a_candidate_that_is_not_seen_again_is_dropped() -> None:
    search = Search(LAST, 0.0, 9, 8, Hypothesis(ELSEWHERE, 2))
    assert judge_search(search, [nothing(ELSEWHERE), nothing()], CONFIG).search == Search(LAST, 0.0, 10, 9)


def test_a_candidate_that_is_outdone_gives_way() -> None:
    other = (20.0, 20.0, 20.0, 20.0)
    search = Search(LAST, 0.0, 9, 8, Hypothesis(ELSEWHERE, 2))
    hypothesis = judge_search(search, [sure(score=0.6), sure(other, 0.7)], CONFIG).search.hypothesis
    assert (hypothesis.box, hypothesis.convincing) == (other, 1)


def follow_hypothesis(candidate: Candidate, frames: int) -> list[SearchOutcome]:
    """A candidate in a tile, then in the region about it for the other frames; long after the loss."""
    search, outcomes = Search(LAST, 1.4, missed=50), []
    for frame in range(frames):
        candidates = [candidate, nothing()] if frame else [nothing(), candidate]
        outcomes.append(judge_search(search, candidates, CONFIG))
        search = outcomes[-1].search or search
    return outcomes


@pytest.mark.parametrize(
    ("score", "similarity", "iou", "taken"),
    [
        (0.52, 0.67, 0.76, True),  # never convincing: that takes a similarity of 0.9 or a match score of 1.26
        (0.48, 0.89, 0.95, False),
        (0.74, 0.65, 0.95, False),
        (0.9, 0.7, 0.74, False),
    ],
)
def test_what_is_good_on_average_for_ten_frames_is_the_target(score, similarity, iou, taken) -> None:
    outcomes = follow_hypothesis(Candidate(ELSEWHERE, score, iou, NORMAL, similarity=similarity), 12)
    assert [outcome.search is None for outcome in outcomes[:9]] == [False] * 9
    assert (outcomes[9].search is None) is taken
    if taken:
        assert outcomes[9] == (None, 0, True)


def test_what_was_faint_at_first_is_forgotten_after_a_while() -> None:
    faint = Candidate(ELSEWHERE, 0.4, 0.5, NORMAL, similarity=0.4)
    search = follow_hypothesis(faint, 15)[-1].search
    good = Candidate(ELSEWHERE, 0.65, 0.95, NORMAL, similarity=0.75)
    frames = 0
    while search is not None:
        search, frames = judge_search(search, [good, nothing()], CONFIG).search, frames + 1
    # The similarity is the last to do: 0.75 - 0.35 * 0.9^n reaches 0.66 in the 13th frame.
    assert frames == 13


@pytest.mark.parametrize(("score", "iou", "taken"), [(0.76, 0.76, True), (0.74, 0.95, False), (0.95, 0.74, False)])
def test_a_high_score_for_twenty_frames_is_enough_whatever_it_looks_like(score, iou, taken) -> None:
    outcomes = follow_hypothesis(Candidate(ELSEWHERE, score, iou, NORMAL, similarity=0.1), 21)
    assert [outcome.search is None for outcome in outcomes[:19]] == [False] * 19
    assert (outcomes[19].search is None) is taken


def test_what_is_found_is_followed_before_anything_is_claimed_of_it() -> None:
    faint = Candidate(ELSEWHERE, 0.35, 0.3, UNCERTAIN, similarity=0.2, is_recognised=False)
    (outcome,) = follow_hypothesis(faint, 1)
    assert plan_search(outcome.search, (640, 480), CONFIG)[0].expected == ELSEWHERE
    (outcome,) = follow_hypothesis(faint._replace(score=0.34), 1)
    assert plan_search(outcome.search, (640, 480), CONFIG)[0].expected == LAST


def test_a_faint_candidate_does_not_draw_the_search_from_the_one_it_follows() -> None:
    search = Search(LAST, 1.4, 50, hypothesis=Hypothesis(ELSEWHERE, 0, 3, 0.5, 0.5, 0.5))
    followed = Candidate(ELSEWHERE, 0.4, 0.5, NORMAL, similarity=0.4)
    other = Candidate((20.0, 20.0, 20.0, 20.0), 0.6, 0.9, NORMAL, similarity=0.7)
    assert judge_search(search, [followed, other], CONFIG).search.hypothesis.box == ELSEWHERE
    gone = judge_search(search, [nothing(), other], CONFIG).search.hypothesis
    assert (gone.box, gone.frames) == (other.box, 1)


def test_what_was_never_out_of_sight_is_followed_however_faint() -> None:
    search = Search(LAST, 1.4, 5, hypothesis=Hypothesis(LAST, 0, 3, 0.5, 0.5, 0.5))
    faint = Candidate(LAST, 0.27, 0.5, NORMAL, similarity=0.4)
    other = Candidate((20.0, 20.0, 20.0, 20.0), 0.6, 0.9, NORMAL, similarity=0.7)
    assert judge_search(search, [faint, other], CONFIG).search.hypothesis.box == LAST
    late = dataclasses.replace(search, missed=31)
    assert judge_search(late, [faint, other], CONFIG).search.hypothesis.box == other.box


def test_what_was_not_recognised_at_the_last_place_needs_proof_in_the_next_frame() -> None:
    seen = Candidate(LAST, 0.4, 0.5, NORMAL, similarity=0.3, is_recognised=False)
    assert judge_search(Search(LAST, 1.4), [seen, nothing()], CONFIG).search is not None
    assert judge_search(Search(LAST, 1.4), [seen._replace(is_recognised=True), nothing()], CONFIG).search is None


def test_soon_after_the_loss_only_what_is_near_the_last_place_is_taken_at_once() -> None:
    # The search region about the last place, 20 px a side, reaches 50 px from its middle.
    search = Search(LAST, 1.4, 5, hypothesis=Hypothesis(LAST, 0, 3, 0.5, 0.5, 0.5))
    for dx, taken in ((49.0, True), (51.0, False)):
        moved = sure((LAST[0] + dx, *LAST[1:]), score=0.45)
        assert (judge_search(search, [moved, nothing()], CONFIG).search is None) is taken


@pytest.mark.parametrize(
    ("score", "iou", "state", "convincing"),
    [
        (0.5, 0.6, NORMAL, True),
        (0.49, 0.9, NORMAL, False),
        (0.9, 0.59, NORMAL, False),
        (0.9, 0.9, UNCERTAIN, False),
        (0.9, 0.9, NOT_FOUND, False),
        (float("nan"), 0.9, NORMAL, False),
    ],
)
def test_what_convinces(score, iou, state, convincing) -> None:
    assert is_convincing(Candidate(LAST, score, iou, state), 1.4, CONFIG) is convincing


@pytest.mark.parametrize(("similarity", "convincing"), [(0.9, True), (1.2, True), (0.89, False), (float("nan"), False)])
def test_what_looks_otherwise_does_not_convince(similarity, convincing) -> None:
    assert is_convincing(sure()._replace(similarity=similarity), 2.0, CONFIG) is convincing


@pytest.mark.parametrize(("score", "convincing"), [(0.9, True), (0.8, False)])
def test_what_matches_nearly_as_before_the_loss_convinces(score, convincing) -> None:
    # Similarity and 0.6 of the score: 0.75 + 0.54 = 1.29 and 0.75 + 0.48 = 1.23; 0.9 of 1.4 is 1.26.
    candidate = Candidate(ELSEWHERE, score, 0.9, NORMAL, similarity=0.75)
    assert is_convincing(candidate, 1.4, CONFIG) is convincing


@pytest.mark.parametrize(
    ("is_unbroken", "similarity", "iou", "taken"),
    [(True, 0.41, 0.86, True), (False, 0.41, 0.86, False), (True, 0.39, 0.86, False), (True, 0.41, 0.84, False)],
)
def test_what_was_never_out_of_sight_is_the_target_in_another_shape(is_unbroken, similarity, iou, taken) -> None:
    search = Search(LAST, 1.4, 2, hypothesis=Hypothesis(LAST, is_unbroken=is_unbroken))
    candidate = Candidate(LAST, 0.4, iou, NORMAL, similarity=similarity)
    for _ in range(9):
        search = judge_search(search, [candidate, nothing()], CONFIG).search
    assert (judge_search(search, [candidate, nothing()], CONFIG).search is None) is taken


@pytest.mark.parametrize(("dx", "frames"), [(39.0, 4), (41.0, 1)])
def test_a_hypothesis_may_move_by_two_of_its_sides(dx, frames) -> None:
    search = Search(LAST, 2.0, 50, hypothesis=Hypothesis(ELSEWHERE, 0, 3, 0.6, 0.6, 0.8))
    moved = sure((ELSEWHERE[0] + dx, *ELSEWHERE[1:]))
    assert judge_search(search, [moved, nothing()], CONFIG).search.hypothesis.frames == frames
    # What is found in another region has to be nearer to count as the same.
    elsewhere = judge_search(search, [nothing(), sure((ELSEWHERE[0] + 25.0, *ELSEWHERE[1:]))], CONFIG)
    assert elsewhere.search.hypothesis.frames == 1
