# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The target model: a two-layer classifier learned online, its labels and its memory (ATOM, section 3.2).

scores = w2 * (w1 * x), with w1 a 1x1 projection and w2 the filter. Learning minimises
sum_j gamma_j ||phi(scores_j) - y_j||^2 + sum_k lambda_k ||w_k||^2, phi the soft hinge. x are features at stride 16,
normalised by `normalize_features`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from atom_core import boxes
from atom_core.classifier.correlation import Correlation, apply_filter, filter_to_taps, taps_to_filter
from atom_core.classifier.gauss_newton import CGState, NormalEquations, minimize
from atom_core.config import TrackerConfig


def soft_hinge(x: Tensor, floor: float) -> Tensor:
    """phi: x for x >= 0, floor * (exp(x / floor) - 1) below.

    Its slope at 0 is 1 and it stays above -floor, so a score is not penalised for being far below 0. Value and slope
    are finite for every finite x.
    """
    return F.celu(x, alpha=floor)


def soft_hinge_slope(x: Tensor, floor: float) -> Tensor:
    """phi': 1 for x >= 0, exp(x / floor) below. In closed form: autograd would import PyTorch's compiler."""
    return (x.clamp(max=0) / floor).exp()


def normalize_features(features: Tensor) -> Tensor:
    """Each sample of features (N, C, H, W) divided by its own root mean square over C, H and W; zeros stay zeros."""
    mean_square = features.square().mean(dim=(1, 2, 3), keepdim=True)
    return features * (mean_square + torch.finfo(features.dtype).tiny).rsqrt()


def project(features: Tensor, projection: Tensor) -> Tensor:
    """The 1x1 convolution w1: features (N, C, H, W), projection (D, C, 1, 1) -> (N, D, H, W)."""
    rows = torch.bmm(projection.flatten(1).expand(len(features), -1, -1), features.flatten(2))
    return rows.unflatten(2, features.shape[2:])


def gaussian_labels(centers: np.ndarray, sigma: float, map_size: int) -> np.ndarray:
    """Label score maps: Gaussians of height 1, as profiles along x and y, on the host.

    Args:
        centers: (N, 2) target centres (x, y) in crop px.
        sigma: standard deviation in cells.
        map_size: side of the score map in cells.

    Returns:
        (N, 2, map_size); see `label_maps`.
    """
    offsets = (np.arange(map_size) - boxes.crop_to_score(centers)[..., None]) / sigma
    return np.exp(-0.5 * np.square(offsets))


def label_maps(profiles: Tensor) -> Tensor:
    """Labels (N, 1, h, h) from their profiles (N, 2, h)."""
    return profiles[:, 1, None, :, None] * profiles[:, 0, None, None]


class SampleMemory:
    """Projected samples with their labels and weights. The weights always sum to 1.

    The first frame's samples are never replaced and share one total weight. The buffers are allocated once. Labels and
    weights are kept on the host, where they are computed: nothing is read from the device, and they are uploaded only
    when the filter learns.

    Attributes:
        samples: (capacity, D, H, H), channels last in memory.
        labels: (capacity, 2, H) float32, see `gaussian_labels`.
        weights: (capacity,) float64, 0 where nothing is stored.
        stored: number of slots in use; slots fill in order.
    """

    def __init__(self, samples: Tensor, labels: np.ndarray, capacity: int, first_frame_weight: float) -> None:
        """Start with the first frame's samples (N, D, H, H) and labels (N, 2, H), N < capacity, equally weighted.

        first_frame_weight is the minimum of their total weight.
        """
        if len(samples) >= capacity:
            raise ValueError(f"{len(samples)} first-frame samples leave no room in a memory of {capacity}; use fewer")
        self.first_frame_samples = self.stored = len(samples)
        self.first_frame_weight = first_frame_weight
        _, depth, height, width = samples.shape
        self.samples = samples.new_zeros((capacity, height, width, depth)).permute(0, 3, 1, 2)
        self.labels = np.zeros((capacity, *labels.shape[1:]), np.float32)
        self.samples[: self.stored] = samples
        self.labels[: self.stored] = labels
        self.weights = np.zeros(capacity)
        self.weights[: self.stored] = 1.0 / self.stored

    def insert(self, sample: Tensor, label: np.ndarray, learning_rate: float) -> None:
        """Store a sample (1, D, H, H) and its label (1, 2, H) in a free slot, else in the slot of least weight.

        The new sample gets the weight learning_rate and the older ones share the rest in their old proportions. If the
        first frame's total then falls below its minimum, it is raised to that at the expense of all others.
        """
        n, weights = self.first_frame_samples, self.weights
        if self.stored < len(weights):
            slot = self.stored
            self.stored += 1
        else:
            slot = n + int(self._least(1)[0])
        self.samples[slot] = sample[0]
        self.labels[slot] = label[0]
        weights[slot] = 0.0
        _scale_to(weights, 1.0 - learning_rate)
        weights[slot] = learning_rate
        first = max(weights[:n].sum(), self.first_frame_weight)
        weights[:n] = first / n
        _scale_to(weights[n:], 1.0 - first)

    def _least(self, count: int) -> np.ndarray:
        """Indices, counted after the first frame's samples, of the `count` samples that are overwritten next."""
        return self.weights[self.first_frame_samples : self.stored].argsort(kind="stable")[:count]

    def upload(self, dtype: torch.dtype, whole: bool = False, insertions: int = 0) -> tuple[Tensor, Tensor]:
        """The stored samples (n, D, H, H), and the label and weight of each (n, 2 * H + 1) in a type.

        Args:
            dtype: of labels and weights.
            whole: includes all slots, also those of weight 0.
            insertions: how many samples may be inserted while these are in use; those that would be overwritten get
                weight 0.

        Returns:
            both on the samples' device; the samples are a view of the memory.
        """
        n = len(self.weights) if whole else self.stored
        numbers = np.column_stack((self.labels[:n].reshape(n, -1), self.weights[:n]))
        overwritten = max(0, insertions - (len(self.weights) - self.stored))
        numbers[self.first_frame_samples + self._least(overwritten), -1] = 0.0
        return self.samples[:n], torch.from_numpy(numbers).to(dtype).to(self.samples.device)  # no float64 on the device


def _scale_to(weights: np.ndarray, total: float) -> None:
    """Give the weights a new total, in place; all 0 stay 0."""
    weights *= total / max(weights.sum(), np.finfo(weights.dtype).tiny)


class Fit(NamedTuple):
    """The loss's data term, sum_j gamma_j ||phi(scores_j) - y_j||^2, as a function of the filter's taps."""

    correlation: Correlation  # of the samples
    labels: Tensor  # y (N, 1, H, W)
    gamma: Tensor  # (N,)
    hinge_slope: float

    def linearize(self, taps: Tensor) -> tuple[Tensor, Tensor]:
        """The constants of one Gauss-Newton step at taps (K*K, D).

        Returns:
            error and curvature as responses (N, H+K-1, W+K-1), namely gamma phi' (phi - y) and gamma phi'^2: with the
            correlation C, the data term's J^T r is C^T error and its J^T J p is C^T (curvature * C p).
        """
        scores = self.correlation.scores(self.correlation.responses(taps))
        slope = soft_hinge_slope(scores, self.hinge_slope)
        weighted = self.gamma[:, None, None] * slope
        error = weighted * (soft_hinge(scores, self.hinge_slope) - self.labels[:, 0])
        return self.correlation.surround(error), self.correlation.surround(weighted * slope)


class FilterSystem(NamedTuple):
    """The matrix of one Gauss-Newton step for the filter alone: J^T J at the taps where `curvature` was taken."""

    correlation: Correlation
    curvature: Tensor  # see `Fit.linearize`
    regularization: float

    def apply(self, p: Tensor) -> Tensor:
        """J^T J p for p (K*K*D,)."""
        p = p.view(self.correlation.k**2, -1)
        weighted = self.curvature * self.correlation.responses(p)
        return self.correlation.transposed_plus(weighted, p, self.regularization).flatten()


def filter_equations(taps: Tensor, fit: Fit, regularization: float) -> NormalEquations:
    """The Gauss-Newton system for the filter alone, taps (K*K*D,)."""
    shaped = taps.view(fit.correlation.k**2, -1)
    error, curvature = fit.linearize(shaped)
    descent = fit.correlation.transposed_plus(error, shaped, -regularization, sign=-1)
    return NormalEquations(FilterSystem(fit.correlation, curvature, regularization).apply, descent.flatten())


def joint_equations(w: Tensor, fit: Fit, depth: int, regularization: tuple[float, float]) -> NormalEquations:
    """The Gauss-Newton system for the projection (D, C) and the taps (K*K, D), flattened one after the other in w.

    Both layers are linear: together they are one filter over the features, with taps w2 @ w1, and only its K*K channels
    are multiplied with the samples.
    """
    correlation, n2 = fit.correlation, fit.correlation.k**2 * depth

    def split(v: Tensor) -> tuple[Tensor, Tensor]:
        v1, v2 = v.split((v.numel() - n2, n2))
        return v1.view(depth, -1), v2.view(-1, depth)

    w1, w2 = split(w)
    error, curvature = fit.linearize(w2 @ w1)

    def transposed(responses: Tensor, v: Tensor, sign: int) -> Tensor:
        """J^T of the responses plus regularization * v, all times sign."""
        by_product = correlation.transposed(responses)  # (K*K, C)
        v1, v2 = split(v)
        first = torch.addmm(v1, w2.T, by_product, beta=sign * regularization[0], alpha=sign)
        second = torch.addmm(v2, by_product, w1.T, beta=sign * regularization[1], alpha=sign)
        return torch.cat((first.flatten(), second.flatten()))

    def apply(p: Tensor) -> Tensor:
        p1, p2 = split(p)
        return transposed(curvature * correlation.responses(torch.addmm(w2 @ p1, p2, w1)), p, 1)

    return NormalEquations(apply, transposed(error, w, -1))


class TrainingBatch(NamedTuple):
    """Input of a filter update: tensors on the device, and the constants of the loss."""

    taps: Tensor  # (K*K, D)
    samples: Tensor  # (N, D, H, H), see `SampleMemory`
    numbers: Tensor  # (N, 2 * H + 1), see `SampleMemory.upload`
    filter_size: int
    hinge_slope: float
    regularization: float


MakeBatch = Callable[[bool], TrainingBatch]  # see `TargetModel.training_batch`
Improve = Callable[[MakeBatch, int], Tensor]


def improve_filter(batch: TrainingBatch, iterations: int) -> Tensor:
    """New taps (K*K, D) after one Gauss-Newton step of `iterations` conjugate-gradient iterations; no host read."""
    equations = batch_equations(batch)
    return minimize(equations, batch.taps.flatten(), steps=1, cg_iterations=iterations).view_as(batch.taps)


def batch_equations(batch: TrainingBatch) -> Callable[[Tensor], NormalEquations]:
    """The Gauss-Newton system of a batch, as a function of the taps (K*K*D,)."""
    labels = label_maps(batch.numbers[:, :-1].view(len(batch.samples), 2, -1))
    # float16 has too small a range for the products.
    products = torch.bfloat16 if batch.samples.dtype == torch.bfloat16 else batch.taps.dtype
    correlation = Correlation.over(batch.samples.to(products), batch.filter_size)
    fit = Fit(correlation, labels, batch.numbers[:, -1], batch.hinge_slope)
    return partial(filter_equations, fit=fit, regularization=batch.regularization)


@dataclass
class GradualUpdate:
    """`improve_filter` in parts, spread over frames: linearizing is one part, each iteration another.

    The taps found so far are used at once, so only the rest of the gain comes late. The samples are a view of the
    memory: the caller gives weight 0 to those that it overwrites before the end.

    Attributes:
        taps: (K*K, D), the best so far.
    """

    taps: Tensor
    _start: Tensor
    _equations: NormalEquations
    _state: CGState
    _iterations_left: int

    @classmethod
    def begin(cls, batch: TrainingBatch, iterations: int) -> GradualUpdate:
        """After the first part of 1 + iterations."""
        equations = batch_equations(batch)(batch.taps.flatten())
        return cls(batch.taps, batch.taps, equations, CGState.start(equations.descent), iterations)

    @property
    def is_done(self) -> bool:
        """Whether all parts are done."""
        return not self._iterations_left

    def advance(self) -> None:
        """Does one more part."""
        self._iterations_left -= 1
        self._state = self._state.iterate(self._equations.apply, is_last=self.is_done)
        self.taps = self._start + self._state.x.view_as(self._start)


class Classifier(NamedTuple):
    """The two layers, as tensors."""

    projection: Tensor  # w1 (D, C, 1, 1)
    taps: Tensor  # w2, see `atom_core.classifier.correlation.filter_to_taps`

    def project(self, features: Tensor) -> Tensor:
        """Normalised features (N, C, H, W) -> projected samples (N, D, H, W)."""
        return project(features, self.projection)

    def scores(self, samples: Tensor) -> Tensor:
        """Projected samples (N, D, H, W) -> raw score maps (N, 1, H, W), about 1 at the target and 0 elsewhere."""
        return apply_filter(samples, self.taps)


class TargetModel:
    """The projection w1, the filter w2 and the memory from which w2 keeps learning.

    For each frame: `sample = classifier.project(features)`, `scores = classifier.scores(sample)`, and if the target was
    seen `model.memory.insert(sample, label, learning_rate)`, `model.update(iterations)`.

    Attributes:
        projection: w1 (D, C, 1, 1), fixed after the first frame.
        memory: the SampleMemory.
    """

    def __init__(self, projection: Tensor, filter: Tensor, memory: SampleMemory, config: TrackerConfig) -> None:
        self.projection = projection
        self.memory = memory
        self._taps = filter_to_taps(filter)
        self._config = config
        self._update: GradualUpdate | None = None
        self._parts_per_frame = 1

    @classmethod
    def learn_first_frame(
        cls,
        features: Tensor,
        labels: np.ndarray,
        config: TrackerConfig,
        generator: torch.Generator,
        memory_dtype: torch.dtype | None = None,
    ) -> TargetModel:
        """Learn w1 and w2 together from the first frame (Gauss-Newton) and fill the memory.

        Args:
            features: (N, C, H, W), normalised.
            labels: (N, 2, H), see `gaussian_labels`.
            config: sizes, regularisation and iterations.
            generator: on the CPU; draws the initial w1 and w2.
            memory_dtype: type of the stored samples. With bfloat16, the products of learning use it, too; everything
                else has the features' type.
        """
        channels, depth, k = features.shape[1], config.projected_channels, config.filter_size
        projection = torch.randn(depth, channels, generator=generator) / math.sqrt(channels)
        weights = torch.randn(1, depth, k, k, generator=generator) / (depth * k * k)
        start = projection.flatten(), filter_to_taps(weights).flatten()
        regularization = config.projection_regularization, config.filter_regularization
        scales = [torch.full_like(part, scale) for part, scale in zip(start, regularization, strict=True)]
        gamma = features.new_full((len(features),), 1 / len(features))
        maps = label_maps(torch.from_numpy(labels).to(features))
        products = torch.bfloat16 if memory_dtype == torch.bfloat16 else features.dtype
        fit = Fit(Correlation.over(features.to(products), k), maps, gamma, config.hinge_slope)
        learned = minimize(
            partial(joint_equations, fit=fit, depth=depth, regularization=regularization),
            torch.cat(start).to(features),
            steps=config.first_frame_gn_steps,
            cg_iterations=config.first_frame_cg_iterations,
            preconditioner=torch.cat(scales).to(features),
        )
        projection, taps = learned.split([part.numel() for part in start])
        projection = projection.view(depth, channels, 1, 1)
        samples = project(features, projection).to(memory_dtype or features.dtype)
        memory = SampleMemory(samples, labels, config.memory_size, config.first_frame_weight)
        return cls(projection, taps_to_filter(taps.view(k * k, depth)), memory, config)

    @property
    def filter(self) -> Tensor:
        """w2 (1, D, K, K)."""
        return taps_to_filter(self._taps)

    @property
    def classifier(self) -> Classifier:
        """The current projection and filter."""
        return Classifier(self.projection, self._taps)

    def update(self, iterations: int, improve: Improve | None = None) -> None:
        """Improve w2 on the stored samples by one Gauss-Newton step of `iterations` conjugate-gradient iterations.

        Args:
            iterations: how many.
            improve: runs `improve_filter` another way, such as `atom_core.model.Model.improve`.
        """
        make = self.training_batch
        self._taps = improve(make, iterations) if improve else improve_filter(make(), iterations)

    @property
    def is_updating(self) -> bool:
        """Whether a gradual update is under way."""
        return self._update is not None

    def begin_update(self, iterations: int, frames: int) -> None:
        """Begins an `update` that is spread over frames; each frame calls `advance_update`.

        Args:
            iterations: how many.
            frames: number of frames that a full memory takes. With fewer samples each part is cheaper, so a frame does
                more of them.
        """
        parts = 1 + iterations
        memory = self.memory
        self._parts_per_frame = max(1, math.ceil(parts / frames) * len(memory.weights) // memory.stored)
        insertions = math.ceil(parts / self._parts_per_frame)
        self._update = GradualUpdate.begin(self.training_batch(insertions=insertions), iterations)
        self._advance(self._parts_per_frame - 1)

    def advance_update(self) -> None:
        """Does one frame's share of the current update, if there is one."""
        self._advance(self._parts_per_frame)

    def _advance(self, parts: int) -> None:
        for _ in range(parts):
            if self._update is None:
                return
            self._update.advance()
            self._taps = self._update.taps
            if self._update.is_done:
                self._update = None

    def training_batch(self, whole: bool = False, insertions: int = 0) -> TrainingBatch:
        """The stored samples, see `SampleMemory.upload`; `whole`: all slots, so that the shapes never change."""
        config = self._config
        return TrainingBatch(
            self._taps,
            *self.memory.upload(self._taps.dtype, whole, insertions),
            filter_size=config.filter_size,
            hinge_slope=config.hinge_slope,
            regularization=config.filter_regularization,
        )
