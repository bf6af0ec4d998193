# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The processes that train together, started by `torchrun`; without it, a single process.

The result does not depend on the number of processes, up to float summation: each batch is divided among them equally,
gradients are averaged by DistributedDataParallel, and batch normalisation sees the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

_CPU = torch.device("cpu")
_PATIENCE = timedelta(hours=2)  # for a process whose images take longer to read than those of the others


@dataclass(frozen=True)
class Group:
    """The processes of a run, seen from one of them."""

    rank: int = 0  # of this process
    size: int = 1  # number of processes
    device: torch.device = _CPU  # of this process

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0

    def owns(self, indices: Tensor) -> Tensor:
        """Which of some indices (N,) this process computes, (N,) bool: every `size`-th."""
        return indices % self.size == self.rank

    def check_batch_size(self, batch_size: int) -> None:
        """Raises ValueError if a batch cannot be divided equally among the processes."""
        if batch_size % self.size:
            raise ValueError(f"batch_size {batch_size} is no multiple of the {self.size} processes; change one of them")

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in each of them, without a gradient."""
        if self.size > 1:
            values = values.detach().clone()
            dist.all_reduce(values)
        return values

    def broadcast(self, value: Any) -> Any:
        """The main process's value (any picklable object), in each process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, device=self.device)
        return values[0]

    def parallel(self, module: nn.Module) -> nn.Module:
        """The module wrapped for training by all processes; its batch normalisations are replaced in place."""
        if self.size == 1:
            return module
        _synchronize_batch_norm(module)
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices)


@contextmanager
def join(device: str = "auto") -> Iterator[Group]:
    """The group that `torchrun` described in the environment, or a single process.

    Args:
        device: "auto" for a GPU if there is one, else a PyTorch device such as "cpu" or "cuda:1". Of several processes
            on one machine, each takes the GPU of its local rank.

    Raises:
        ValueError: if there is no such device.
    """
    rank, size, local_rank = (int(os.environ.get(k, d)) for k, d in _TORCHRUN.items())
    chosen = _choose_device(device, local_rank if size > 1 else None)
    if size == 1:
        yield Group(device=chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Group(rank, size, chosen)
    finally:
        dist.destroy_process_group()


_TORCHRUN = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}  # variables and their values without it


def _choose_device(name: str, local_rank: int | None) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; expected 'auto', 'cpu', 'cuda' or 'cuda:1'") from error
    if device.type != "cuda":
        return device
    if device.index is None:
        device = torch.device("cuda", local_rank or 0)
    if device.index >= torch.cuda.device_count():
        raise ValueError(
            f"there is no device {device}: PyTorch sees {torch.cuda.device_count()} GPUs; try --device cpu"
        )
    torch.cuda.set_device(device)
    return device


class _SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes. Each of their losses depends on it, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _SumOverProcesses.apply(gradient.contiguous())


class SynchronizedBatchNorm(_BatchNorm):
    """Batch normalisation over the batches of all processes, which must be of equal size.

    PyTorch's SyncBatchNorm needs GPUs; this one runs on any device, so tests on a CPU cover the code that GPUs run.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Any (N, C, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        """See `torch.nn.BatchNorm2d`."""
        if not self.training:
            return super().forward(x)
        processes = dist.get_world_size()
        axes, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        values = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = _SumOverProcesses.apply(values.mean(axes)) / processes
        centered = values - mean.view(shape)
        variance = _SumOverProcesses.apply(centered.square().mean(axes)) / processes
        self._update_statistics(mean.detach(), variance.detach(), processes * x.numel() // x.shape[1])
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centered * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _update_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None and self.running_var is not None, "running statistics are kept"
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def _synchronize_batch_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            synchronized = SynchronizedBatchNorm(child.num_features, child.eps, child.momentum)
            synchronized.to(child.weight).load_state_dict(child.state_dict())
            synchronized.weight, synchronized.bias = child.weight, child.bias  # the optimiser may hold them
            setattr(module, name, synchronized)
        else:
            _synchronize_batch_norm(child)
