# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The long-term strategy: recognise the target by its appearance, and search the whole image after a loss.

The search itself is in `atom_core.long_term.search`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from atom_core.boxes import Box
from atom_core.candidate import Candidate, SearchRegion
from atom_core.config import TrackerConfig
from atom_core.long_term.appearance import INTERVAL, Appearance, TemplatePatch
from atom_core.long_term.search import (
    Hypothesis,
    Search,
    is_near,
    is_recognised,
    is_same,
    is_surely_found,
    judge_search,
    jump_margin,
    match_score,
    plan_search,
    reaches_thresholds,
    rescale,
)
from atom_core.long_term.strategy import CutPatch, Decision, Size
from atom_core.result import TrackResult, TrackState

_BASELINE_FRAMES = 5
# These are constants, since they depend on how similarity is computed, not on the camera or the target. The setting is
# `recognition`: 0 switches the comparison off.
DOUBT_SCORE = 0.3  # minimum score of an unrecognised candidate that is followed in doubt
DOUBT_SIMILARITY = 0.3  # minimum similarity, likewise
DOUBT_IOU = 0.8  # minimum predicted IoU, likewise: another object seldom has such clear borders in the target's place
DOUBT_FRAMES = 10  # consecutive doubtful frames after which the candidate counts as the target in another shape
_FIRST_BASELINE = 1.3  # while only the first frame is known; below the match score of most second frames


@dataclass
class Redetection:
    """See `atom_core.long_term.strategy.LongTerm`.

    Attributes:
        appearance: of the target.
        match_scores: of the last frames in which it was visible, see `search.match_score`.
        search: its state while the target is lost, else None.
        cooldown: remaining frames after a re-detection in which only sure results are learned.
    """

    appearance: Appearance
    match_scores: list[float] = field(default_factory=lambda: [_FIRST_BASELINE])
    search: Search | None = None
    cooldown: int = 0
    frames_uncompared: int = 0  # consecutive frames without a comparison
    last_similarity: float = 1.0  # of the last comparison
    doubtful_frames: int = 0  # consecutive frames in which the followed candidate was not recognised

    @property
    def is_searching(self) -> bool:
        """Whether the next frame searches for a lost target."""
        return self.search is not None

    @property
    def baseline(self) -> float:
        """The median match score of the last frames in which the target was visible."""
        return statistics.median(self.match_scores)

    def plan(self, place: Box, size: Size, config: TrackerConfig) -> list[SearchRegion]:
        """The region around the last known place; after a loss, other regions as well."""
        if self.search is None or not config.redetection:
            return [SearchRegion.about(place, config)]
        return plan_search(self.search, size, config)

    def recognise(
        self, regions: Sequence[SearchRegion], candidates: Sequence[Candidate], size: Size, cut_patch: CutPatch
    ) -> list[Candidate]:
        """Compares candidates with the target's appearance.

        A candidate with a high score is compared only now and then, because a comparison reads from the device; this
        suffices for the baseline to follow the target's changes. After a loss, a candidate away from the last place
        must match in detail as well, because it may be another object of the same kind.
        """
        return [
            self._recognise(region, candidate, size, partial(cut_patch, i))
            for i, (region, candidate) in enumerate(zip(regions, candidates, strict=True))
        ]

    def _recognise(
        self, region: SearchRegion, candidate: Candidate, size: Size, cut_patch: Callable[[Box], TemplatePatch]
    ) -> Candidate:
        config = region.config
        search = self.search if config.redetection else None
        is_lost = search is not None
        if not candidate.state.is_visible or not (is_lost or config.recognition > 0):
            return candidate
        is_sure_score = not is_lost and is_surely_found(candidate)
        if is_sure_score and self.frames_uncompared < INTERVAL - 1:
            self.frames_uncompared += 1
            return candidate._replace(similarity=self.last_similarity)
        is_elsewhere = search is not None and not is_near(search.place, candidate.box, config)
        similarity = self.appearance.similarity(cut_patch(candidate.box), in_detail=is_elsewhere)
        if not is_lost:
            self.frames_uncompared, self.last_similarity = 0, similarity
        candidate = candidate._replace(similarity=similarity)
        margin = jump_margin(region.expected, candidate)
        is_target = is_sure_score or is_recognised(candidate, self.baseline, config, margin)
        return candidate._replace(is_recognised=is_target)

    def judge(self, place: Box, candidates: Sequence[Candidate], config: TrackerConfig) -> Decision:
        """The outcome of the search while the target is lost, otherwise that of the only candidate."""
        lost, self.search = self.search if config.redetection else None, None
        chosen = 0
        if lost is not None:
            outcome = judge_search(lost, candidates, config)
            self.search, chosen = outcome.search, outcome.chosen
            if outcome.search is not None:
                return Decision(TrackResult(lost.place, candidates[0].score, 0.0, TrackState.SEARCHING), 0)
            if outcome.was_away:
                self.cooldown = config.update_interval + 1  # this frame is the first
        candidate = candidates[chosen]
        if not candidate.is_recognised and lost is None:
            return self._doubt(place, candidate, config)
        self.doubtful_frames = 0
        if candidate.state.is_visible:
            self.match_scores = [*self.match_scores, match_score(candidate)][-_BASELINE_FRAMES:]
        elif config.redetection:
            self.search = Search(place, self.baseline)
        return Decision(TrackResult(*candidate[:5]), chosen)

    def _doubt(self, place: Box, candidate: Candidate, config: TrackerConfig) -> Decision:
        """The result of a candidate in the target's place that is not recognised."""
        is_like = candidate.similarity >= DOUBT_SIMILARITY and candidate.score >= DOUBT_SCORE
        if not is_like or candidate.iou < DOUBT_IOU or not is_same(place, candidate.box):
            self.doubtful_frames = 0
            if config.redetection:
                # Counts as one missed frame more, so that the stricter threshold applies from now on.
                has_jumped = jump_margin(place, candidate) > 0
                hypothesis: Hypothesis | None = Hypothesis(candidate.box, is_unbroken=not has_jumped)
                if has_jumped and candidate.state is TrackState.UNCERTAIN:
                    hypothesis = None  # of two peaks, the one in the old place is more likely the target
                self.search = Search(place, self.baseline, missed=2, hypothesis=hypothesis, has_jumped=has_jumped)
            return Decision(TrackResult(place, candidate.score, 0.0, TrackState.LOST), 0)
        self.doubtful_frames += 1
        state = TrackState.UNCERTAIN
        if self.doubtful_frames > DOUBT_FRAMES:
            state, self.doubtful_frames = candidate.state, 0
            self.match_scores = [match_score(candidate)]
            self.cooldown = config.update_interval + 1
        return Decision(TrackResult(candidate.box, candidate.score, candidate.iou, state), 0)

    def teaches(self, result: TrackResult, config: TrackerConfig) -> bool:
        """Whether the result may update the filter: during the cooldown only if it is sure."""
        return result.state is TrackState.TRACKING and (self.cooldown == 0 or is_sure(result, config))

    def learn(self, decision: Decision, frame: int, config: TrackerConfig, cut_patch: CutPatch) -> None:
        """Counts the cooldown down, and keeps the appearance of sure frames at intervals."""
        result = decision.result
        if result.state is TrackState.SEARCHING:
            return
        self.cooldown = max(0, self.cooldown - 1)
        is_wanted = config.redetection or config.recognition > 0
        if is_wanted and frame % INTERVAL == 0 and is_sure(result, config) and not self.cooldown:
            self.appearance.keep(cut_patch(decision.chosen, result.box))

    def rescale(self, old_size: Size, new_size: Size) -> None:
        """Scales the search to images of another size."""
        self.search = self.search and rescale(self.search, old_size, new_size)


def is_sure(result: TrackResult, config: TrackerConfig) -> bool:
    """Whether the score and the predicted IoU of a result suffice for a re-detection."""
    return result.state is TrackState.TRACKING and reaches_thresholds(result.score, result.iou, config)
