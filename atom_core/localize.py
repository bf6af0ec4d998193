# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""From the score map to the target's place, and to what that place may be used for (ATOM, section 3.3).

The map of one value in 16 crop px is interpolated to one a px. Root-mean-square error in px of the recovered peak of
Gaussian score maps of sigma 0.9 cells with additive noise of 0, 0.02 and 0.05, at least 3 cells inside the map / within
1.5 cells of a corner (0.41 is what rounding to whole px costs):

    Fourier, Nyquist terms halved     0.46  0.80  1.70  /  4.3  4.3  4.6
    cubic convolution, a = -0.75      0.88  1.08  1.83  /  6.5  6.2  6.3
    cubic B-spline                    1.02  1.18  1.84  /  7.5  7.0  7.7
    Gaussian kernels, sigma 1 cell    0.50  0.80  1.70  /  1.2  1.4  2.3

So Gaussian kernels it is. Unlike Fourier's, they do not show a peak at one border at the opposite one too.
"""

from __future__ import annotations

import functools
import math
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from atom_core import boxes
from atom_core.config import TrackerConfig

KERNEL_SIGMA = 1.0  # cells; see the table above


class LocalizationState(IntEnum):
    """What the score map says of the target."""

    NOT_FOUND = 0  # no peak is high enough
    UNCERTAIN = 1  # two peaks of like height, and their places do not tell which is the target
    HARD_NEGATIVE = 2  # found, and so is a distractor from which the filter should learn
    NORMAL = 3  # found, and nothing else of note


class Localization(NamedTuple):
    """Result of `localize`; tensors on the scores' device."""

    position: Tensor  # (2,) crop px (x, y) of the peak taken for the target; the highest one where not found
    score: Tensor  # () its score
    second_position: Tensor  # (2,) crop px of the other peak
    second_score: Tensor  # () its score; -inf if the area about the first peak covers the whole map
    state: Tensor  # () a LocalizationState


def localize(scores: Tensor, target_size: Tensor, config: TrackerConfig) -> Localization:
    """Find the target and the strongest distractor in a score map.

    peak2 is the highest score outside the area of `target_neighborhood` target sizes about peak1. A peak is near if it
    lies within `near_limit` half crops of the crop's centre, where the target was last.

    ====================================================  =============  ======
    condition, first match                                state          target
    ====================================================  =============  ======
    peak1 < not_found_threshold                           NOT_FOUND      peak1
    peak2 > distractor_threshold * peak1, one is near     HARD_NEGATIVE  near one
    peak2 > distractor_threshold * peak1, both or none    UNCERTAIN      peak1
    peak2 > hard_negative_threshold * peak1 and
    peak2 > not_found_threshold                           HARD_NEGATIVE  peak1
    otherwise                                             NORMAL         peak1
    ====================================================  =============  ======

    Args:
        scores: (h, h) raw scores, h = crop_size / 16.
        target_size: (2,) last width and height of the target in crop px.
        config: thresholds; `use_hann_window` lowers scores away from the crop's centre.
    """
    fine = _upsample(scores, config)
    score1, position1 = _peak(fine)
    score2, position2 = _peak(_without_neighborhood(fine, position1, config.target_neighborhood * target_size / 2))

    near1, near2 = _are_near(torch.stack((position1, position2)), config)
    found = score1 >= config.not_found_threshold  # false for NaN as well
    rival = score2 > config.distractor_threshold * score1.clamp(min=0)
    distractor = (score2 > config.hard_negative_threshold * score1) & (score2 > config.not_found_threshold)

    is_negative = torch.where(rival, near1 ^ near2, distractor)
    otherwise = torch.where(rival, int(LocalizationState.UNCERTAIN), int(LocalizationState.NORMAL))
    state = torch.where(is_negative, int(LocalizationState.HARD_NEGATIVE), otherwise)
    state = torch.where(found, state, int(LocalizationState.NOT_FOUND))

    swap = found & rival & near2 & ~near1
    return Localization(
        position=torch.where(swap, position2, position1),
        score=torch.where(swap, score2, score1),
        second_position=torch.where(swap, position1, position2),
        second_score=torch.where(swap, score1, score2),
        state=state,
    )


def _upsample(scores: Tensor, config: TrackerConfig) -> Tensor:
    """Scores (h, h) -> one value a crop px (16 h, 16 h), windowed if so configured."""
    matrix = _upsampling_matrix(scores.shape[-1], scores.device, scores.dtype)
    fine = matrix @ scores @ matrix.T
    return _windowed(fine, config.crop_size) if config.use_hann_window else fine


def _windowed(fine: Tensor, crop_size: int) -> Tensor:
    """The fine map times a Hann window: 1 at the crop's centre, 0 at half a crop from it.

    Negative scores stay: multiplied, those farthest from the centre would become the highest.
    """
    pixels = _fine_to_crop(torch.arange(fine.shape[-1], device=fine.device))
    share = ((pixels - (crop_size - 1) / 2) / (crop_size / 2)).clamp(-1, 1)
    window = 0.5 + 0.5 * torch.cos(math.pi * share)
    return torch.where(fine > 0, fine * window[:, None] * window, fine)


def _fine_to_crop(index: Tensor) -> Tensor:
    """Index of a fine sample -> crop px: a cell is 16 samples wide with its centre in their middle."""
    return boxes.score_to_crop(torch.add(0.5 / boxes.SCORE_STRIDE - 0.5, index, alpha=1 / boxes.SCORE_STRIDE))


def _peak(fine: Tensor) -> tuple[Tensor, Tensor]:
    """Height () and crop position (2,) of the maximum."""
    score, column = fine.amax(0).max(dim=0)
    row = fine.amax(1).argmax()
    return score, _fine_to_crop(torch.stack((column, row)))


def _without_neighborhood(fine: Tensor, center: Tensor, half_size: Tensor) -> Tensor:
    """The fine map with -inf in the area of (2,) half sides about a centre (2,), both in crop px."""
    pixels = _fine_to_crop(torch.arange(fine.shape[-1], device=fine.device))
    inside_x, inside_y = (pixels - center[:, None]).abs() <= half_size[:, None]
    return fine.masked_fill(inside_y[:, None] & inside_x, -math.inf)


def _are_near(positions: Tensor, config: TrackerConfig) -> Tensor:
    """Whether each of positions (N, 2) is near."""
    offsets = positions - (config.crop_size - 1) / 2
    return offsets.square().sum(1) <= (config.near_limit * config.crop_size / 2) ** 2


@torch.compiler.assume_constant_result  # torch.compile would else trace into the cached function
def _upsampling_matrix(cells: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    return _build_upsampling_matrix(cells, device, dtype)


@functools.lru_cache(maxsize=16)
def _build_upsampling_matrix(cells: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(16 * cells, cells): values at the cells -> values at the fine samples, by Gaussian kernels on the cells.

    The kernels interpolate the values' differences from their mean, so that a constant map stays constant.
    """
    coarse = torch.arange(cells, dtype=torch.float64)
    fine = boxes.crop_to_score(_fine_to_crop(torch.arange(cells * boxes.SCORE_STRIDE, dtype=torch.float64)))

    def kernels(points: Tensor) -> Tensor:
        return (-0.5 * ((points[:, None] - coarse) / KERNEL_SIGMA).square()).exp()

    matrix = torch.linalg.solve(kernels(coarse), kernels(fine), left=False)
    matrix = matrix + (1 - matrix.sum(1, keepdim=True)) / cells
    return matrix.to(device=device, dtype=dtype)
