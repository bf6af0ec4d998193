# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The two networks on a device, with the engine and the precision that they run with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from atom_core.networks import weights
from atom_core.networks.backbones import Features
from atom_core.networks.engine import BackboneFunction, accelerate, float_precision, has_bfloat16, is_openvino
from atom_core.networks.int8 import find_ranges, fingerprint
from atom_core.networks.int8_ranges import AS_ACCURATE
from atom_core.networks.iou_predictor import IoUNet, Modulation
from atom_core.networks.onnx_engine import OnnxEngine, is_onnx_file
from atom_core.networks.openvino_model import openvino_version
from atom_core.refinement.openvino_refiner import OpenVinoRefiner
from atom_core.refinement.torch_refiner import Ascent, Refiner, TorchRefiner, autocast

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
PRECISIONS = ("auto", *_DTYPES, "int8")


@dataclass(frozen=True)
class Networks:
    """The two networks, shared and never changed. They return float32.

    Attributes:
        backbone: the same for first and later frames.
        iou_net: for its reference branch, by PyTorch.
        refiner: the test branch, and the ascent on its prediction.
        precision: of the parts that PyTorch runs.
        sample_type: type of the classifier's samples and their products; None: as `precision`.
        backbone_alone: the same backbone for crops in which no box is refined; None: as `backbone`.
        engine: what computes the networks, and in which precision, such as "OpenVINO 2026.4.1, float32".
    """

    backbone: BackboneFunction
    iou_net: IoUNet
    refiner: Refiner
    precision: torch.dtype = torch.float32
    engine: str = ""
    sample_type: torch.dtype | None = None
    backbone_alone: BackboneFunction | None = None

    def __post_init__(self) -> None:
        if not self.engine:
            name = f"PyTorch {torch.__version__}, {str(self.precision).removeprefix('torch.')}"
            object.__setattr__(self, "engine", name)

    def prepare(self, proposals: int) -> None:
        """Compiles the network for `proposals` boxes in advance, so that no frame waits for it."""
        self.refiner.prepare(proposals)

    def features(self, crops: Tensor, are_searched: bool = True) -> Features:
        """Backbone features of crops (N, 3, S, S) in 0..255; `are_searched`: boxes may be refined in them."""
        backbone = self.backbone if are_searched else self.backbone_alone or self.backbone
        with autocast(crops.device, self.precision):
            return Features(*(f.float() for f in backbone(crops)))

    def modulation(self, features: Features, box: Tensor) -> Modulation:
        """The target's modulation vectors: features of one crop of the first frame, box (1, 4) in crop px."""
        with autocast(box.device, self.precision):
            return Modulation(*(m.float() for m in self.iou_net.modulation(features, box)))

    def refine(
        self, features: Features, modulation: Modulation, proposals: Tensor, ascent: Ascent
    ) -> tuple[Tensor, Tensor]:
        """Ascends proposals on the predicted IoU, see `Refiner`."""
        return self.refiner(features, modulation, proposals, ascent)


def prepare_networks(
    network: weights.Network,
    device: torch.device,
    crop_size: int,
    precision: str = "float32",
    engine: str = "auto",
) -> Networks:
    """The networks on a device, see `atom_core.tracker.AtomTracker`.

    Raises:
        ValueError: if the precision or the engine is unknown or cannot be used.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; expected one of {', '.join(PRECISIONS)}")
    if is_onnx_file(engine):
        return _by_onnx(network, device, crop_size, precision, Path(engine))
    if engine == "auto" and precision == "float16":
        engine = "torch"  # OpenVINO cannot compute in float16 on x86
    if is_openvino(device, engine):
        return _by_openvino(network, crop_size, precision)
    if precision == "int8":
        raise ValueError("precision int8 needs OpenVINO on the CPU ('pip install openvino'); use precision 'auto'")
    dtype = _DTYPES["float32" if precision == "auto" else precision]
    backbone = accelerate(network.backbone.to(device), device, crop_size, "torch")
    return Networks(backbone, network.iou_net.to(device), TorchRefiner.of(network.iou_net, crop_size, dtype), dtype)


def _by_onnx(network: weights.Network, device: torch.device, crop_size: int, precision: str, path: Path) -> Networks:
    """From an exported file, on the CPU; PyTorch runs the reference branch and the refinement in float32."""
    if device.type != "cpu":
        raise ValueError(f"engine '{path}' runs on the CPU, not on {device}; use device 'cpu', or engine 'auto'")
    if precision not in ("auto", "float32"):
        raise ValueError(f"engine '{path}' computes as the file says, not in {precision}; use precision 'float32'")
    network.backbone.to(device), network.iou_net.to(device)
    engine = OnnxEngine.load(path, network, crop_size)
    refiner = replace(TorchRefiner.of(network.iou_net, crop_size), test_maps=engine.test_maps)
    name = f"{engine.name}, {path.name}"
    return Networks(engine.features, network.iou_net, refiner, engine=name, backbone_alone=engine.features_alone)


def _by_openvino(network: weights.Network, crop_size: int, precision: str) -> Networks:
    """On the CPU. PyTorch runs the reference branch in float32, whatever OpenVINO's precision."""
    if precision == "float16":
        raise ValueError("engine 'openvino' computes in float32 or bfloat16, not in float16; use engine 'torch'")
    if precision == "auto":
        precision = _fastest_as_accurate(network)
    device = torch.device("cpu")
    ranges = find_ranges(network.backbone, network.metadata) if precision == "int8" else ()
    backbone = accelerate(network.backbone.to(device), device, crop_size, "openvino", precision, ranges)
    engine = f"OpenVINO {openvino_version()}, {precision}"
    if precision == "int8":
        precision = float_precision()
        engine += f" and {precision}"
    refiner = OpenVinoRefiner(network.iou_net.to(device), network.backbone.channels, crop_size, precision)
    return Networks(backbone, network.iou_net, refiner, engine=engine, sample_type=_DTYPES[precision])


def _fastest_as_accurate(network: weights.Network) -> str:
    """Processors with bfloat16 also have fast products of integers."""
    if has_bfloat16() and fingerprint(network.backbone) in AS_ACCURATE:
        return "int8"
    return float_precision()
