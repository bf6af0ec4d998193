# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""From the score map to the target's place and state (ATOM, section 3.3).

The map has one value per 16 crop px and is interpolated to one per px. Root-mean-square error in px of the recovered
peak of Gaussian score maps of sigma 0.9 cells with additive noise of 0, 0.02 and 0.05, at least 3 cells inside the map
/ within 1.5 cells of a corner (0.41 is what rounding to whole px costs):

    Fourier, Nyquist terms halved     0.46  0.80  1.70  /  4.3  4.3  4.6
    cubic convolution, a = -0.75      0.88  1.08  1.83  /  6.5  6.2  6.3
    cubic B-spline                    1.02  1.18  1.84  /  7.5  7.0  7.7
    Gaussian kernels, sigma 1 cell    0.50  0.80  1.70  /  1.2  1.4  2.3

Hence Gaussian kernels. Unlike Fourier interpolation, they do not wrap a peak around to the opposite border.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from atom_core import boxes
from atom_core.capture import constant
from atom_core.config import TrackerConfig
from atom_core.result import TrackState

KERNEL_SIGMA = 1.0  # cells; see the table above


class Localization(NamedTuple):
    """Result of localisation in the score map."""

    state: TrackState  # TRACKING, UNCERTAIN or LOST
    hard_negative: bool = False  # a distractor is visible, and the filter should learn from it
    is_second: bool = False  # the target is the second peak


class Peaks(NamedTuple):
    """The maximum of a score map, then the maximum outside the area around the first; on the device."""

    scores: Tensor  # (2,); the second is -inf if the area around the first covers the whole map
    positions: Tensor  # (2, 2) crop px (x, y)
    near: Tensor  # (2,) bool, whether within `near_limit` half crops of the crop's centre, where the target was last


class Limits(NamedTuple):
    """Thresholds for the peaks of one frame, on the device, so that one graph serves all frames."""

    area: Tensor  # (2,) crop px, half the width and height of the area around the first peak that counts as one object
    near: Tensor  # () crop px², squared distance from the crop's centre within which a peak is near
    rival: Tensor  # () share of the first peak above which the second is a distractor

    @classmethod
    def of(cls, numbers: Tensor) -> Limits:
        """From the numbers of `limits`, uploaded (4,)."""
        return cls(numbers[:2], *numbers[2:].unbind())


def limits(target_size: np.ndarray, config: TrackerConfig) -> np.ndarray:
    """(4,) numbers for `Limits`, given the target's last size (2,) in crop px."""
    area = config.target_neighborhood * target_size / 2
    return np.array((*area, (config.near_limit * config.crop_size / 2) ** 2, config.distractor_threshold))


def find_peaks(scores: Tensor, limits: Limits, use_hann_window: bool) -> Peaks:
    """The two peaks of a score map (h, h), h = crop_size / 16; a window lowers scores away from the crop's centre."""
    fine = _upsample(scores)
    if use_hann_window:
        fine = _windowed(fine)
    score1, index1 = _peak(fine)
    score2, index2 = _peak(_without_area(fine, index1, limits.area))
    positions = _fine_to_crop(torch.stack((index1, index2)))
    offsets = positions - (len(fine) - 1) / 2
    near = offsets.square().sum(1) <= limits.near
    return Peaks(torch.stack((score1, score2)), positions, near)


def target_position(peaks: Peaks, limits: Limits) -> Tensor:
    """Crop px (2,) of the peak that `classify` takes for the target; on the device."""
    score1, score2 = peaks.scores.unbind()
    rival = score2 > limits.rival * score1.clamp(min=0)
    is_second = rival & (peaks.near[1] > peaks.near[0])
    return torch.where(is_second, peaks.positions[1], peaks.positions[0])


def classify(score1: float, score2: float, near1: bool, near2: bool, config: TrackerConfig) -> Localization:
    """The target's state and peak; on the host.

    ====================================================  ========================  =========
    condition, first match                                state                     target
    ====================================================  ========================  =========
    peak1 < not_found_threshold, or no number             LOST                      peak1
    peak2 > distractor_threshold * peak1, one is near     TRACKING, hard negative   near one
    peak2 > distractor_threshold * peak1, both or none    UNCERTAIN                 peak1
    peak2 > hard_negative_threshold * peak1 and
    peak2 > not_found_threshold                           TRACKING, hard negative   peak1
    otherwise                                             TRACKING                  peak1
    ====================================================  ========================  =========
    """
    if not score1 >= config.not_found_threshold:
        return Localization(TrackState.LOST)
    if score2 > config.distractor_threshold * max(score1, 0):
        if near1 == near2:  # the positions do not show which is the target
            return Localization(TrackState.UNCERTAIN)
        return Localization(TrackState.TRACKING, hard_negative=True, is_second=bool(near2))
    is_distractor = score2 > config.hard_negative_threshold * score1 and score2 > config.not_found_threshold
    return Localization(TrackState.TRACKING, hard_negative=bool(is_distractor))


def _upsample(scores: Tensor) -> Tensor:
    """Scores (h, h) -> one value per crop px (16 h, 16 h)."""
    matrix = _upsampling_matrix(scores.shape[-1], scores.device, scores.dtype)
    return matrix @ scores @ matrix.T


def _windowed(fine: Tensor) -> Tensor:
    """The fine map times a Hann window: 1 at the crop's centre, 0 at half a crop from it.

    Negative scores stay: multiplied, those farthest from the centre would become the highest.
    """
    crop_size = len(fine)
    pixels = _fine_to_crop(torch.arange(crop_size, device=fine.device))
    share = ((pixels - (crop_size - 1) / 2) / (crop_size / 2)).clamp(-1, 1)
    window = 0.5 + 0.5 * torch.cos(math.pi * share)
    return torch.where(fine > 0, fine * window[:, None] * window, fine)


def _fine_to_crop(index: Tensor) -> Tensor:
    """Index of a fine sample -> crop px: a cell is 16 samples wide, one a px, with its centre in their middle."""
    return index + boxes.score_to_crop(0.5 / boxes.SCORE_STRIDE - 0.5)


def _peak(fine: Tensor) -> tuple[Tensor, Tensor]:
    """Height () of the maximum, and its column and row (2,)."""
    score, column = fine.amax(0).max(dim=0)
    row = fine.amax(1).argmax()
    return score, torch.stack((column, row))


def _without_area(fine: Tensor, index: Tensor, half_size: Tensor) -> Tensor:
    """The fine map, one value per crop px, with -inf in the area of half sides (2,) around a column and row (2,)."""
    distance = (torch.arange(fine.shape[-1], device=fine.device) - index[:, None]).abs()
    inside_x, inside_y = distance <= half_size[:, None]
    return fine.masked_fill(inside_y[:, None] & inside_x, -math.inf)


@constant  # otherwise torch.compile would trace into the cached function
def _upsampling_matrix(cells: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    return _build_upsampling_matrix(cells, device, dtype)


@functools.cache  # never dropped: a captured graph reads the matrix where it is
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
