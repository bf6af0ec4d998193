# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Counts a function's operations on a device, the host's reads that wait for it, and the copies to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_aten = torch.ops.aten
# The host waits for these: the sizes or values of their results depend on data.
_WAITING = {
    _aten.bincount,
    _aten.equal,
    _aten.masked_select,
    _aten.nonzero,
    _aten.repeat_interleave,
    _aten._unique2,
    _aten.unique_consecutive,
    _aten.unique_dim,
}
_INDEXING = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_}

Result = TypeVar("Result")


@dataclass
class Counts:
    """Calls on the tensors of one device.

    Attributes:
        operations: ATen operations that compute: neither views nor the plain copies that the next two count.
        host_reads: times that the host waited for a value of the device.
        uploads: copies from the host to the device.
        views: ATen operations that only return views.
        names: how often each of `operations` was called.
    """

    operations: int = 0
    host_reads: int = 0
    uploads: int = 0
    views: int = 0
    names: Counter[str] = field(default_factory=Counter)


def counted(run: Callable[[], Result], device: torch.device) -> tuple[Result, Counts]:
    """Runs a function and counts.

    On the CPU, nothing is copied between host and device. There, the calls that would copy on another device are
    counted: `tolist` and `cpu` as reads; `to` with a device, and tensors made from Python's numbers, as uploads. Every
    tensor counts as one on the device, so these two counts are upper bounds.
    """
    counts = Counts()
    with _Operations(device.type, counts), _Moves(counts, enabled=device.type == "cpu"):
        return run(), counts


class _Operations(TorchDispatchMode):
    """Counts every ATen operation, also inside derivatives."""

    def __init__(self, device_type: str, counts: Counts) -> None:
        super().__init__()
        self._device_type, self._counts = device_type, counts

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        if any(tensor.device.type == self._device_type for tensor in tensors):
            self._note(func, args, result)
        return result

    def _note(self, func: Any, args: tuple, result: Any) -> None:
        counts, operation = self._counts, func.overloadpacket
        if func.is_view or operation is _aten._unsafe_view:
            counts.views += 1
        elif operation is _aten._local_scalar_dense or _copies(operation, args, result, self._device_type, "cpu"):
            counts.host_reads += 1
        elif _copies(operation, args, result, "cpu", self._device_type):
            counts.uploads += 1
        else:
            counts.host_reads += operation in _WAITING or (operation in _INDEXING and _has_mask(args[1]))
            counts.operations += 1
            counts.names[func.name().removeprefix("aten::")] += 1


def _copies(operation: Any, args: tuple, result: Any, source: str, target: str) -> bool:
    """Whether the operation copies from `source` to `target`, two types of device."""
    if source == target or operation not in (_aten._to_copy, _aten.copy_):
        return False
    origin = args[0] if operation is _aten._to_copy else args[1]
    return (origin.device.type, result.device.type) == (source, target)


def _has_mask(indices: Iterable[Tensor | None]) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


class _Moves(TorchFunctionMode):
    """Counts calls that never reach the dispatcher on the CPU, where they do nothing."""

    def __init__(self, counts: Counts, enabled: bool) -> None:
        super().__init__()
        self._counts, self._enabled = counts, enabled

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._enabled:
            self._counts.host_reads += func in (Tensor.tolist, Tensor.cpu)
            self._counts.uploads += _is_upload(func, args, kwargs)
        return func(*args, **kwargs)


def _is_upload(func: Any, args: tuple, kwargs: dict[str, Any]) -> bool:
    if func is Tensor.to:
        return any(isinstance(value, torch.device | str | Tensor) for value in (*args[1:], *kwargs.values()))
    return func is Tensor.new_tensor or (func in (torch.tensor, torch.as_tensor) and "device" in kwargs)
