# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The search for a lost target: which regions to search next, and when to accept a candidate. Runs on the host.

The classifier sees the target at one scale, in a region whose size follows from the target's. So the search adds
regions: a grid over the image, a few regions a frame, those nearest to the last known place first. It then repeats the
grid for a larger and for a smaller target, and starts over.

    plan_search: the state of the search -> the search regions of the next frame
    judge_search: their candidates -> the new state, or the candidate that is the target

A target is re-detected only after it was convincing in several consecutive frames at one place and looked like the
target (`atom_core.long_term.appearance`). Near the last place, soon after the loss, less is required, because the
target has seldom moved far.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from atom_core import boxes
from atom_core.boxes import Box
from atom_core.candidate import Candidate, SearchRegion
from atom_core.config import TrackerConfig
from atom_core.result import TrackState

# A target nearer to a region's border than this share of its side is not found reliably: half the target
# (a tenth of the side) is cut off there, and border effects of the networks reach in.
BLIND_BORDER = 0.12
SCALES = (1.0, 1.4, 1 / 1.4)  # of the target, searched one after the other
_SHORT_LOSS = 1  # frames after the loss in which a recognised candidate at the last place is accepted
_RECENT_LOSS = 30  # frames after the loss in which a recognised target near the last place is re-detected at once
_RECENT_MARGIN = 0.1  # added to `TrackerConfig.recognition` in these frames
# Added to `TrackerConfig.recognition` for a candidate away from the target's place, which is mostly another object.
_JUMP_MARGIN = 0.2
_UNCERTAIN_JUMP_MARGIN = 0.35  # the same if a second peak may be the target
_SCORE_WEIGHT = 0.6  # of the score in `match_score`; the similarity has weight 1
_SURE_SCORE = 0.7  # from which a candidate in the target's place is the target, whatever its similarity
_RECENT_MATCH = 0.65  # minimum match score near the last place, within `_RECENT_LOSS`
_FOLLOWED_SCORE = 0.35  # score from which an unconvincing candidate is followed as a hypothesis
_FOLLOWED_FRAMES = 10  # consecutive frames after which a hypothesis is the target if its means reach:
_FOLLOWED_MEAN_SCORE = 0.5
_FOLLOWED_MEAN_SIMILARITY = 0.66
_FOLLOWED_MEAN_IOU = 0.75
_UNBROKEN_MEAN_IOU = 0.85  # the same for one that was never out of sight: a target that changed its shape
_UNBROKEN_MEAN_SIMILARITY = 0.4
_SURE_FRAMES = 20  # consecutive frames after which a hypothesis is the target, whatever its similarity, if its mean
_SURE_MEAN_SCORE = 0.75  # score reaches this, and its mean predicted IoU `_FOLLOWED_MEAN_IOU`
_CONVINCING_SHARE = 0.9  # of the match score before the loss; convinces as `redetection_similarity` does
_SAME_PLACE = 1.0  # maximum distance of one target's boxes in consecutive frames, in target sides
_FOLLOWED_PLACE = 2.0  # the same for a hypothesis, which has a search region of its own
_SAME_SIZE = 1.5  # maximum ratio of their sides


@dataclass(frozen=True)
class Hypothesis:
    """A candidate that may be the target. It is followed, but not reported yet."""

    box: Box
    convincing: int = 0  # consecutive frames in which it was convincing
    frames: int = 0  # consecutive frames in which it was found
    score: float = 0.0  # mean over them, or over about the last `_FOLLOWED_FRAMES`; so are the next two
    similarity: float = 0.0
    iou: float = 0.0
    is_unbroken: bool = False  # it started where the target was lost, and was seen in every frame since

    def seen(self, candidate: Candidate, is_convincing: bool) -> Hypothesis:
        """The hypothesis after one more frame in which it was found."""
        frames = self.frames + 1
        weight = 1 / min(frames, _FOLLOWED_FRAMES)
        return Hypothesis(
            candidate.box,
            self.convincing + 1 if is_convincing else 0,
            frames,
            self.score + weight * (candidate.score - self.score),
            self.similarity + weight * (candidate.similarity - self.similarity),
            self.iou + weight * (candidate.iou - self.iou),
            self.is_unbroken,
        )

    def is_target(self, config: TrackerConfig) -> bool:
        """Whether it was convincing often enough, or its means were high enough for long enough."""
        if self.convincing >= config.redetection_frames:
            return True
        if self.frames < _FOLLOWED_FRAMES or self.iou < _FOLLOWED_MEAN_IOU:
            return False
        if self.is_unbroken and self.iou >= _UNBROKEN_MEAN_IOU and self.similarity >= _UNBROKEN_MEAN_SIMILARITY:
            return True
        looks_like_it = self.score >= _FOLLOWED_MEAN_SCORE and self.similarity >= _FOLLOWED_MEAN_SIMILARITY
        return looks_like_it or (self.frames >= _SURE_FRAMES and self.score >= _SURE_MEAN_SCORE)


@dataclass(frozen=True)
class Search:
    """The state of the search for a lost target."""

    place: Box  # last known
    baseline: float = 0.0  # match score before the loss
    missed: int = 1  # consecutive frames without the target
    tiles: int = 0  # searched since the loss
    hypothesis: Hypothesis | None = None
    has_jumped: bool = False  # the loss was a jump, probably to another object

    @property
    def is_short_loss(self) -> bool:
        """Whether the loss is so short that the target may still be at its last place."""
        return self.missed <= _SHORT_LOSS

    @property
    def is_recent_loss(self) -> bool:
        """Whether the target may still be near its last place, occluded."""
        return self.missed <= _RECENT_LOSS


def rescale(search: Search, old_size: tuple[int, int], new_size: tuple[int, int]) -> Search:
    """The search in images of another size (width, height), see `boxes.rescale`, without its hypothesis."""
    return dataclasses.replace(search, place=boxes.rescale(search.place, old_size, new_size), hypothesis=None)


class SearchOutcome(NamedTuple):
    """The outcome of one frame of a search."""

    search: Search | None  # None: the target is re-detected
    chosen: int = 0  # index of the candidate that is the target
    was_away: bool = False  # False if it is where it was lost one frame ago


def plan_search(search: Search, size: tuple[int, int], config: TrackerConfig) -> list[SearchRegion]:
    """The search regions of the next frame: that of the hypothesis, or else of the last place, then the next tiles.

    Args:
        search: the state so far.
        size: width and height of the image.
        config: of the tracker.
    """
    box = search.hypothesis.box if search.hypothesis else search.place
    box = boxes.keep_in_image(box, *size, config.min_box_side, config.position_margin)
    grid = search_grid(search.place, *size, config)
    tiles = [grid[(search.tiles + i) % len(grid)] for i in range(config.redetection_regions - 1)]
    first = config if search.is_recent_loss else _without_near_places(config)
    return [SearchRegion.about(box, config)._replace(config=first), *tiles]


class Tiles(NamedTuple):
    """Tiles of an image for a target of one size, in rings around its last place; within a ring the nearest first.

    A tiny target in a large image has hundreds of thousands of tiles, so each is made only when it is searched.
    """

    columns: np.ndarray  # centres relative to the last place's, image px
    rows: np.ndarray
    rings_x: np.ndarray  # the ring of each column: its rounded distance in sides of a region
    rings_y: np.ndarray
    until: np.ndarray  # number of tiles up to and including each ring

    @classmethod
    def of(cls, columns: np.ndarray, rows: np.ndarray, side: float) -> Tiles:
        """The tiles with centres on a grid, for regions of this side."""
        rings_x, rings_y = (np.rint(np.abs(offsets) / side).astype(int) for offsets in (columns, rows))
        count = max(rings_x.max(), rings_y.max()) + 1
        until_x, until_y = (np.cumsum(np.bincount(rings, minlength=count)) for rings in (rings_x, rings_y))
        return cls(columns, rows, rings_x, rings_y, until_x * until_y)

    def at(self, number: int) -> tuple[float, float]:
        """The centre of a tile, relative to the last place's."""
        ring = int(np.searchsorted(self.until, number, side="right"))
        beside = itertools.product(self.rows[self.rings_y <= ring], self.columns[self.rings_x == ring])
        above = itertools.product(self.rows[self.rings_y == ring], self.columns[self.rings_x < ring])
        of_ring = sorted(((x, y) for y, x in (*beside, *above)), key=lambda offset: math.hypot(*offset))
        return of_ring[number - (int(self.until[ring - 1]) if ring else 0)]


@dataclass(frozen=True)
class SearchGrid:
    """All search regions of the image, for each of `SCALES` in turn, see `search_grid`."""

    place: Box
    tiles: tuple[Tiles, ...]
    config: TrackerConfig

    def __len__(self) -> int:
        return sum(int(tiles.until[-1]) for tiles in self.tiles)

    def __getitem__(self, number: int) -> SearchRegion:
        left = number
        for tiles, scale in zip(self.tiles, SCALES, strict=True):
            if 0 <= left < tiles.until[-1]:
                return self._region(*tiles.at(left), scale)
            left -= int(tiles.until[-1])
        raise IndexError(f"there are {len(self)} search regions, and none of number {number}")

    def _region(self, dx: float, dy: float, scale: float) -> SearchRegion:
        x, y, width, height = self.place
        w, h = width * scale, height * scale
        box = float(x + width / 2 + dx - w / 2), float(y + height / 2 + dy - h / 2), w, h
        return SearchRegion.about(box, self.config)


@functools.lru_cache(maxsize=32)
def search_grid(place: Box, image_width: int, image_height: int, config: TrackerConfig) -> SearchGrid:
    """The tiles of the image, for each of `SCALES` in turn, in rings around the last known place.

    At each scale, every point of the image lies in a tile, at least `BLIND_BORDER` of the side from its border.
    """
    x, y, width, height = place
    tiles = []
    for scale in SCALES:
        side = config.search_area_factor * math.sqrt(width * height) * scale
        columns = _centers(image_width, side) - (x + width / 2)
        tiles.append(Tiles.of(columns, _centers(image_height, side) - (y + height / 2), side))
    return SearchGrid(place, tuple(tiles), _without_near_places(config))


@functools.lru_cache(maxsize=8)
def _without_near_places(config: TrackerConfig) -> TrackerConfig:
    """The configuration without a prior for places near the centre: any second peak makes a candidate uncertain."""
    return dataclasses.replace(config, near_limit=0.0)


def _centers(length: int, side: float) -> np.ndarray:
    """Evenly spaced centres of the fewest tiles whose inner parts cover `length` px."""
    inner = (1 - 2 * BLIND_BORDER) * side
    count = max(1, math.ceil(length / inner))
    return (np.arange(count) + 0.5) * length / count - 0.5


def judge_search(search: Search, candidates: Sequence[Candidate], config: TrackerConfig) -> SearchOutcome:
    """The outcome of one frame of a search.

    Right after the loss, a target that is recognised at its last place counts as never lost. A little later it is
    re-detected there by a stricter threshold. A candidate anywhere is followed as a hypothesis, which is not reported.
    It becomes the target once it was convincing in `redetection_frames` consecutive frames, or its means were high over
    many more. A convincing candidate elsewhere replaces a hypothesis; one that is not found again is dropped.

    Args:
        search: the state so far.
        candidates: of the regions that `plan_search` returned for it.
        config: thresholds.
    """
    first = candidates[0]
    if search.is_short_loss and first.state.is_visible and first.is_recognised:
        return SearchOutcome(None, 0)
    is_found = first.state is TrackState.TRACKING
    margin = max(_RECENT_MARGIN, jump_margin(search.place, first, 1 if search.has_jumped else search.missed))
    if (
        search.is_recent_loss
        and is_found
        and is_near(search.place, first.box, config)
        and match_score(first) >= _RECENT_MATCH
        and is_recognised(first, search.baseline, config, margin)
    ):
        return SearchOutcome(None, 0, was_away=True)
    best = _best_place(search, candidates, config)
    hypothesis = None
    if best is not None:
        found, before = candidates[best], search.hypothesis
        reach = _SAME_PLACE if best else _FOLLOWED_PLACE
        before = before if before and is_same(before.box, found.box, reach) else Hypothesis(found.box)
        hypothesis = before.seen(found, is_convincing(found, search.baseline, config))
        if hypothesis.is_target(config):
            return SearchOutcome(None, best, was_away=True)
    tiles = search.tiles + len(candidates) - 1
    return SearchOutcome(dataclasses.replace(search, missed=search.missed + 1, tiles=tiles, hypothesis=hypothesis))


def _best_place(search: Search, candidates: Sequence[Candidate], config: TrackerConfig) -> int | None:
    """The candidate to follow: the convincing one of highest score, else the hypothesis, else the best match."""
    convincing = [i for i, candidate in enumerate(candidates) if is_convincing(candidate, search.baseline, config)]
    if convincing:
        return max(convincing, key=lambda i: candidates[i].score)
    worthy = [i for i, c in enumerate(candidates) if c.state.is_visible and c.score >= _FOLLOWED_SCORE]
    if search.hypothesis and (0 in worthy or _is_followed_from_the_loss(search, candidates[0])):
        return 0
    return max(worthy, key=lambda i: match_score(candidates[i]), default=None)


def _is_followed_from_the_loss(search: Search, candidate: Candidate) -> bool:
    """Whether a candidate of low score continues the hypothesis soon after the loss, so was never out of sight."""
    assert search.hypothesis is not None
    is_there = candidate.state.is_visible and is_same(search.hypothesis.box, candidate.box)
    return search.is_recent_loss and is_there


def is_convincing(candidate: Candidate, baseline: float, config: TrackerConfig) -> bool:
    """Whether a candidate has a high score and predicted IoU, no second peak, and the appearance of the target.

    For the appearance, the similarity must be high, or similarity and score together nearly as high as before the loss:
    a target that turns is less similar, but another object seldom reaches its score.

    Args:
        candidate: compared with the target.
        baseline: match score before the loss.
        config: thresholds.
    """
    is_likely = candidate.state is TrackState.TRACKING and reaches_thresholds(candidate.score, candidate.iou, config)
    is_alike = candidate.similarity >= config.redetection_similarity
    return is_likely and (is_alike or match_score(candidate) >= _CONVINCING_SHARE * baseline)


def is_surely_found(candidate: Candidate) -> bool:
    """Whether the score alone suffices to recognise a candidate in the target's place."""
    return candidate.score >= _SURE_SCORE


def is_recognised(candidate: Candidate, baseline: float, config: TrackerConfig, margin: float = 0.0) -> bool:
    """Whether a candidate is the target rather than another object in its place; true if nothing is found.

    A target changes step by step, while another object takes its place from one frame to the next.

    Args:
        candidate: compared with the target, unless its score suffices.
        baseline: match score of the frames before.
        config: `recognition` is the required share of the baseline.
        margin: added to that share.
    """
    required = (config.recognition + margin) * baseline
    return not candidate.state.is_visible or match_score(candidate) >= required


def jump_margin(place: Box, candidate: Candidate, frames: int = 1) -> float:
    """The margin for `is_recognised`; 0 where the target can have moved to in this number of frames."""
    if is_same(place, candidate.box, frames * _SAME_PLACE):
        return 0.0
    return _UNCERTAIN_JUMP_MARGIN if candidate.state is TrackState.UNCERTAIN else _JUMP_MARGIN


def match_score(candidate: Candidate) -> float:
    """How well a candidate matches the target: a weighted sum of similarity and score."""
    return candidate.similarity + _SCORE_WEIGHT * candidate.score


def reaches_thresholds(score: float, iou: float, config: TrackerConfig) -> bool:
    """Whether the score and the predicted IoU are high enough for a re-detection."""
    return score >= config.redetection_score and iou >= config.redetection_iou


def is_near(place: Box, box: Box, config: TrackerConfig) -> bool:
    """Whether the centre of a box lies in the search region around the last known place."""
    reach = config.search_area_factor * math.sqrt(place[2] * place[3]) / 2
    return bool(np.abs(boxes.center(np.array(box)) - boxes.center(np.array(place))).max() <= reach)


def is_same(a: Box, b: Box, reach: float = _SAME_PLACE) -> bool:
    """Whether two boxes of consecutive frames may show one target, which moves by at most `reach` times its side."""
    side_a, side_b = math.sqrt(a[2] * a[3]), math.sqrt(b[2] * b[3])
    apart = math.dist((a[0] + a[2] / 2, a[1] + a[3] / 2), (b[0] + b[2] / 2, b[1] + b[3] / 2))
    return apart <= reach * min(side_a, side_b) and max(side_a, side_b) <= _SAME_SIZE * min(side_a, side_b)
