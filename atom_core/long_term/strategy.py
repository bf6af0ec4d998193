# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The interface of a long-term strategy, which handles distractors and losses of one target.

In each frame the tracker asks in this order:

    plan       where to search for the target
    recognise  which candidates may be the target
    judge      the frame's result, and the candidate that it comes from
    learn      keeps the target's appearance

A strategy holds the state of one target. The tracker uses `atom_core.long_term.redetection.Redetection`; to replace it,
change `atom_core.target.learn_first_frame`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from atom_core.boxes import Box
from atom_core.candidate import Candidate, SearchRegion
from atom_core.config import TrackerConfig
from atom_core.long_term.appearance import TemplatePatch
from atom_core.result import TrackResult

Size = tuple[int, int]  # width and height of the image
CutPatch = Callable[[int, Box], TemplatePatch]  # number of the search region, box in image px -> its template patch


class Decision(NamedTuple):
    """The result of a frame."""

    result: TrackResult
    chosen: int  # index of the search region that it comes from, or in which the target was expected


class LongTerm(Protocol):
    """Handling of distractors and losses of one target.

    Attributes:
        cooldown: remaining frames after a re-detection in which only sure results are learned.
    """

    cooldown: int

    @property
    def is_searching(self) -> bool:
        """Whether the next frame searches for a lost target."""
        ...

    def plan(self, place: Box, size: Size, config: TrackerConfig) -> list[SearchRegion]:
        """The search regions of the next frame, at least one.

        A single one may be shared with other targets nearby.

        Args:
            place: the last known box.
            size: of the image.
            config: of the tracker.
        """
        ...

    def recognise(
        self, regions: Sequence[SearchRegion], candidates: Sequence[Candidate], size: Size, cut_patch: CutPatch
    ) -> list[Candidate]:
        """The candidates with their similarity to the target, and whether they are recognised as the target.

        Args:
            regions: of `plan`.
            candidates: one for each region.
            size: of the image.
            cut_patch: returns the features of a box; each call copies some cells on the device.
        """
        ...

    def judge(self, place: Box, candidates: Sequence[Candidate], config: TrackerConfig) -> Decision:
        """The frame's result.

        Args:
            place: the last known box.
            candidates: of `recognise`.
            config: of the tracker.
        """
        ...

    def teaches(self, result: TrackResult, config: TrackerConfig) -> bool:
        """Whether the classifier may learn the result's sample."""
        ...

    def learn(self, decision: Decision, frame: int, config: TrackerConfig, cut_patch: CutPatch) -> None:
        """Ends a frame; keeps the appearance if the result is sure.

        Args:
            decision: of `judge`.
            frame: number of the frame since the first.
            config: of the tracker.
            cut_patch: see `recognise`.
        """
        ...

    def rescale(self, old_size: Size, new_size: Size) -> None:
        """Scales all boxes to images of another size."""
        ...
