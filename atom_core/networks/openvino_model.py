# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO without its telemetry, and models of PyTorch modules in it.

OpenVINO's Python package sends events to an analytics service, each from a separate process: one on import and several
for each converted model. No data may leave a robot unasked, so the import here blocks the package that sends them
(`openvino_telemetry`), and modules are converted by OpenVINO's PyTorch front end, which the converter itself calls. All
of atom_core imports OpenVINO through this module.
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

    If the process has already imported OpenVINO elsewhere, that import has sent its event; nothing else is sent here.

    Raises:
        ModuleNotFoundError: if OpenVINO is not installed.
    """
    # None makes its import fail, and OpenVINO then uses a stub. A copy that is already imported is left alone.
    if TELEMETRY not in sys.modules:
        sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # documented, yet not in the stubs
    import openvino

    return openvino


def import_operations() -> ModuleType:
    """OpenVINO's operations, to change a model with; raises ModuleNotFoundError as `import_openvino` does."""
    import_openvino()
    import openvino.opset13

    return openvino.opset13


def openvino_version() -> str:
    """The installed OpenVINO's version, such as "2026.4.1"; "" if there is none."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return ""


def convert(module: nn.Module, example: tuple[tuple[int, ...], ...]) -> openvino.Model:
    """A PyTorch module as an OpenVINO model for inputs of any size.

    Args:
        module: in evaluation mode, with tensors as its only inputs.
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
