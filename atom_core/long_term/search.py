# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The search for a lost target: which regions come next, and when a candidate is accepted. On the host, no networks.

The classifier sees the target at one scale, in a region that the target's size alone determines. So the search adds
further regions: a grid over the image, the nearest to the last known place first, a few a frame. When all have been
searched, the same follows for a larger and for a smaller target, and then from the beginning.

    plan_search: the state of the search -> search regions of the next frame
    judge_search: their candidates -> the new state, or the candidate that is the target

A target is re-detected only after it was convincing in several frames in a row, at one place, and looked like the
target (`atom_core.long_term.appearance`). At the last place, soon after the loss, less is required: it has seldom gone
far.
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

# A target centred within this share of a region's side from the region's border is not found reliably: half the target
# (a tenth of the side) is cut off there, and the networks' own borders reach in.
BLIND_BORDER = 0.12
SCALES = (1.0, 1.4, 1 / 1.4)  # of the target; the whole grid for one after the other
_SHORT_LOSS = 1  # frames after the loss in which the last place needs no proof
_RECENT_LOSS = 30  # frames after the loss in which a target at the last place is re-detected once it is recognised
_RECENT_MARGIN = 0.1  # required beyond TrackerConfig.recognition then
# Required beyond `TrackerConfig.recognition` of a candidate elsewhere than the target was: it is mostly another thing.
_JUMP_MARGIN = 0.2
_UNCERTAIN_JUMP_MARGIN = 0.35  # the same where there is a second peak, which may be the target
_SCORE_WEIGHT = 0.6  # of the score beside the similarity in `match_score`
_SURE_SCORE = 0.7  # from which a candidate in the target's place is the target, whatever it looks like
_RECENT_MATCH = 0.65  # match score required then in any case
_FOLLOWED_SCORE = 0.35  # score from which a candidate that is not convincing is followed to see more of it
_FOLLOWED_FRAMES = 10  # in a row, after which such a candidate is the target if on average
_FOLLOWED_MEAN_SCORE = 0.5  # its score,
_FOLLOWED_MEAN_SIMILARITY = 0.66  # its similarity
_FOLLOWED_MEAN_IOU = 0.75  # and its predicted IoU are as high as these
_UNBROKEN_MEAN_IOU = 0.85  # the same for a candidate that was never out of sight: a target that changed its shape
_UNBROKEN_MEAN_SIMILARITY = 0.4
_SURE_FRAMES = 20  # in a row, after which such a candidate is the target if on average
_SURE_MEAN_SCORE = 0.75  # its score alone is as high, and its predicted IoU as above: it may look quite different
_CONVINCING_SHARE = 0.9  # of the match score before the loss, that convinces like the similarity that is set
_SAME_PLACE = 1.0  # target sides between two boxes of one target in consecutive frames
_FOLLOWED_PLACE = 2.0  # the same for a hypothesis, which is searched for in a region of its own
_SAME_SIZE = 1.5  # ratio of their sides


@dataclass(frozen=True)
class Hypothesis:
    """A place where the target may be; it is followed, and nothing is claimed of it yet."""

    box: Box
    convincing: int = 0  # frames in a row in which it was convincing
    frames: int = 0  # in a row in which it was found
    score: float = 0.0  # means over them, or over about the last `_FOLLOWED_FRAMES`
    similarity: float = 0.0
    iou: float = 0.0
    is_unbroken: bool = False  # it continues from where the target was lost, and was seen in every frame since

    def seen(self, candidate: Candidate, is_convincing: bool) -> Hypothesis:
        """The same place after one more frame in which it was found."""
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
        """Whether it was convincing often enough, or good enough on average for long enough."""
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
    missed: int = 1  # frames in a row without the target
    tiles: int = 0  # searched since the loss
    hypothesis: Hypothesis | None = None
    has_jumped: bool = False  # it was lost since what was found was not where it had been, and another thing probably

    @property
    def is_short_loss(self) -> bool:
        """Whether the target may still be at its last place, as if nothing had happened."""
        return self.missed <= _SHORT_LOSS

    @property
    def is_recent_loss(self) -> bool:
        """Whether it may still be near its last place, behind something."""
        return self.missed <= _RECENT_LOSS


def rescale(search: Search, old_size: tuple[int, int], new_size: tuple[int, int]) -> Search:
    """The same search in images of another size (width, height), see `boxes.rescale`; a hypothesis is dropped."""
    return dataclasses.replace(search, place=boxes.rescale(search.place, old_size, new_size), hypothesis=None)


class SearchOutcome(NamedTuple):
    """What one frame of a search leads to."""

    search: Search | None  # None: the target is re-detected
    chosen: int = 0  # number of the candidate that is the target
    was_away: bool = False  # it is re-detected at a place of its own, not where it was lost a frame ago


def plan_search(search: Search, size: tuple[int, int], config: TrackerConfig) -> list[SearchRegion]:
    """The search regions of the next frame: the hypothesis's or else the last place's, then the next tiles.

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
    """Tiles of an image for a target of one size, in rings about its last place; of each ring the nearest first.

    A tiny target in a large image has hundreds of thousands, so a tile is made when it is searched.
    """

    columns: np.ndarray  # centres from the last place's, image px
    rows: np.ndarray
    rings_x: np.ndarray  # the ring of each column: its distance in regions' sides, rounded
    rings_y: np.ndarray
    until: np.ndarray  # number of tiles in each ring and those within it

    @classmethod
    def of(cls, columns: np.ndarray, rows: np.ndarray, side: float) -> Tiles:
        """Of a grid of centres, for regions of a side."""
        rings_x, rings_y = (np.rint(np.abs(offsets) / side).astype(int) for offsets in (columns, rows))
        count = max(rings_x.max(), rings_y.max()) + 1
        until_x, until_y = (np.cumsum(np.bincount(rings, minlength=count)) for rings in (rings_x, rings_y))
        return cls(columns, rows, rings_x, rings_y, until_x * until_y)

    def at(self, number: int) -> tuple[float, float]:
        """The centre of a tile, from the last place's."""
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
    """The tiles of the image, for each of `SCALES` in turn, in rings about the last known place.

    Every place in the image lies in a tile of each scale, `BLIND_BORDER` of its side away from its border.
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
    """No place in a region is likelier than another: a second peak always makes the candidate uncertain."""
    return dataclasses.replace(config, near_limit=0.0)


def _centers(length: int, side: float) -> np.ndarray:
    """Centres of the fewest tiles in a row whose inner parts cover `length` px, evenly spread."""
    inner = (1 - 2 * BLIND_BORDER) * side
    count = max(1, math.ceil(length / inner))
    return (np.arange(count) + 0.5) * length / count - 0.5


def judge_search(search: Search, candidates: Sequence[Candidate], config: TrackerConfig) -> SearchOutcome:
    """What one frame of a search leads to.

    Right after the loss, a target recognised at its last place was never away. A little later it is re-detected there
    by a stricter measure. What is found anywhere is followed as a hypothesis, and nothing is claimed of it. It is the
    target once it was convincing in `redetection_frames` frames in a row, or good on average over many more. A
    hypothesis gives way to a convincing candidate elsewhere, and is dropped where it is not seen again.

    Args:
        search: the state so far.
        candidates: of the regions that `plan_search` gave for it.
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
    """The candidate to follow: a convincing one of highest score; else the one followed so far; else the best match."""
    convincing = [i for i, candidate in enumerate(candidates) if is_convincing(candidate, search.baseline, config)]
    if convincing:
        return max(convincing, key=lambda i: candidates[i].score)
    worthy = [i for i, c in enumerate(candidates) if c.state.is_visible and c.score >= _FOLLOWED_SCORE]
    if search.hypothesis and (0 in worthy or _is_followed_from_the_loss(search, candidates[0])):
        return 0
    return max(worthy, key=lambda i: match_score(candidates[i]), default=None)


def _is_followed_from_the_loss(search: Search, candidate: Candidate) -> bool:
    """Whether a faint candidate continues the hypothesis, soon after the loss: it was never out of sight."""
    assert search.hypothesis is not None
    is_there = candidate.state.is_visible and is_same(search.hypothesis.box, candidate.box)
    return search.is_recent_loss and is_there


def is_convincing(candidate: Candidate, baseline: float, config: TrackerConfig) -> bool:
    """Whether a candidate is the target beyond doubt: score, predicted IoU, no second peak, and its appearance.

    Its appearance does if it is similar enough, or if similarity and score together are nearly those from before the
    loss: a target that turns is less similar, and one that scores as high as ever is seldom another.

    Args:
        candidate: compared with the target.
        baseline: match score before the loss.
        config: thresholds.
    """
    is_likely = candidate.state is TrackState.TRACKING and reaches_thresholds(candidate.score, candidate.iou, config)
    is_alike = candidate.similarity >= config.redetection_similarity
    return is_likely and (is_alike or match_score(candidate) >= _CONVINCING_SHARE * baseline)


def is_surely_found(candidate: Candidate) -> bool:
    """Whether the score alone says that a candidate in the target's place is the target."""
    return candidate.score >= _SURE_SCORE


def is_recognised(candidate: Candidate, baseline: float, config: TrackerConfig, margin: float = 0.0) -> bool:
    """Whether a candidate is the target rather than another thing in its place; true where nothing is found.

    A target turns and changes step by step; another thing takes its place from one frame to the next.

    Args:
        candidate: compared with the target, unless its score was high enough.
        baseline: match score of the frames before.
        config: has the share of the baseline that is required.
        margin: required beyond that share.
    """
    required = (config.recognition + margin) * baseline
    return not candidate.state.is_visible or match_score(candidate) >= required


def jump_margin(place: Box, candidate: Candidate, frames: int = 1) -> float:
    """What is required beyond the share of the baseline; 0 where the target may be after this number of frames."""
    if is_same(place, candidate.box, frames * _SAME_PLACE):
        return 0.0
    return _UNCERTAIN_JUMP_MARGIN if candidate.state is TrackState.UNCERTAIN else _JUMP_MARGIN


def match_score(candidate: Candidate) -> float:
    """How well a candidate matches the target: similarity and score make up for one another."""
    return candidate.similarity + _SCORE_WEIGHT * candidate.score


def reaches_thresholds(score: float, iou: float, config: TrackerConfig) -> bool:
    """Whether score and predicted IoU are high enough for a re-detection."""
    return score >= config.redetection_score and iou >= config.redetection_iou


def is_near(place: Box, box: Box, config: TrackerConfig) -> bool:
    """Whether the middle of a box lies in the search region about the last known place."""
    reach = config.search_area_factor * math.sqrt(place[2] * place[3]) / 2
    return bool(np.abs(boxes.center(np.array(box)) - boxes.center(np.array(place))).max() <= reach)


def is_same(a: Box, b: Box, reach: float = _SAME_PLACE) -> bool:
    """Whether two boxes of consecutive frames may be of one target, which moves by at most `reach` of its sides."""
    side_a, side_b = math.sqrt(a[2] * a[3]), math.sqrt(b[2] * b[3])
    apart = math.dist((a[0] + a[2] / 2, a[1] + a[3] / 2), (b[0] + b[2] / 2, b[1] + b[3] / 2))
    return apart <= reach * min(side_a, side_b) and max(side_a, side_b) <= _SAME_SIZE * min(side_a, side_b)
