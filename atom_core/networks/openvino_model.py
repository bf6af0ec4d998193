# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO without its telemetry, and models of PyTorch modules in it.

OpenVINO's Python package sends events to an analytics service, from a process of their own each: one when it is
imported and some for each model that its converter makes. Nothing may leave a robot unasked, so the import here blocks
the package that sends (`openvino_telemetry`), and modules are converted by OpenVINO's PyTorch front end, which the
converter calls in turn. All of atom_core imports OpenVINO by this module.
"""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    import openvino

TELEMETRY = "openvino_telemetry"


def import_openvino() -> ModuleType:
    """The module `openvino`, imported with its telemetry off.

    Where the process has imported OpenVINO before, that import has reported itself already; nothing else is sent here.

    Raises:
        ModuleNotFoundError: if OpenVINO is not installed.
    """
    # None makes its import fail, for which OpenVINO has a stub. One that is there already is left to its owner.
    if TELEMETRY not in sys.modules:
        sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # documented, yet not in the stubs
    import openvino

    return openvino


def openvino_version() -> str:
    """The version of the OpenVINO that is installed, such as "2026.4.1"; "" where there is none."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return ""


def convert(module: nn.Module, example: tuple[tuple[int, ...], ...]) -> openvino.Model:
    """A PyTorch module as OpenVINO's model, of inputs of any size.

    Args:
        module: in evaluation mode, of tensors alone.
        example: shapes of float32 inputs to trace it with.

    Raises:
        ModuleNotFoundError: if OpenVINO is not installed.
    """
    import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    front_end = FrontEndManager().load_by_framework("pytorch")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the decoder traces by an interface that PyTorch calls deprecated
        decoder = TorchScriptPythonDecoder(module, example_input=tuple(torch.ones(shape) for shape in example))
        return front_end.convert(front_end.load(decoder))
