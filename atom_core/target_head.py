# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The IoU predictor's head for one target, and its gradient in the box in closed form.

The same function as `IoUNet.forward`, reshaped for the frame step: what the first frame fixes (the modulation and the
batch normalisation) is folded into the linear layers once, and the gradient, which autograd would find with a graph of
its own for each step of the ascent, is a second, hand-written pass over the same few matrix products.

With pooled = Wy F Wx^T (see `atom_core.prroi_pool`), and s the predicted value, G = ds/dpooled:
ds/dWy = G Wx F^T and ds/dWx = G^T Wy F, each summed over the channels; Wx and Wy depend on the box by the edges of
their bins.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from atom_core.iou_net import POOL3, POOL4, IoUNet, LinearBlock, Modulation, TestMaps
from atom_core.prroi_pool import BinWeights, Origin, bin_weights


class _Branch(NamedTuple):
    """One of the two strides: a linear layer with everything folded in, and the layer's part of the output."""

    weight: Tensor  # (256, K * K * C) on pooled maps in the order bin y, bin x, channel
    bias: Tensor  # (256,)
    output: Tensor  # (256,)
    bins: int  # K
    scale: float  # cells a crop px


class TargetHead(NamedTuple):
    """The predictor's head with one target's modulation."""

    branch3: _Branch
    branch4: _Branch
    bias: Tensor  # (1,)

    @classmethod
    def fold(cls, net: IoUNet, modulation: Modulation, precision: torch.dtype = torch.float32) -> TargetHead:
        """The head of a network in evaluation mode for the first of N targets; `precision` is that of the products."""
        output3, output4 = net.iou_predictor.weight[0].chunk(2)
        return cls(
            _fold(net.fc3_rt, modulation.c3[0], output3, POOL3, 1 / 8, precision),
            _fold(net.fc4_rt, modulation.c4[0], output4, POOL4, 1 / 16, precision),
            net.iou_predictor.bias,
        )

    def surface(self, maps: TestMaps) -> IoUSurface:
        """The predicted IoU as a function of the box, in one frame."""
        views = [
            _View(branch, t[0].permute(1, 2, 0).flatten(1).to(branch.weight.dtype), origin)
            for branch, t, origin in ((self.branch3, maps.t3, maps.origin3), (self.branch4, maps.t4, maps.origin4))
        ]
        return IoUSurface(views, self.bias)


def _fold(
    block: LinearBlock, modulation: Tensor, output: Tensor, bins: int, scale: float, precision: torch.dtype
) -> _Branch:
    gain = block.bn.weight * (block.bn.running_var + block.bn.eps).rsqrt()
    weight = block.linear.weight.unflatten(1, (-1, bins, bins)) * modulation[:, None, None]
    weight = (weight * gain[:, None, None, None]).permute(0, 2, 3, 1).flatten(1).to(precision).contiguous()
    bias = (block.linear.bias - block.bn.running_mean) * gain + block.bn.bias
    return _Branch(weight, bias.to(precision), output.to(precision), bins, scale)


class IoUSurface:
    """Predicted 2 * IoU - 1 of boxes in one frame, and its gradient. Boxes are (P, 4) in crop px."""

    def __init__(self, views: list[_View], bias: Tensor) -> None:
        self._views, self._bias = views, bias

    def value(self, boxes: Tensor) -> Tensor:
        """Predicted 2 * IoU - 1 (P,)."""
        return sum(view.pool(boxes).value().to(self._bias.dtype) for view in self._views) + self._bias

    def gradient(self, boxes: Tensor) -> Tensor:
        """Its derivative in x, y, width and height (P, 4)."""
        return sum(view.pool(boxes).gradient() for view in self._views)


class _View(NamedTuple):
    """A branch and one frame's map for it."""

    branch: _Branch
    map: Tensor  # (H, W * C): channels last
    origin: Origin

    def pool(self, boxes: Tensor) -> _Pooled:
        bins, scale = self.branch.bins, self.branch.scale
        channels = self.branch.weight.shape[1] // bins**2
        height, width = self.map.shape[0], self.map.shape[1] // channels
        x = bin_weights(boxes[:, 0] * scale - self.origin[0], boxes[:, 2] * scale, bins, width)
        y = bin_weights(boxes[:, 1] * scale - self.origin[1], boxes[:, 3] * scale, bins, height)
        rows = (y.mean.flatten(0, 1).to(self.map.dtype) @ self.map).view(len(boxes), bins, width, channels)
        pooled = x.mean[:, None].to(rows.dtype) @ rows  # (P, K, K, C)
        return _Pooled(self, x, y, rows, pooled.flatten(1) @ self.branch.weight.T + self.branch.bias)


class _Pooled(NamedTuple):
    """What `_View.pool` has computed for P boxes."""

    view: _View
    x: BinWeights  # of W columns
    y: BinWeights  # of H rows
    rows: Tensor  # (P, K, W, C): the map pooled along y alone
    hidden: Tensor  # (P, 256) before the ReLU

    def value(self) -> Tensor:
        return self.hidden.relu() @ self.view.branch.output

    def gradient(self) -> Tensor:
        branch = self.view.branch
        _, bins, _, channels = self.rows.shape
        at_hidden = torch.where(self.hidden > 0, branch.output, 0)
        at_pooled = (at_hidden @ branch.weight).view(-1, bins, bins, channels)  # (P, K, K, C)
        at_x = (at_pooled @ self.rows.transpose(2, 3)).sum(1)  # (P, K, W)
        at_rows = self.x.mean.transpose(1, 2)[:, None].to(at_pooled.dtype) @ at_pooled  # (P, K, W, C)
        at_y = (at_rows.flatten(0, 1).flatten(1) @ self.view.map.T).view(-1, bins, self.view.map.shape[0])
        gradients = [(at * w).sum((1, 2)) for w_all, at in ((self.x, at_x), (self.y, at_y)) for w in w_all[1:]]
        by_x, by_width, by_y, by_height = gradients
        return torch.stack((by_x, by_y, by_width, by_height), dim=1) * branch.scale
