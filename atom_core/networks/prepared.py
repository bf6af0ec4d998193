# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The two networks on a device, with the engine and the precision that they run with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from atom_core.networks import weights
from atom_core.networks.backbones import Features
from atom_core.networks.engine import BackboneFunction, accelerate, is_openvino
from atom_core.networks.iou_predictor import IoUNet, Modulation
from atom_core.networks.openvino_model import openvino_version
from atom_core.refinement.openvino_refiner import OpenVinoRefiner
from atom_core.refinement.torch_refiner import Ascent, Refiner, TorchRefiner, autocast

_PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Networks:
    """The two networks, shared and never changed. They compute in `precision` and return float32."""

    backbone: BackboneFunction
    iou_net: IoUNet
    refiner: Refiner
    precision: torch.dtype = torch.float32

    @property
    def engine(self) -> str:
        """What computes the networks, and how, such as "OpenVINO 2026.4.1, float32"."""
        is_openvino = isinstance(self.refiner, OpenVinoRefiner)
        name = f"OpenVINO {openvino_version()}" if is_openvino else f"PyTorch {torch.__version__}"
        return f"{name}, {str(self.precision).removeprefix('torch.')}"

    def features(self, crops: Tensor) -> Features:
        """Backbone features of crops (N, 3, S, S) in 0..255."""
        with autocast(crops.device, self.precision):
            return Features(*(f.float() for f in self.backbone(crops)))

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
    if precision not in _PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; expected one of {', '.join(_PRECISIONS)}")
    if engine == "auto" and precision != "float32":
        engine = "torch"  # OpenVINO computes in float32
    backbone = accelerate(network.backbone.to(device), device, crop_size, engine)
    iou_net = network.iou_net.to(device)
    if is_openvino(device, engine):
        refiner = OpenVinoRefiner(iou_net, network.backbone.channels, crop_size)
    else:
        refiner = TorchRefiner.of(iou_net, crop_size, _PRECISIONS[precision])
    return Networks(backbone, iou_net, refiner, _PRECISIONS[precision])
