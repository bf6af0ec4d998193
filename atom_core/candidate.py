# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A frame's search regions, and the candidates found in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from atom_core import boxes
from atom_core.boxes import Box, Region
from atom_core.config import TrackerConfig
from atom_core.result import TrackState


class SearchRegion(NamedTuple):
    """A square of the image in which one target is searched for."""

    square: Region  # image px, see `atom_core.boxes`
    expected: Box  # image px: refinement starts from its size; it is the candidate's box if nothing is found
    config: TrackerConfig  # for this region

    @classmethod
    def about(cls, box: Box, config: TrackerConfig) -> SearchRegion:
        """The search region around an expected box."""
        return cls(boxes.search_region(box, config.search_area_factor), box, config)

    def keep_in_image(self, box: Sequence[float], size: tuple[int, int]) -> Box:
        """The box, moved so that it overlaps an image of this size (width, height)."""
        return boxes.keep_in_image(boxes.as_box(box), *size, self.config.min_box_side, self.config.position_margin)

    def nothing(self, score: float, size: tuple[int, int]) -> Candidate:
        """The candidate of a region without the target, in an image of this size (width, height)."""
        return Candidate(self.keep_in_image(self.expected, size), score, 0.0, TrackState.LOST)


class Candidate(NamedTuple):
    """The result of one search region: the target's box, or that the target is not there."""

    box: Box  # image px; the expected one if nothing was found
    score: float  # the classifier's peak
    iou: float  # predicted, 0 if nothing was found
    state: TrackState  # TRACKING, UNCERTAIN or LOST, see `atom_core.classifier.localize.classify`
    hard_negative: bool = False  # a distractor is visible, and the filter should learn from it
    similarity: float = 1.0  # to the target, see `atom_core.long_term.appearance`; 1 if they were not compared
    is_recognised: bool = True  # False if it does not look like the target
