# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a backbone as fast as the device allows: OpenVINO on the CPU where it is installed, plain PyTorch elsewhere."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from atom_core.networks import model_cache
from atom_core.networks.backbones import Backbone, Features
from atom_core.networks.int8 import Range, quantize
from atom_core.networks.openvino_model import convert, import_openvino, openvino_version

if TYPE_CHECKING:
    import openvino

Folded = TypeVar("Folded", bound=nn.Module)
BackboneFunction = Callable[[Tensor], Features]


def accelerate(
    backbone: Backbone,
    device: torch.device,
    crop_size: int,
    engine: str = "auto",
    precision: str = "float32",
    ranges: tuple[Range, ...] = (),
) -> BackboneFunction:
    """A function that computes the backbone's features of crops (N, 3, S, S), float in 0..255.

    Args:
        backbone: on `device`, in evaluation mode.
        device: where the crops will be.
        crop_size: px, S; OpenVINO is compiled for crops of this size alone.
        engine: "openvino", "torch", or "auto": OpenVINO on the CPU if it can be imported.
        precision: of OpenVINO's computation, see `compile_module`; the features are float32 in any case.
        ranges: of the backbone's convolutions, for "int8".

    Raises:
        ValueError: if the engine is unknown, or OpenVINO is asked for on another device than the CPU.
        ModuleNotFoundError: if OpenVINO is asked for and not installed.
    """
    if not is_openvino(device, engine):
        return fold_batch_norm(backbone)
    run = compile_openvino(backbone, crop_size, precision, ranges)
    return lambda crops: Features(*run(crops))


def is_openvino(device: torch.device, engine: str) -> bool:
    """Whether the engine of this name is OpenVINO on this device; raises ValueError as `accelerate` does."""
    if engine not in ("auto", "openvino", "torch"):
        raise ValueError(
            f"unknown engine {engine!r}; expected 'auto', 'openvino', 'torch' or the path of an .onnx file"
        )
    if engine == "openvino" and device.type != "cpu":
        raise ValueError(f"engine 'openvino' runs on the CPU, not on {device}; use 'auto' or 'torch'")
    return engine == "openvino" or (engine == "auto" and device.type == "cpu" and find_spec("openvino") is not None)


def has_bfloat16() -> bool:
    """Whether OpenVINO is faster in bfloat16 on this processor, which has instructions for it.

    Raises:
        ModuleNotFoundError: if OpenVINO is not installed.
    """
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def float_precision() -> str:
    """The fastest type of floating point on this processor: "bfloat16" where it has it, else "float32"."""
    return "bfloat16" if has_bfloat16() else "float32"


def fold_batch_norm(module: Folded) -> Folded:
    """A copy with each batch normalisation folded into the convolution before it; cached.

    Args:
        module: in evaluation mode; in it and its parts, what comes after a convolution among the children does so in
            the forward pass.
    """
    folded = _fold(module, next(module.parameters()).device)
    assert isinstance(folded, type(module))
    return folded


@lru_cache(maxsize=16)
def _fold(module: nn.Module, device: torch.device) -> nn.Module:
    """`device` is part of the cache key only: a module that was moved is copied again."""
    folded = copy.deepcopy(module).to(memory_format=torch.channels_last)
    for part in folded.modules():
        for (name, conv), (next_name, norm) in pairwise(list(part.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(part, name, fuse_conv_bn_eval(conv, norm))
                setattr(part, next_name, nn.Identity())
    return folded


def compile_openvino(
    module: nn.Module, crop_size: int, precision: str = "float32", ranges: tuple[Range, ...] = ()
) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """A function that computes a module's outputs of any number of crops (N, 3, S, S) on the CPU, S = `crop_size`.

    The crops are computed one after the other. On a core or two that is as fast as together, or faster, since a crop's
    activations stay in the cache; and it takes a twentieth of the memory that the first frame's crops would.

    Raises:
        ModuleNotFoundError: if OpenVINO is not installed.
    """
    run = Request(compile_module(module, ((1, 3, crop_size, crop_size),), precision=precision, ranges=ranges))

    def compute(crops: Tensor) -> tuple[Tensor, ...]:
        of_each = [run(crop) for crop in crops.split(1)]
        return of_each[0] if len(of_each) == 1 else tuple(map(torch.cat, zip(*of_each, strict=True)))

    return compute


class Request:
    """Runs a compiled module. One compiled module may serve several, each on a thread of its own."""

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._wrap = import_openvino().Tensor
        self._request = compiled.create_infer_request()
        self._outputs = range(len(compiled.outputs))
        self._held: dict[int, np.ndarray] = {}  # the engine reads the inputs where they are

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs for float32 tensors on the CPU."""
        for i, tensor in enumerate(inputs):
            self._set(i, tensor)
        return self._run()

    def again(self, first: Tensor) -> tuple[Tensor, ...]:
        """The outputs for another first input, and otherwise those of the last call: handing one over takes time."""
        self._set(0, first)
        return self._run()

    def _set(self, i: int, tensor: Tensor) -> None:
        self._held[i] = tensor.contiguous().numpy()
        self._request.set_input_tensor(i, self._wrap(self._held[i], shared_memory=True))

    def _run(self) -> tuple[Tensor, ...]:
        self._request.infer()
        return tuple(torch.from_numpy(self._request.get_output_tensor(i).data.copy()) for i in self._outputs)


Shapes = tuple[tuple[int, ...], ...]
_KEPT_SHAPES = 256  # operators compiled for a shape that OpenVINO keeps, the newest ones; 5000 by its default
_HINTS = {"float32": "f32", "bfloat16": "bf16"}  # OpenVINO's names


@lru_cache(maxsize=16)
def compile_module(
    module: nn.Module,
    example: Shapes,
    shapes: Shapes | None = None,
    precision: str = "float32",
    ranges: tuple[Range, ...] = (),
) -> openvino.CompiledModel:
    """A module compiled for the CPU by OpenVINO; cached in memory and on disk (see `model_cache`).

    Args:
        module: in evaluation mode, of tensors alone.
        example: shapes of float32 inputs to trace it with.
        shapes: of the inputs to come, -1 where they vary; by default those of the example.
        precision: "float32", the same boxes as plain PyTorch; "bfloat16", faster where the processor has it; or "int8",
            convolutions in integers and the rest in bfloat16 where the processor has it.
        ranges: of the module's convolutions but the first, for "int8".

    Raises:
        ValueError: if the ranges do not fit the module.
    """
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": _HINTS[float_precision() if precision == "int8" else precision],
        "ENABLE_CPU_PINNING": False,  # else each process of one thread computes on processor 0
    }
    if shapes is not None:  # else it keeps the code for each new shape, 2 MB for one of the refinement's windows
        options["CPU_RUNTIME_CACHE_CAPACITY"] = _KEPT_SHAPES
    core = import_openvino().Core()
    processor = core.get_property("CPU", "FULL_DEVICE_NAME"), core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    name = model_cache.key(module, shapes or example, options, openvino_version(), processor, precision, ranges)
    kept = model_cache.read(name)
    if kept is not None:
        with contextlib.suppress(RuntimeError):  # another build of the same version, say
            return core.import_model(io.BytesIO(kept), "CPU", options)
    model = convert(module, example)
    if precision == "int8":
        quantize(model, ranges)
    model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes or example, strict=True)})
    compiled = core.compile_model(model, "CPU", options)
    if model_cache.folder() is not None:
        data = io.BytesIO()  # without it, OpenVINO before 2024.5 ends in a segmentation fault under Python 3.12
        compiled.export_model(data)
        model_cache.write(name, data.getvalue())
    return compiled
