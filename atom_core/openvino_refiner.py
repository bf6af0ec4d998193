# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The IoU predictor's part of the frame step by OpenVINO, on the CPU: the same boxes as `refiner.TorchRefiner`.

Three modules are compiled: the test branch's maps in the window that the proposals can reach, one step of the ascent,
and the prediction at its end. In the step, the order of products that needs the fewest multiplications is the fastest:
rows of the map pooled along y, then along x, then the linear layers, and the same backwards. All weights are constants
that the engine can pack; the target's modulation is an input.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from atom_core.backbone import Features
from atom_core.engine import compile_module, new_request
from atom_core.iou_net import POOL3, POOL4, IoUNet, Modulation
from atom_core.iou_surface import (
    FoldedHead,
    area,
    bin_matrices,
    edge_matrix,
    edge_offset,
    hat_integral,
    side_lengths,
)
from atom_core.refiner import Ascent, window_origins, window_sizes

if TYPE_CHECKING:
    import openvino

_Function = Callable[..., Any]
_MARGIN = 2  # cells that two 3x3 convolutions see beyond a window


class WindowedMaps(nn.Module):
    """The test branch's maps in a window, and nowhere else: exactly those of `IoUNet.test_maps`, cut."""

    def __init__(self, net: IoUNet, cells: tuple[int, int], window: tuple[int, int]) -> None:
        super().__init__()
        self.cells, self.window = cells, window
        blocks = (net.conv3_1t, net.conv3_2t), (net.conv4_1t, net.conv4_2t)
        self.branches = nn.ModuleList(
            nn.ModuleList(fuse_conv_bn_eval(block[0], block[1]) for block in pair) for pair in blocks
        )

    def forward(self, stride8: Tensor, stride16: Tensor, proposals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (n, n * C) and (m, m * C), channels last, and the edges' offset (20,), see `edge_offset`."""
        origins = window_origins(proposals[0], self.cells, self.window)
        maps = [
            self._map(features, origins[i], i).permute(1, 2, 0).flatten(1)
            for i, features in enumerate((stride8, stride16))
        ]
        offset = edge_offset(tuple(origins[0].unbind()), tuple(origins[1].unbind()), proposals)
        return maps[0], maps[1], offset

    def _map(self, features: Tensor, origin: Tensor, branch: int) -> Tensor:
        cells, window = self.cells[branch], self.window[branch]
        first, second = self.branches[branch]
        start = origin.long()[:, None]
        columns, rows = start + torch.arange(window + 2 * _MARGIN)
        cut = F.pad(features, (_MARGIN,) * 4).index_select(2, rows).index_select(3, columns)
        hidden = F.conv2d(cut, first.weight, first.bias).relu()  # a cell more than the window on each side
        # What lies beyond the map is 0 there, and not what the convolution made of it.
        at = start + torch.arange(-1, window + 1)
        inside_x, inside_y = ((at >= 0) & (at < cells)).float()
        hidden = hidden * (inside_y[:, None] * inside_x)
        return F.conv2d(hidden, second.weight, second.bias).relu()[0]


class AscentStep(nn.Module):
    """One step of the ascent for P boxes; or, where it `climbs` no more, the prediction for them."""

    def __init__(self, net: IoUNet, window: tuple[int, int], proposals: int, climbs: bool) -> None:
        super().__init__()
        self.window, self.count, self.climbs = window, proposals, climbs
        head = FoldedHead.fold(net)
        weight, by_position, by_side = bin_matrices()
        buffers = {
            "edges": edge_matrix(),
            "weight_of": weight.T,
            "slope_of": torch.cat((by_position, by_side), dim=1).T,
            "grid": torch.arange(window[0]),
            **head._asdict(),
        }
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor.float())

    def forward(
        self,
        boxes: Tensor,
        map3: Tensor,
        map4: Tensor,
        offset: Tensor,
        modulation3: Tensor,
        modulation4: Tensor,
        step_length: Tensor,
    ) -> Tensor:
        """Boxes (P, 4), what `WindowedMaps` gives, modulation (1, 256) each, (1,) -> boxes or 2 * IoU - 1 (P,)."""
        edges = (boxes @ self.edges + offset).view(self.count, 2, -1, 1)
        distance = (edges - self.grid).clamp(-1, 1)  # (P, axis, E, n)
        magnitude = distance.abs()
        weights = self.weight_of @ hat_integral(distance, magnitude)  # (P, axis, 8, n)
        slopes = (self.slope_of @ (1 - magnitude)).unflatten(2, (2, -1))  # (P, axis, position or side, 8, n)
        size = side_lengths(boxes)
        divisor = area(size)

        value, by_shape, of_area = self.output_bias, 0, 0
        branches = (
            (map3, modulation3, self.weight3, slice(0, POOL3), slice(0, 256)),
            (map4, modulation4, self.weight4, slice(POOL3, POOL3 + POOL4), slice(256, 512)),
        )
        for i, (feature_map, modulation, layer, bins, part) in enumerate(branches):
            cells = self.window[i]
            x, y = (weights[:, axis, bins, :cells] for axis in (0, 1))  # (P, K, n)
            rows, pooled = self._pool(feature_map, x, y, cells)
            sums = ((pooled * modulation).reshape(self.count, -1) @ layer.T) / divisor
            hidden = sums + self.bias[part]
            if not self.climbs:
                value = value + hidden.relu() @ self.output[part]
                continue
            at_sums = torch.where(hidden > 0, self.output[part], torch.zeros_like(hidden))
            of_area = of_area + (at_sums * sums).sum(1, keepdim=True)
            at_pooled = (at_sums @ layer).view(pooled.shape) * modulation
            at_x, at_y = self._transposed(at_pooled, rows, feature_map, x, cells)
            by_shape = by_shape + torch.stack(
                [(slopes[:, axis, :, bins, :cells] * at[:, None]).sum((2, 3)) for axis, at in ((0, at_x), (1, at_y))],
                dim=2,
            )  # (P, position or side, axis)
        if not self.climbs:
            return value
        by_shape = by_shape * (size / divisor)[:, None]
        change = torch.cat((by_shape[:, 0], by_shape[:, 1] - of_area), dim=1)
        return boxes + step_length * change

    def _pool(self, feature_map: Tensor, x: Tensor, y: Tensor, cells: int) -> tuple[Tensor, Tensor]:
        """The map pooled along y (P, K, n, C), and along both (P, K, K, C)."""
        bins = x.shape[1]
        rows = (y.reshape(self.count * bins, cells) @ feature_map).view(self.count, bins, cells, -1)
        return rows, x[:, None] @ rows

    def _transposed(
        self, at_pooled: Tensor, rows: Tensor, feature_map: Tensor, x: Tensor, cells: int
    ) -> tuple[Tensor, Tensor]:
        """From the gradient at the pooled map to those at the weights along x and y (P, K, n)."""
        bins = x.shape[1]
        at_x = (at_pooled @ rows.transpose(2, 3)).sum(1)
        at_rows = (x.transpose(1, 2)[:, None] @ at_pooled).reshape(self.count * bins, -1)
        return at_x, (at_rows @ feature_map.T).view(self.count, bins, cells)


class OpenVinoRefiner:
    """See `refiner.Refiner`. Compiles what it needs at the first call for a number of proposals.

    The whole maps, for the rare long and thin target, are left to PyTorch: compiling for them, perhaps in the middle of
    a video, would take seconds.
    """

    def __init__(self, iou_net: IoUNet, channels: tuple[int, int], crop_size: int) -> None:
        self._net, self._channels = iou_net, channels
        self._cells = crop_size // 8, crop_size // 16
        self._functions: dict[tuple[tuple[int, int], int], tuple[_Function, _Function]] = {}

    def __call__(
        self, features: Features, modulation: Modulation, proposals: Tensor, ascent: Ascent
    ) -> tuple[Tensor, Tensor]:
        """See `Refiner`."""
        maps, step, value = self._get(window_sizes(self._cells, ascent.whole), len(proposals))
        seen = *maps(*features, proposals), *modulation, torch.tensor([ascent.step_length])
        boxes = proposals
        for _ in range(ascent.steps):
            boxes = step(boxes, *seen)
        return boxes, value(boxes, *seen)

    def _get(self, window: tuple[int, int], proposals: int) -> tuple[_Function, _Function, _Function]:
        key = window, proposals
        if key not in self._functions:
            if window == self._cells:
                steps = (AscentStep(self._net, *key, climbs) for climbs in (True, False))
                self._functions[key] = WindowedMaps(self._net, self._cells, window), *steps
            else:
                maps, *steps = (new_request(one) for one in _compile(self._net, self._channels, self._cells, *key))
                self._functions[key] = maps, *(_first_output(step) for step in steps)
        return self._functions[key]


def _first_output(run: _Function) -> _Function:
    return lambda *inputs: run(*inputs)[0]


@lru_cache(maxsize=8)
def _compile(
    net: IoUNet, channels: tuple[int, int], cells: tuple[int, int], window: tuple[int, int], proposals: int
) -> tuple[openvino.CompiledModel, ...]:
    """The maps, a step of the ascent, the prediction; one network's trackers share them."""
    boxes, modulation = (proposals, 4), (1, 256)
    features = [(1, c, n, n) for c, n in zip(channels, cells, strict=True)]
    maps = [(n, n * 256) for n in window]
    return (
        compile_module(WindowedMaps(net, cells, window), (*features, boxes)),
        *(
            compile_module(
                AscentStep(net, window, proposals, climbs), (boxes, *maps, (20,), modulation, modulation, (1,))
            )
            for climbs in (True, False)
        ),
    )
