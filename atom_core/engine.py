# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a backbone as fast as the device allows: OpenVINO on the CPU where it is installed, plain PyTorch elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from atom_core.backbone import Backbone, Features

if TYPE_CHECKING:
    import openvino

BackboneFunction = Callable[[Tensor], Features]


def accelerate(backbone: Backbone, device: torch.device, crop_size: int, engine: str = "auto") -> BackboneFunction:
    """A function that computes the backbone's features of crops (N, 3, S, S), float in 0..255.

    Args:
        backbone: on `device`, in evaluation mode.
        device: where the crops will be.
        crop_size: px, S; OpenVINO is compiled for crops of this size alone.
        engine: "openvino", "torch", or "auto": OpenVINO on the CPU if it can be imported.

    Raises:
        ValueError: if the engine is unknown, or OpenVINO is asked for on another device than the CPU.
        ModuleNotFoundError: if OpenVINO is asked for and not installed.
    """
    if engine not in ("auto", "openvino", "torch"):
        raise ValueError(f"unknown engine {engine!r}; expected 'auto', 'openvino' or 'torch'")
    if engine == "openvino" and device.type != "cpu":
        raise ValueError(f"engine 'openvino' runs on the CPU, not on {device}; use 'auto' or 'torch'")
    if engine == "openvino" or (engine == "auto" and device.type == "cpu" and find_spec("openvino")):
        return _openvino(backbone, crop_size)
    return backbone


def _openvino(backbone: Backbone, crop_size: int) -> BackboneFunction:
    run = compile_openvino(backbone, crop_size)
    return lambda crops: Features(*run(crops))


def compile_openvino(module: nn.Module, crop_size: int) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """A function that computes a module's outputs of crops (N, 3, S, S) on the CPU, S = `crop_size`.

    Raises:
        ModuleNotFoundError: if OpenVINO is not installed.
    """
    # One compiled model serves all trackers of a network; a request of its own keeps each of them independent.
    compiled = _compile(module, crop_size)
    request = compiled.create_infer_request()

    def run(crops: Tensor) -> tuple[Tensor, ...]:
        outputs = request.infer([crops.contiguous().numpy()], share_inputs=True)
        return tuple(torch.from_numpy(outputs[i].copy()) for i in range(len(compiled.outputs)))

    return run


@lru_cache(maxsize=4)
def _compile(module: nn.Module, crop_size: int) -> openvino.CompiledModel:
    import openvino

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openvino traces by an interface that PyTorch calls deprecated
        # No batch of one here: the tracer would bake it in.
        model = openvino.convert_model(module, example_input=torch.zeros(2, 3, crop_size, crop_size))
    model.reshape([-1, 3, crop_size, crop_size])
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",  # the same boxes as plain PyTorch, also where bf16 would be faster
    }
    return openvino.compile_model(model, "CPU", options)
