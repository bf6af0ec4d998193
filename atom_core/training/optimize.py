# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The optimiser and its steps, the learning rate, and the running average of the weights."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from atom_core.training.config import TrainingConfig

Tensors: TypeAlias = tuple[Tensor, ...] | list[Tensor]


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (AdamW), which is plain Adam where the decay is 0.

    Biases and normalisation, which have one dimension, do not decay.
    """
    decaying = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decaying, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate(config: TrainingConfig, batch: int) -> float:
    """The learning rate of a batch, counted from the start of the run."""
    warmup = min(1.0, (batch + 1) / config.warmup_batches) if config.warmup_batches else 1.0
    if config.schedule == "cosine":
        factor = (1 + math.cos(math.pi * batch / (config.epochs * config.epoch_batches))) / 2
    else:
        factor = config.decay ** (batch // config.epoch_batches // config.decay_epochs)
    return config.learning_rate * warmup * factor


def compute_type(precision: str, device: torch.device) -> torch.dtype:
    """The data type of a `precision` setting on a device; float16 is for GPUs only."""
    return torch.float32 if device.type != "cuda" and precision == "float16" else getattr(torch, precision)


def make_scaler(dtype: torch.dtype, device: torch.device) -> torch.amp.GradScaler:
    """Scales the loss of float16 computations, so that small gradients do not vanish; does nothing for other types."""
    return torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)


def update(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, loss: Tensor, rate: float) -> None:
    """One optimiser step on a loss () at a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()


def average_weights(model: nn.Module, decay: float) -> AveragedModel:
    """A running average of a model's weights and statistics, in its `module`; `update_parameters(model)` updates it.

    Args:
        model: to train.
        decay: the share of the old average that an update keeps; after n updates at most (1 + n) / (10 + n), so that
            the first weights are soon forgotten.
    """

    def update(averages: Tensors, weights: Tensors, updates: Tensor | int) -> None:
        n = int(updates)
        kept = min(decay, (1 + n) / (10 + n))
        for average, weight in zip(averages, weights, strict=True):
            if average.is_floating_point():
                average.lerp_(weight, 1 - kept)
            else:  # counts
                average.copy_(weight)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
