# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Where to look for a lost target, and when to believe that it is back. On the host, without networks.

The classifier sees the target at one scale, in a region that the target's size alone determines. So the search widens
by further regions: a grid of tiles over the image, the nearest to the last known place first, a few a frame. When all
have been seen, the same is done for a larger and for a smaller target, and then from the beginning.

    plan: what is known -> views, the places to look at in the next frame
    judge: what they showed -> what is known now, and whether the target is taken up again

A target is taken up only after it was convincing in several frames in a row, at one place, and looked like the target
(`atom_core.long_term.appearance`). At the last place, soon after the loss, less is asked for: it has seldom gone far.
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
from atom_core.boxes import Box, Region
from atom_core.classifier.localize import LocalizationState
from atom_core.config import TrackerConfig

# A target centred within this share of a region's side from the region's border is not found reliably: half the target
# (a tenth of the side) is cut off there, and the networks' own borders reach in.
BLIND_BORDER = 0.12
SCALES = (1.0, 1.4, 1 / 1.4)  # of the target, one sweep over the image each
_FLICKER = 1  # frames after the loss in which the last place is treated as if nothing had happened
_SOON = 30  # frames after the loss in which a target at the last place is taken up at once where it is recognised
_SOON_RECOGNITION = 0.1  # what is asked for beyond TrackerConfig.recognition then
_SCORE_WEIGHT = 0.6  # of the score beside the likeness in `evidence`
_SURE_SCORE = 0.7  # from which a thing is not compared with the target
_SAME_PLACE = 1.0  # target sides between two boxes of one target in consecutive frames
_SAME_SIZE = 1.5  # ratio of their sides


class View(NamedTuple):
    """A place to look at in one frame."""

    region: Region  # search region, image px
    box: Box  # expected: its size is what refinement starts from, its centre is the region's, about
    config: TrackerConfig  # for this view


class Finding(NamedTuple):
    """What one view showed."""

    box: Box  # image px; that of the view where nothing was found
    score: float  # the classifier's peak
    iou: float  # predicted, 0 where nothing was found
    state: LocalizationState
    likeness: float = 1.0  # to the target, see `atom_core.long_term.appearance`; 1 where they were not compared


@dataclass(frozen=True)
class Candidate:
    """A place where the target may be."""

    box: Box
    frames: int  # in a row in which it was convincing


@dataclass(frozen=True)
class Search:
    """What is known of a lost target."""

    place: Box  # last known
    usual: float = 0.0  # evidence, before the loss
    missed: int = 1  # frames in a row without the target
    tiles: int = 0  # looked at since the loss
    candidate: Candidate | None = None

    @property
    def is_flicker(self) -> bool:
        """Whether the target may still be at its last place, as if nothing had happened."""
        return self.candidate is None and self.missed <= _FLICKER

    @property
    def is_soon(self) -> bool:
        """Whether it may still be about its last place, behind something."""
        return self.candidate is None and self.missed <= _SOON


def rescale(search: Search, old_size: tuple[int, int], new_size: tuple[int, int]) -> Search:
    """The same search in images of another size (width, height), see `boxes.rescale`; a candidate starts anew."""
    return dataclasses.replace(search, place=boxes.rescale(search.place, old_size, new_size), candidate=None)


class Verdict(NamedTuple):
    """What one frame of a search came to."""

    search: Search | None  # None: the target is back
    finding: int = 0  # number of the view in which it is
    was_away: bool = False  # it is back at a place of its own, not where it was lost a frame ago


def plan(search: Search, image_width: int, image_height: int, config: TrackerConfig) -> list[View]:
    """The views of the next frame: the candidate's or else the last place's, then the next tiles."""
    box = search.candidate.box if search.candidate else search.place
    box = boxes.keep_in_image(box, image_width, image_height, config.min_box_side, config.position_margin)
    region = boxes.search_region(box, config.search_area_factor)
    walk = sweep(search.place, image_width, image_height, config)
    tiles = [walk[(search.tiles + i) % len(walk)] for i in range(config.redetection_regions - 1)]
    first = config if search.is_soon else _without_near_places(config)
    return [View(region, box, first), *tiles]


class Tiles(NamedTuple):
    """Tiles of an image for a target of one size, in rings about its last place; of each ring the nearest first.

    A tiny target in a large image has hundreds of thousands, so a tile is made when it is looked at.
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
class Sweep(Sequence):
    """All views of the image, for each of `SCALES` in turn, see `sweep`."""

    place: Box
    tiles: tuple[Tiles, ...]
    config: TrackerConfig

    def __len__(self) -> int:
        return sum(int(tiles.until[-1]) for tiles in self.tiles)

    def __getitem__(self, number: int) -> View:
        left = number
        for tiles, scale in zip(self.tiles, SCALES, strict=True):
            if 0 <= left < tiles.until[-1]:
                return self._view(*tiles.at(left), scale)
            left -= int(tiles.until[-1])
        raise IndexError(f"there are {len(self)} views, and none of number {number}")

    def _view(self, dx: float, dy: float, scale: float) -> View:
        x, y, width, height = self.place
        w, h = width * scale, height * scale
        box = float(x + width / 2 + dx - w / 2), float(y + height / 2 + dy - h / 2), w, h
        return View(boxes.search_region(box, self.config.search_area_factor), box, self.config)


@functools.lru_cache(maxsize=32)
def sweep(place: Box, image_width: int, image_height: int, config: TrackerConfig) -> Sweep:
    """All tiles of the image, for each of `SCALES` in turn, in rings about the last known place.

    Every place in the image lies in a tile of each scale, `BLIND_BORDER` of its side away from its border.
    """
    x, y, width, height = place
    tiles = []
    for scale in SCALES:
        side = config.search_area_factor * math.sqrt(width * height) * scale
        columns = _centers(image_width, side) - (x + width / 2)
        tiles.append(Tiles.of(columns, _centers(image_height, side) - (y + height / 2), side))
    return Sweep(place, tuple(tiles), _without_near_places(config))


@functools.lru_cache(maxsize=8)
def _without_near_places(config: TrackerConfig) -> TrackerConfig:
    """No place in a region is likelier than another: a rival always makes it uncertain, wherever it is."""
    return dataclasses.replace(config, near_limit=0.0)


def _centers(length: int, side: float) -> np.ndarray:
    """Centres of the fewest tiles in a row whose inner parts cover `length` px, evenly spread."""
    inner = (1 - 2 * BLIND_BORDER) * side
    count = max(1, math.ceil(length / inner))
    return (np.arange(count) + 0.5) * length / count - 0.5


def judge(search: Search, findings: Sequence[Finding], config: TrackerConfig) -> Verdict:
    """What a frame of a search came to.

    Right after the loss, a target seen at its last place was never away; a little later it is taken up there where it
    is recognised. Otherwise it is taken up when one place was convincing in `redetection_frames` frames in a row. Of
    several such places the one of highest score counts; a candidate that another place outdoes, or that is not seen
    again, has to start anew.

    Args:
        search: what was known.
        findings: of the views that `plan` gave for it.
        config: thresholds.
    """
    if search.is_flicker and findings[0].state != LocalizationState.NOT_FOUND:
        return Verdict(None, 0)
    if (
        search.is_soon
        and _is_found(findings[0])
        and is_recognised(findings[0], search.usual, config, _SOON_RECOGNITION)
    ):
        return Verdict(None, 0, was_away=True)
    convincing = [i for i, finding in enumerate(findings) if is_convincing(finding, config)]
    best = max(convincing, key=lambda i: findings[i].score, default=None)
    candidate = None
    if best is not None:
        again = search.candidate is not None and _is_same(search.candidate.box, findings[best].box)
        candidate = Candidate(findings[best].box, search.candidate.frames + 1 if again else 1)
        if candidate.frames >= config.redetection_frames:
            return Verdict(None, best, was_away=True)
    tiles = search.tiles + len(findings) - 1
    return Verdict(dataclasses.replace(search, missed=search.missed + 1, tiles=tiles, candidate=candidate))


def is_convincing(finding: Finding, config: TrackerConfig) -> bool:
    """Whether a view shows the target beyond doubt: score, predicted IoU, no rival, and the looks."""
    is_likely = _is_found(finding) and reaches_thresholds(finding.score, finding.iou, config)
    return is_likely and finding.likeness >= config.redetection_likeness


def may_be_another(finding: Finding, config: TrackerConfig) -> bool:
    """Whether what is found where the target was is to be compared with it: a high score says that it is the same."""
    return config.recognition > 0 and finding.score < _SURE_SCORE


def is_recognised(finding: Finding, usual: float, config: TrackerConfig, more: float = 0.0) -> bool:
    """Whether what is found is the target rather than another thing in its place; true where nothing is found.

    A target turns and changes step by step; another thing takes its place from one frame to the next.

    Args:
        finding: compared with the target, unless its score spoke for it.
        usual: evidence of the frames before.
        config: has the share of it that is asked for.
        more: asked for beyond that share.
    """
    return finding.state is LocalizationState.NOT_FOUND or evidence(finding) >= (config.recognition + more) * usual


def evidence(finding: Finding) -> float:
    """How much speaks for a thing being the target; looks and score make up for one another."""
    return finding.likeness + _SCORE_WEIGHT * finding.score


def _is_found(finding: Finding) -> bool:
    return finding.state in (LocalizationState.NORMAL, LocalizationState.HARD_NEGATIVE)


def reaches_thresholds(score: float, iou: float, config: TrackerConfig) -> bool:
    """Whether score and predicted IoU are those from which a target is taken up."""
    return score >= config.redetection_score and iou >= config.redetection_iou


def _is_same(a: Box, b: Box) -> bool:
    """Whether two boxes of consecutive frames may be of one target."""
    side_a, side_b = math.sqrt(a[2] * a[3]), math.sqrt(b[2] * b[3])
    apart = math.dist((a[0] + a[2] / 2, a[1] + a[3] / 2), (b[0] + b[2] / 2, b[1] + b[3] / 2))
    return apart <= _SAME_PLACE * min(side_a, side_b) and max(side_a, side_b) <= _SAME_SIZE * min(side_a, side_b)
