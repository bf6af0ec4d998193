# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Appearance of a target: compares candidates with it.

The classifier learns to tell the target from its surroundings, and the IoU predictor what an object is. Neither says
that an object in another place is the same one. Here the backbone's features at stride 8 are pooled in a grid over the
box, so that a description says which part looks how. Each channel is normalised by its mean and deviation over the
first frame's search region: what target and surroundings have in common identifies neither.

The similarity of two descriptions is their cosine, as a share of the target's similarity to itself in the frames in
which it was surely seen (`Appearance.similarity`).

A frame that is kept costs one copy of a few cells on the device. All else is computed when it is first needed, on the
host: for so few numbers a launch would cost more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from atom_core.boxes import Box

STRIDE = 8  # of the features, crop px a cell
BINS = 5  # a side
KEPT = 16  # descriptions beside the first frame's; the oldest is dropped for a new one
INTERVAL = 5  # frames from one that is kept to the next
_USUAL = 0.85  # a target's similarity to itself while only one frame of it is known
_LEAST = 0.83  # the least of it: a target that changes much would else match anything
_DRIFTED = 0.5  # similarity to the earlier ones below which a frame shows another thing
_SHORTEST = 1e-12  # a description's length, not to divide by 0
# A channel that hardly varies about the first target, as share of the mean deviation: else its noise would decide.
_MIN_DEVIATION = 0.1


class TemplatePatch(NamedTuple):
    """The backbone's features of a box in a crop."""

    cells: Tensor  # (1, C, h, w), those at stride 8 that the box lies on
    origin: tuple[int, int]  # (x, y) of the first cell in the crop's map
    box: Box  # crop px

    @classmethod
    def of(cls, features: Tensor, box: Box) -> TemplatePatch:
        """A copy of the cells of features (1, C, h, w) of one crop that the box, in crop px, lies on."""
        x, y, width, height = box
        top, bottom = _span(y, height, features.shape[2])
        left, right = _span(x, width, features.shape[3])
        return cls(features[:, :, top:bottom, left:right].clone(), (left, top), box)


@dataclass
class Appearance:
    """Appearance of one target.

    Attributes:
        mean: (C, 1, 1), of each channel in the first frame's search region; on the device, like the features.
        deviation: (C, 1, 1), likewise.
        unread: frames that were kept and not described yet, the latest last.
        known: descriptions (D,), the first frame's first, then the latest last.
        steady: similarity of each of them but the first to those before it.
    """

    mean: Tensor
    deviation: Tensor
    unread: list[TemplatePatch] = field(default_factory=list)
    known: list[np.ndarray] = field(default_factory=list)
    steady: list[float] = field(default_factory=list)

    @classmethod
    def of_first_frame(cls, features: Tensor, box: Box) -> Appearance:
        """Of the first frame's crop: features (1, C, h, w) at stride 8, box in crop px."""
        deviation, mean = torch.std_mean(features[0].float(), dim=(1, 2), keepdim=True)
        deviation = deviation + _MIN_DEVIATION * deviation.mean() + torch.finfo(torch.float32).tiny
        return cls(mean, deviation, [TemplatePatch.of(features, box)])

    @property
    def own_similarity(self) -> float:
        """Similarity of the target to itself, from one kept frame to the next; 0.83 or more."""
        return max(_LEAST, sum(self.steady) / len(self.steady) if self.steady else _USUAL)

    def keep(self, patch: TemplatePatch) -> None:
        """Keeps a sure frame of the target for comparison."""
        first = [] if self.known else self.unread[:1]
        self.unread = first + [*self.unread[len(first) :], patch][-KEPT:]

    def similarity(self, patch: TemplatePatch) -> float:
        """Similarity of a patch to the target, as a share of the target's similarity to itself; can be negative.

        One host read, and one more for each frame that was kept since the last call.
        """
        for kept in self.unread:
            self._learn(self.describe(kept))
        self.unread = []
        return self._best(self.describe(patch)) / self.own_similarity

    def describe(self, patch: TemplatePatch) -> np.ndarray:
        """The description (D,) of a patch, of length 1, or 0 where the box is empty."""
        normal = ((patch.cells[0].float() - self.mean) / self.deviation).cpu().numpy()
        along_x, along_y = (
            _bin_weights(start / STRIDE - first, length / STRIDE, cells)
            for start, length, first, cells in zip(
                patch.box[:2], patch.box[2:], patch.origin, normal.shape[:0:-1], strict=True
            )
        )
        pooled = (along_y @ normal @ along_x.T).ravel()  # precise RoI pooling, but for the area: only directions count
        return pooled / max(float(np.linalg.norm(pooled)), _SHORTEST)

    def _learn(self, description: np.ndarray) -> None:
        """Adds a description unless the tracker has drifted; keeps the first and the newest 16."""
        if not self.known:
            self.known = [description]
            return
        alike = self._best(description)
        if alike >= _DRIFTED:
            self.known = [self.known[0], *[*self.known[1:], description][-KEPT:]]
            self.steady = [*self.steady, alike][-KEPT:]

    def _best(self, description: np.ndarray) -> float:
        return float((np.stack(self.known) @ description).max())


def _bin_weights(start: float, extent: float, cells: int) -> np.ndarray:
    """(BINS, cells): the integral of each cell's hat function over each bin, see `atom_core.networks.prroi_pool`."""
    edges = start + max(extent, 0.0) / BINS * np.arange(BINS + 1)
    distance = np.clip(edges[:, None] - np.arange(cells), -1, 1)
    return np.diff(distance - 0.5 * distance * np.abs(distance), axis=0).astype(np.float32)


def _span(start: float, length: float, cells: int) -> tuple[int, int]:
    """First cell and the one after the last, along an axis, that pooling reaches from; at least one, within the map."""
    first = min(max(math.floor(start / STRIDE), 0), cells - 1)
    return first, min(max(math.ceil((start + length) / STRIDE) + 1, first + 1), cells)
