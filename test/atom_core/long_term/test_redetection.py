# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What follows from a candidate that does not look like the target; candidates made by hand, without networks."""

from collections.abc import Sequence
from typing import cast

import pytest

from atom_core.boxes import Box
from atom_core.candidate import Candidate, SearchRegion
from atom_core.config import TrackerConfig
from atom_core.long_term.appearance import Appearance, TemplatePatch
from atom_core.long_term.redetection import DOUBT_FRAMES, Redetection
from atom_core.long_term.strategy import Decision
from atom_core.result import TrackState

CONFIG = TrackerConfig()
PLACE = (100.0, 80.0, 20.0, 20.0)
BESIDE = (104.0, 82.0, 20.0, 20.0)
FAR = (131.0, 80.0, 20.0, 20.0)  # more than a side away
SIZE = (320, 240)


class GivenSimilarity:
    """An appearance that answers with what was cut out, which is a number here."""

    def similarity(self, patch: TemplatePatch, in_detail: bool) -> float:
        return cast(float, patch)


def target(match_score: float = 1.4) -> Redetection:
    """A target whose match score was the same in the last frames."""
    return Redetection(cast(Appearance, GivenSimilarity()), [match_score] * 5)


def found(score: float, box: Box = BESIDE, state: TrackState = TrackState.TRACKING) -> Candidate:
    return Candidate(box, score, 0.8, state)


def step(strategy: Redetection, candidates: Sequence[Candidate], similarities: Sequence[float]) -> Decision:
    regions = strategy.plan(PLACE, SIZE, CONFIG)
    assert len(regions) == len(candidates)

    def cut_patch(number: int, box: Box) -> TemplatePatch:
        return cast(TemplatePatch, similarities[number])

    return strategy.judge(PLACE, strategy.recognise(regions, candidates, SIZE, cut_patch), CONFIG)


def test_what_looks_like_the_target_is_tracked() -> None:
    strategy = target()
    result = step(strategy, [found(0.6)], [0.9]).result
    assert (result.state, result.box) == (TrackState.TRACKING, BESIDE)
    assert strategy.match_scores[-1] == pytest.approx(0.9 + 0.6 * 0.6)


@pytest.mark.parametrize("score", [0.7, 0.95])
def test_a_high_score_is_enough_and_every_fifth_time_the_match_score_learns_the_new_look(score) -> None:
    strategy = target()
    for _ in range(6):
        assert step(strategy, [found(score)], [0.1]).result.state is TrackState.TRACKING
    # Compared in the fifth frame; before it counts as it did in the first frame, after it as it did then.
    similarities = [1.0, 1.0, 1.0, 0.1, 0.1]
    assert strategy.match_scores == pytest.approx([similarity + 0.6 * score for similarity in similarities])


def test_a_doubtful_candidate_is_followed_as_uncertain() -> None:
    # 0.4 + 0.6 * 0.6 = 0.76, less than 0.6 * 1.4 = 0.84.
    strategy = target()
    result = step(strategy, [found(0.6)], [0.4]).result
    assert (result.state, result.box, result.score) == (TrackState.UNCERTAIN, BESIDE, 0.6)
    assert strategy.search is None
    assert not strategy.teaches(result, CONFIG)
    assert strategy.match_scores == [1.4] * 5, "the baseline is the target's alone"


@pytest.mark.parametrize(
    ("score", "similarity", "iou", "box"),
    [
        (0.29, 0.4, 0.8, BESIDE),
        (0.6, 0.29, 0.8, BESIDE),
        (0.6, 0.4, 0.79, BESIDE),
        (0.6, 0.4, 0.8, FAR),
    ],
    ids=["low score", "other look", "vague borders", "elsewhere"],
)
def test_what_is_too_doubtful_is_lost_and_searched_for(score, similarity, iou, box) -> None:
    strategy = target()
    result = step(strategy, [found(score, box)._replace(iou=iou)], [similarity]).result
    assert (result.state, result.box, result.iou) == (TrackState.LOST, PLACE, 0.0)
    first = strategy.plan(PLACE, SIZE, CONFIG)[0]
    assert first.expected == box, "it is followed all the same, and nothing is claimed of it"


@pytest.mark.parametrize(
    ("box", "state", "similarity", "taken"),
    [
        # A score of 0.5 is 0.3 of the match score; 0.6, 0.8 and 0.95 of 1.4 are 0.84, 1.12 and 1.33.
        (BESIDE, TrackState.TRACKING, 0.55, True),
        (BESIDE, TrackState.TRACKING, 0.53, False),
        (FAR, TrackState.TRACKING, 0.83, True),
        (FAR, TrackState.TRACKING, 0.81, False),
        (BESIDE, TrackState.UNCERTAIN, 0.55, True),
        (FAR, TrackState.UNCERTAIN, 1.04, True),
        (FAR, TrackState.UNCERTAIN, 1.02, False),
    ],
)
def test_what_is_not_where_the_target_was_has_to_match_better(box, state, similarity, taken) -> None:
    strategy = target()
    step(strategy, [found(0.5, box, state)], [similarity])
    assert (strategy.match_scores[-1] != 1.4) is taken


def test_one_of_two_peaks_elsewhere_is_not_followed() -> None:
    strategy = target()
    result = step(strategy, [found(0.6, FAR, TrackState.UNCERTAIN)], [0.4]).result
    assert (result.state, result.box) == (TrackState.LOST, PLACE)
    assert strategy.plan(PLACE, SIZE, CONFIG)[0].expected == PLACE


def test_after_ten_frames_it_is_the_target_in_another_shape() -> None:
    strategy = target()
    states = [step(strategy, [found(0.6)], [0.4]).result.state for _ in range(DOUBT_FRAMES + 2)]
    assert states == [TrackState.UNCERTAIN] * DOUBT_FRAMES + [TrackState.TRACKING] * 2
    assert strategy.cooldown == CONFIG.update_interval + 1
    assert strategy.match_scores[0] == pytest.approx(0.76)


def test_a_recognised_frame_ends_the_doubt() -> None:
    strategy = target()
    for _ in range(DOUBT_FRAMES):
        step(strategy, [found(0.6)], [0.4])
    assert step(strategy, [found(0.6)], [0.9]).result.state is TrackState.TRACKING
    assert strategy.cooldown == 0
    assert step(strategy, [found(0.6)], [0.29]).result.state is TrackState.LOST
    assert step(target(), [found(0.6)], [0.4]).result.state is TrackState.UNCERTAIN


def test_without_recognition_whatever_is_found_is_the_target() -> None:
    config = TrackerConfig(recognition=0.0)
    strategy = target()
    regions = [SearchRegion.about(PLACE, config)]
    cut_patch = pytest.fail  # nothing is compared
    candidates = strategy.recognise(regions, [found(0.3)], SIZE, cast(object, cut_patch))
    assert strategy.judge(PLACE, candidates, config).result.state is TrackState.TRACKING


def test_without_redetection_a_lost_target_is_not_searched_for() -> None:
    config = TrackerConfig(redetection=False)
    strategy = target()
    regions = strategy.plan(PLACE, SIZE, config)
    candidates = strategy.recognise(regions, [found(0.3)], SIZE, lambda number, box: cast(TemplatePatch, 0.1))
    assert strategy.judge(PLACE, candidates, config).result.state is TrackState.LOST
    assert strategy.search is None


def test_it_searches_from_a_loss_until_the_target_is_recognised() -> None:
    strategy = target()
    assert not strategy.is_searching
    step(strategy, [Candidate(PLACE, 0.1, 0.0, TrackState.LOST)], [0.0])
    assert strategy.is_searching
    regions = strategy.plan(PLACE, SIZE, CONFIG)
    step(
        strategy,
        [found(0.9), *[Candidate(PLACE, 0.1, 0.0, TrackState.LOST)] * (len(regions) - 1)],
        [1.0] * len(regions),
    )
    assert not strategy.is_searching
