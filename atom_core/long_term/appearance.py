# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The appearance of a target, with which candidates are compared.

The classifier learns to tell the target from its surroundings, and the IoU predictor learns what an object is. Neither
can tell whether an object elsewhere is the same one. This module pools the backbone's features in a grid over the box,
so that a description keeps the position of each part. Each channel is normalised by its mean and deviation over the
first frame's search region, because what target and surroundings share identifies neither.

There are two descriptions. The coarse one, from the features at stride 16, changes little when the target turns, and
tells it from its surroundings. The fine one, at stride 8, tells it from others of its kind (docs/long_term.md has
figures).

The similarity of two descriptions is their cosine, divided by the target's similarity to itself over the kept frames
(`StrideAppearance.similarity`).

Keeping a frame costs a copy of a few cells on the device. The rest is computed on first use, on the host, where so
small arrays take less time than a launch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from atom_core.boxes import Box
from atom_core.networks.backbones import Features

KEPT = 16  # number of descriptions besides the first frame's; a new one replaces the oldest
INTERVAL = 5  # frames between two that are kept
_USUAL = 0.85  # a target's similarity to itself while only one frame of it is known
_LEAST = 0.83  # its minimum: otherwise a target that changes much would match anything
_DRIFTED = 0.5  # similarity to the earlier frames below which a frame shows another object
_SHORTEST = 1e-12  # minimum length of a description, which avoids division by 0
# Added to each deviation, as a share of their mean: otherwise the noise of nearly constant channels would dominate.
_MIN_DEVIATION = 0.1


class Grid(NamedTuple):
    """The grid of a description."""

    stride: int  # of the features, crop px a cell
    bins: int  # a side


COARSE, FINE = Grid(16, 3), Grid(8, 5)


class Cells(NamedTuple):
    """The features of a box at one stride."""

    values: Tensor  # (1, C, h, w), the cells that the box covers
    origin: tuple[int, int]  # (x, y) of the first cell in the crop's map
    box: Box  # crop px

    @classmethod
    def of(cls, features: Tensor, box: Box, stride: int) -> Cells:
        """A copy of the cells of features (1, C, h, w) that a box in crop px covers."""
        x, y, width, height = box
        top, bottom = _span(y, height, features.shape[2], stride)
        left, right = _span(x, width, features.shape[3], stride)
        return cls(features[:, :, top:bottom, left:right].clone(), (left, top), box)


class TemplatePatch(NamedTuple):
    """The backbone's features of a box in a crop."""

    coarse: Cells
    fine: Cells

    @classmethod
    def of(cls, features: Features, box: Box) -> TemplatePatch:
        """A copy of the cells of one crop's features that a box in crop px covers."""
        return cls(
            Cells.of(features.stride16, box, COARSE.stride),
            Cells.of(features.stride8, box, FINE.stride),
        )


@dataclass
class Appearance:
    """The appearance of one target.

    Attributes:
        coarse: at stride 16, as a whole.
        fine: at stride 8, in detail.
    """

    coarse: StrideAppearance
    fine: StrideAppearance

    @classmethod
    def of_first_frame(cls, features: Features, box: Box) -> Appearance:
        """The appearance in the first frame's crop; the box in crop px."""
        return cls(
            StrideAppearance.of_first_frame(features.stride16, box, COARSE),
            StrideAppearance.of_first_frame(features.stride8, box, FINE),
        )

    def keep(self, patch: TemplatePatch) -> None:
        """Keeps a sure frame of the target for comparison."""
        self.coarse.keep(patch.coarse)
        self.fine.keep(patch.fine)

    def similarity(self, patch: TemplatePatch, in_detail: bool) -> float:
        """Similarity of a patch to the target, divided by the target's similarity to itself; can be negative.

        It takes one host read for each description, and one more for each frame kept since the last call.

        Args:
            patch: of a candidate.
            in_detail: use both descriptions and return the lower similarity.
        """
        similarity = self.coarse.similarity(patch.coarse)
        return min(similarity, self.fine.similarity(patch.fine)) if in_detail else similarity


@dataclass
class StrideAppearance:
    """The target's descriptions at one stride.

    Attributes:
        grid: of the descriptions.
        mean: (C, 1, 1), of each channel in the first frame's search region; on the device, like the features.
        deviation: (C, 1, 1), likewise.
        unread: kept frames that are not described yet, oldest first.
        known: descriptions (D,), the first frame's first, then oldest first.
        steady: similarity of each description but the first to those before it.
    """

    grid: Grid
    mean: Tensor
    deviation: Tensor
    unread: list[Cells] = field(default_factory=list)
    known: list[np.ndarray] = field(default_factory=list)
    steady: list[float] = field(default_factory=list)

    @classmethod
    def of_first_frame(cls, features: Tensor, box: Box, grid: Grid) -> StrideAppearance:
        """The appearance in the first frame's features (1, C, h, w) at the grid's stride; the box in crop px."""
        deviation, mean = torch.std_mean(features[0].float(), dim=(1, 2), keepdim=True)
        deviation = deviation + _MIN_DEVIATION * deviation.mean() + torch.finfo(torch.float32).tiny
        return cls(grid, mean, deviation, [Cells.of(features, box, grid.stride)])

    @property
    def own_similarity(self) -> float:
        """Similarity of the target to itself, from one kept frame to the next; 0.83 or more."""
        return max(_LEAST, sum(self.steady) / len(self.steady) if self.steady else _USUAL)

    def keep(self, cells: Cells) -> None:
        """Keeps a sure frame's cells for comparison."""
        first = [] if self.known else self.unread[:1]
        self.unread = first + [*self.unread[len(first) :], cells][-KEPT:]

    def similarity(self, cells: Cells) -> float:
        """Similarity of a box to the target, divided by the target's similarity to itself; can be negative."""
        for kept in self.unread:
            self._learn(self.describe(kept))
        self.unread = []
        return self._best(self.describe(cells)) / self.own_similarity

    def describe(self, cells: Cells) -> np.ndarray:
        """The description (D,) of a box, of length 1, or 0 if the box is empty."""
        stride, bins = self.grid
        normal = ((cells.values[0].float() - self.mean) / self.deviation).cpu().numpy()
        along_x, along_y = (
            _bin_weights(start / stride - first, length / stride, count, bins)
            for start, length, first, count in zip(
                cells.box[:2], cells.box[2:], cells.origin, normal.shape[:0:-1], strict=True
            )
        )
        # Precise RoI pooling without the division by the area, since only directions count.
        pooled = (along_y @ normal @ along_x.T).ravel()
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


def _bin_weights(start: float, extent: float, cells: int, bins: int) -> np.ndarray:
    """(bins, cells): the integral of each cell's hat function over each bin, see `atom_core.networks.prroi_pool`."""
    edges = start + max(extent, 0.0) / bins * np.arange(bins + 1)
    distance = np.clip(edges[:, None] - np.arange(cells), -1, 1)
    return np.diff(distance - 0.5 * distance * np.abs(distance), axis=0).astype(np.float32)


def _span(start: float, length: float, cells: int, stride: int) -> tuple[int, int]:
    """The first cell that pooling uses along an axis, and the one after the last; at least one cell within the map."""
    first = min(max(math.floor(start / stride), 0), cells - 1)
    return first, min(max(math.ceil((start + length) / stride) + 1, first + 1), cells)
