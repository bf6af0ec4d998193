# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The target model: a two-layer classifier learned online, its labels and its memory (ATOM, section 3.2).

scores = w2 * (w1 * x), with w1 a 1x1 projection and w2 the filter. Learning minimises
sum_j gamma_j ||phi(scores_j) - y_j||^2 + sum_k lambda_k ||w_k||^2, phi the soft hinge. x are features of stride 16,
normalised by `normalize_features`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from atom_core import boxes
from atom_core.config import TrackerConfig
from atom_core.gauss_newton import BetaFormula, gauss_newton


def soft_hinge(x: Tensor, floor: float) -> Tensor:
    """phi: x for x >= 0, floor * (exp(x / floor) - 1) below.

    Its slope at 0 is 1 and it stays above -floor, so a score is not punished for being far below 0. Value and slope are
    finite for every finite x.
    """
    return F.celu(x, alpha=floor)


def normalize_features(features: Tensor) -> Tensor:
    """Each sample of features (N, C, H, W) divided by its own root mean square over C, H and W; zeros stay zeros."""
    mean_square = features.square().mean(dim=(1, 2, 3), keepdim=True)
    return features * (mean_square + torch.finfo(features.dtype).tiny).rsqrt()


def project(features: Tensor, projection: Tensor) -> Tensor:
    """The 1x1 convolution w1: features (N, C, H, W), projection (D, C, 1, 1) -> (N, D, H, W).

    Written as a matrix product: its derivatives are faster than the convolution's on the CPU.
    """
    n, _, height, width = features.shape
    return (projection.flatten(1) @ features.flatten(2)).view(n, -1, height, width)


def apply_filter(samples: Tensor, weights: Tensor) -> Tensor:
    """The convolution w2: samples (N, D, H, W), weights (1, D, K, K) -> raw scores (N, 1, H, W).

    Output cell i sees the inputs i - K//2 .. i + (K-1)//2, zeros outside: for the 4x4 filter i-2 .. i+1. Computed as
    one matrix product from D channels to K*K taps and one shifted sum of the taps (fold): for one output channel that
    is two to five times as fast on the CPU as conv2d, derivatives included.
    """
    _, _, height, width = samples.shape
    k = weights.shape[-1]
    taps = weights[0].flatten(1).flip(1).T @ samples.flatten(2)  # (N, K*K, H*W)
    full = F.fold(taps, (height + k - 1, width + k - 1), (k, k))
    start = (k - 1) // 2
    return full[:, :, start : start + height, start : start + width]


def gaussian_labels(centers: Tensor, sigmas: Tensor, map_size: int) -> Tensor:
    """The wished score maps: Gaussians of height 1.

    Args:
        centers: (N, 2) target centres (x, y) in crop px.
        sigmas: (N,) standard deviations in cells.
        map_size: side of the score map in cells.

    Returns:
        (N, 1, map_size, map_size).
    """
    cells = torch.arange(map_size, device=centers.device, dtype=centers.dtype)
    offsets = (cells - boxes.crop_to_score(centers)[..., None]) / sigmas[:, None, None]  # (N, 2, map_size)
    x, y = (-0.5 * offsets.square()).exp().unbind(1)
    return (y[:, :, None] * x[:, None, :])[:, None]


class SampleMemory:
    """Projected samples with their labels and weights. The weights always sum to 1.

    The first frame's samples are never replaced and share one total weight. The buffers are allocated once.

    Attributes:
        samples: (capacity, D, H, W); labels: (capacity, 1, H, W); weights: (capacity,), 0 where nothing is stored.
        stored: number of slots in use; slots fill in order.
    """

    def __init__(self, samples: Tensor, labels: Tensor, capacity: int, first_frame_weight: float) -> None:
        """Start with the first frame's samples (N, D, H, W) and labels (N, 1, H, W), N < capacity, equally weighted.

        first_frame_weight is the least total weight that these keep.
        """
        if len(samples) >= capacity:
            raise ValueError(f"{len(samples)} first-frame samples leave no room in a memory of {capacity}; use fewer")
        self.first_frame_samples = self.stored = len(samples)
        self.first_frame_weight = first_frame_weight
        self.samples = samples.new_zeros((capacity, *samples.shape[1:]))
        self.labels = labels.new_zeros((capacity, *labels.shape[1:]))
        self.weights = samples.new_zeros(capacity)
        self.samples[: self.stored] = samples
        self.labels[: self.stored] = labels
        self.weights[: self.stored] = 1.0 / self.stored

    def insert(self, sample: Tensor, label: Tensor, learning_rate: float) -> None:
        """Store a sample (1, D, H, W) and its label (1, 1, H, W) in a free slot, else in the one of least weight.

        The new sample gets the weight learning_rate and the older ones share the rest in their old proportions. If the
        first frame's total then falls below its floor, it is raised to it at the cost of all others.
        """
        n = self.first_frame_samples
        if self.stored < len(self.weights):
            slot = torch.full((1,), self.stored, device=self.weights.device)
            self.stored += 1
        else:
            slot = n + self.weights[n:].argmin(keepdim=True)
        self.samples.index_copy_(0, slot, sample)
        self.labels.index_copy_(0, slot, label)
        older = _scaled_to(self.weights.index_fill(0, slot, 0.0), 1.0 - learning_rate)
        self.weights.copy_(self._with_first_frame_floor(older.index_fill(0, slot, learning_rate)))

    def _with_first_frame_floor(self, weights: Tensor) -> Tensor:
        n = self.first_frame_samples
        first = weights[:n].sum().clamp(min=self.first_frame_weight)
        return torch.cat(((first / n).expand(n), _scaled_to(weights[n:], 1.0 - first)))


def _scaled_to(weights: Tensor, total: Tensor | float) -> Tensor:
    """The weights with a new total; all 0 stay 0."""
    return weights * (total / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny))


class TargetModel:
    """The projection w1, the filter w2 and the memory from which w2 goes on learning.

    For each frame: `sample = model.project(features)`, `scores = model.scores(sample)`, and when the target was seen
    `model.memory.insert(sample, label, learning_rate)`, `model.update(iterations)`.

    Attributes:
        projection: w1 (D, C, 1, 1), fixed after the first frame.
        filter: w2 (1, D, K, K).
        memory: the SampleMemory.
    """

    def __init__(self, projection: Tensor, filter: Tensor, memory: SampleMemory, config: TrackerConfig) -> None:
        self.projection = projection
        self.filter = filter
        self.memory = memory
        self._config = config

    @classmethod
    def learn_first_frame(
        cls, features: Tensor, labels: Tensor, config: TrackerConfig, generator: torch.Generator
    ) -> TargetModel:
        """Learn w1 and w2 together from the first frame (Gauss-Newton) and fill the memory.

        Args:
            features: (N, C, H, W), normalised.
            labels: (N, 1, H, W).
            config: sizes, regularisation and iterations.
            generator: on the CPU; draws the start of w1 and w2.
        """
        channels, depth, k = features.shape[1], config.projected_channels, config.filter_size
        projection = torch.randn(depth, channels, 1, 1, generator=generator) / math.sqrt(channels)
        weights = torch.randn(1, depth, k, k, generator=generator) / (depth * k * k)

        def residuals(w1: Tensor, w2: Tensor) -> tuple[Tensor, ...]:
            scores = apply_filter(project(features, w1), w2)
            return (
                (soft_hinge(scores, config.hinge_slope) - labels) / math.sqrt(len(features)),
                math.sqrt(config.projection_regularization) * w1,
                math.sqrt(config.filter_regularization) * w2,
            )

        projection, weights = gauss_newton(
            residuals,
            (projection.to(features), weights.to(features)),
            steps=config.first_frame_gn_steps,
            cg_iterations=config.first_frame_cg_iterations,
            beta=BetaFormula.FLETCHER_REEVES,
            preconditioner=(config.projection_regularization, config.filter_regularization),
        )
        memory = SampleMemory(project(features, projection), labels, config.memory_size, config.first_frame_weight)
        return cls(projection, weights, memory, config)

    def project(self, features: Tensor) -> Tensor:
        """Normalised features (N, C, H, W) -> projected samples (N, D, H, W)."""
        return project(features, self.projection)

    def scores(self, samples: Tensor) -> Tensor:
        """Projected samples (N, D, H, W) -> raw score maps (N, 1, H, W), about 1 at the target and 0 elsewhere."""
        return apply_filter(samples, self.filter)

    def update(self, iterations: int) -> None:
        """Improve w2 on the stored samples by one Gauss-Newton step of so many conjugate-gradient iterations."""
        memory = self.memory
        samples, labels = memory.samples[: memory.stored], memory.labels[: memory.stored]
        gamma_sqrt = memory.weights[: memory.stored].sqrt()[:, None, None, None]

        def residuals(w2: Tensor) -> tuple[Tensor, ...]:
            error = soft_hinge(apply_filter(samples, w2), self._config.hinge_slope) - labels
            return gamma_sqrt * error, math.sqrt(self._config.filter_regularization) * w2

        (self.filter,) = gauss_newton(
            residuals, (self.filter,), steps=1, cg_iterations=iterations, beta=BetaFormula.POLAK_RIBIERE
        )
