# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The networks as an ONNX file, for inference engines: a crop in, its features and the IoU predictor's maps out.

Batch 1 and one crop size, since engines are fastest with static shapes. The crop's normalisation is inside, batch
normalisation is folded into the convolutions. The parts that depend on the target (modulation, classifier, refinement)
are not.
"""

from __future__ import annotations

import inspect
import io
import os
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from atom_core.networks.backbones import Backbone
from atom_core.networks.engine import fold_batch_norm
from atom_core.networks.iou_predictor import IoUNet
from atom_core.networks.weights import Network

OPSET = 17  # the newest that TensorRT 8.5 and 8.6 (JetPack 5 and the first JetPack 6) read
FORMAT = "atom_tracker onnx 1"
INPUT = "crop"  # (1, 3, S, S) float32 RGB in 0..255
OUTPUTS = ("stride8", "stride16", "iou_map8", "iou_map16")  # see `Features` and `TestMaps`


class CropNetworks(nn.Module):
    """The part that depends on the crop alone: the backbone, and the IoU predictor's test branch up to its maps."""

    def __init__(self, backbone: Backbone, iou_net: IoUNet) -> None:
        super().__init__()
        self.backbone = fold_batch_norm(backbone)
        self.iou_net = fold_batch_norm(iou_net)

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Crops (N, 3, S, S) in 0..255 -> the tensors of `OUTPUTS`."""
        features = self.backbone(crop)
        maps = self.iou_net.test_maps(features)
        return features.stride8, features.stride16, maps.t3, maps.t4


def export_onnx(network: Network, path: Path, crop_size: int) -> None:
    """Writes a network's part that depends on the crop alone as ONNX, whole or not at all.

    The file's metadata names the format, the network, its weights' SHA-256, the crop size and the opset.

    Args:
        network: on the CPU.
        path: of the file, in a folder that exists.
        crop_size: S, px, the `TrackerConfig.crop_size` that the tracker will use.

    Raises:
        ValueError: if onnx is not installed.
        OSError: if the file cannot be written.
    """
    onnx = import_onnx()
    model = onnx.load_model_from_string(_trace(CropNetworks(network.backbone, network.iou_net).eval(), crop_size))
    model.producer_name, model.doc_string = "atom_tracker", __doc__.partition("\n")[0]
    onnx.helper.set_model_props(model, describe(network, crop_size))
    onnx.checker.check_model(model)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(model.SerializeToString())
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error}") from error
    os.replace(part, path)


def describe(network: Network, crop_size: int) -> dict[str, str]:
    """The metadata of a network's file."""
    return {
        "format": FORMAT,
        "network": network.name,
        "weights_sha256": network.sha256,
        "crop_size": str(crop_size),
        "opset": str(OPSET),
    }


def import_onnx() -> ModuleType:
    """The module `onnx`; raises ValueError that says what to install if it is missing."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ValueError("the package onnx, which writes ONNX files, is not installed; pip install onnx") from error
    return onnx


def _trace(module: CropNetworks, crop_size: int) -> bytes:
    buffer, example = io.BytesIO(), torch.zeros(1, 3, crop_size, crop_size)
    names: dict[str, Any] = {"input_names": [INPUT], "output_names": list(OUTPUTS)}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        # The newer exporter needs two more packages, and a newer PyTorch than many Jetsons have.
        names["dynamo"] = False
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch calls exporting by tracing its legacy
        torch.onnx.export(module, (example,), buffer, opset_version=OPSET, **names)  # type: ignore[arg-type]
    return buffer.getvalue()
