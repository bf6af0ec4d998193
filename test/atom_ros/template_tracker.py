# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for `MultiTracker` that really follows, without a network: the target's pixels are looked for again."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
from number_tracker import NumberTracker

from atom_core.result import TrackResult, TrackState

_SIMILAR = 0.8  # correlation from which a place is the target


class TemplateTracker(NumberTracker):
    """Finds a rigid target by normalised correlation; the box is as exact as its whole pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes: list[tuple[float, ...]] = []  # that were learned
        self.is_blind = False  # whether every target is LOST
        self._patches: dict[int, np.ndarray] = {}

    def add(self, image: np.ndarray, box: tuple[float, ...], target_id: int) -> int:
        x, y, width, height = (round(value) for value in box)
        x, y = max(0, x), max(0, y)
        self._patches[target_id] = image[y : y + height, x : x + width].copy()
        self.boxes.append(tuple(box))
        return super().add(image, box, target_id)

    def track(self, image: np.ndarray, target_ids: Collection[int]) -> dict[int, TrackResult]:
        self._wait()
        return {number: self._find(image, self._patches[number]) for number in target_ids}

    def _find(self, image: np.ndarray, patch: np.ndarray) -> TrackResult:
        scores = cv2.matchTemplate(image, patch, cv2.TM_CCOEFF_NORMED)
        _, score, _, (x, y) = cv2.minMaxLoc(scores)
        is_seen = score > _SIMILAR and not self.is_blind
        box = (x - 0.5, y - 0.5, float(patch.shape[1]), float(patch.shape[0]))
        return TrackResult(box, score, score, TrackState.TRACKING if is_seen else TrackState.LOST)
