# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The IoU predictor (section 3.1 of the paper): how much a proposal overlaps the target seen in the first frame.

Layer names follow the authors' checkpoint: 3 and 4 are blocks 3 and 4 (strides 8 and 16), r and t the reference and the
test branch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from atom_core.networks.backbones import Features
from atom_core.networks.prroi_pool import Origin, prroi_pool

POOL3, POOL4 = 5, 3  # bins per side of the test branch's pooling at strides 8 and 16


class FeatureWindow(NamedTuple):
    """First cells (x, y) at strides 8 and 16 of a window cut out of a crop's features."""

    origin3: Origin = (0, 0)
    origin4: Origin = (0, 0)


class Modulation(NamedTuple):
    """The target's modulation vectors: a factor for each channel of the two test maps.

    (N, 256), or (N, K, 256) for K targets in each crop.
    """

    c3: Tensor
    c4: Tensor


class TestMaps(NamedTuple):
    """The test branch's maps `t3` (N, 256, h3, w3) at stride 8 and `t4` (N, 256, h4, w4) at stride 16.

    If they are windows of the crop's maps, `origin3` and `origin4` (x, y) are the windows' first cells.
    """

    t3: Tensor
    t4: Tensor
    origin3: Origin = (0, 0)
    origin4: Origin = (0, 0)


class IoUNet(nn.Module):
    """IoU predictor of 5.6 million parameters (with ResNet-18's channels).

    Args:
        channels: of the backbone's features at strides 8 and 16.
    """

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        block3, block4 = channels
        self.conv3_1r = _conv(block3, 128)
        self.conv3_1t = _conv(block3, 256)
        self.conv3_2t = _conv(256, 256)
        self.fc3_1r = _conv(128, 256, padding=0)
        self.conv4_1r = _conv(block4, 256)
        self.conv4_1t = _conv(block4, 256)
        self.conv4_2t = _conv(256, 256)
        self.fc34_3r = _conv(512, 256, kernel=1)
        self.fc34_4r = _conv(512, 256, kernel=1)
        self.fc3_rt = LinearBlock(256 * POOL3**2, 256)
        self.fc4_rt = LinearBlock(256 * POOL4**2, 256)
        self.iou_predictor = nn.Linear(512, 1)
        self.apply(_initialize)

    def modulation(self, features: Features, boxes: Tensor, window: FeatureWindow | None = None) -> Modulation:
        """The target's modulation vectors, from the first frame.

        Args:
            features: of N reference crops, whole or a window of them.
            boxes: (N, 4) target boxes in crop px, or (N, K, 4).
            window: where the features begin, if they are a window.
        """
        origin3, origin4 = window or FeatureWindow()
        targets = boxes.view(len(boxes), -1, 4)
        pooled3 = prroi_pool(self.conv3_1r(features.stride8), targets, 3, 1 / 8, origin3).flatten(0, 1)
        pooled4 = prroi_pool(self.conv4_1r(features.stride16), targets, 1, 1 / 16, origin4).flatten(0, 1)
        joined = torch.cat((self.fc3_1r(pooled3), pooled4), dim=1)  # (N * K, 512, 1, 1)
        shape = (*boxes.shape[:-1], -1)
        return Modulation(self.fc34_3r(joined).view(shape), self.fc34_4r(joined).view(shape))

    def test_maps(self, features: Features, window: FeatureWindow | None = None) -> TestMaps:
        """The test branch's maps of N test crops, whole or a window of them."""
        t3 = self.conv3_2t(self.conv3_1t(features.stride8))
        t4 = self.conv4_2t(self.conv4_1t(features.stride16))
        return TestMaps(t3, t4, *(window or FeatureWindow()))

    def forward(self, modulation: Modulation, maps: TestMaps, boxes: Tensor) -> Tensor:
        """Predicted 2 * IoU - 1 of P proposals in each of N crops.

        Args:
            modulation: of N targets, or of K in each of N crops.
            maps: of N test crops.
            boxes: (N, P, 4) in crop px; with K targets, the first P / K belong to the first target, and so on.

        Returns:
            (N, P).
        """
        pooled3 = prroi_pool(maps.t3, boxes, POOL3, 1 / 8, maps.origin3)  # (N, P, 256, 5, 5)
        pooled4 = prroi_pool(maps.t4, boxes, POOL4, 1 / 16, maps.origin4)
        # The paper multiplies the maps; pooling is linear in each channel, so multiplying the small pooled maps is
        # equal.
        pooled3 = pooled3 * _for_each_proposal(modulation.c3, boxes.shape[1])
        pooled4 = pooled4 * _for_each_proposal(modulation.c4, boxes.shape[1])
        joined = torch.cat((self.fc3_rt(pooled3.flatten(0, 1)), self.fc4_rt(pooled4.flatten(0, 1))), dim=1)
        return self.iou_predictor(joined).view(boxes.shape[:2])


def _for_each_proposal(factors: Tensor, proposals: int) -> Tensor:
    """A target's factors (N, 256) or (N, K, 256) for each of its proposals' pooled maps, (N, P or 1, 256, 1, 1)."""
    if factors.ndim == 2:
        return factors[:, None, :, None, None]
    return factors.repeat_interleave(proposals // factors.shape[1], dim=1)[..., None, None]


class LinearBlock(nn.Module):
    """Linear, batch normalisation, ReLU on flattened maps (N, C, K, K)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, K, K) -> (N, outputs)."""
        return self.bn(self.linear(x.flatten(1))).relu()

    def without_batch_norm(self) -> tuple[Tensor, Tensor]:
        """Weight (outputs, inputs) and bias of the linear layer that equals the trained block before its ReLU."""
        gain, bias = self.gain_and_bias()
        return self.linear.weight * gain[:, None], bias

    def gain_and_bias(self) -> tuple[Tensor, Tensor]:
        """By what the trained block multiplies its weight times its input, and what it adds, before its ReLU."""
        mean, variance = self.bn.running_mean, self.bn.running_var
        assert mean is not None and variance is not None, "the block keeps running statistics"
        gain = self.bn.weight * (variance + self.bn.eps).rsqrt()
        return gain, (self.linear.bias - mean) * gain + self.bn.bias


def _conv(inputs: int, outputs: int, kernel: int = 3, padding: int | None = None) -> nn.Sequential:
    padding = kernel // 2 if padding is None else padding
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU())


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
