# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Refines proposals with OpenVINO on the CPU; the boxes equal those computed on the whole maps.

Two modules are compiled: the test branch's maps in a window around the proposals, and one step of the ascent. The step
multiplies in the order that needs the fewest multiplications: it pools the map along y, then along x, then applies the
linear layers, and goes the same way back. All weights are constants, which the engine can pack; the target's modulation
is an input. Each frame's window is as large as its proposals need, since the engine accepts any size.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from atom_core.config import TrackerConfig
from atom_core.networks.backbones import Features
from atom_core.networks.engine import Request, compile_module
from atom_core.networks.iou_predictor import POOL3, POOL4, IoUNet, Modulation, TestMaps
from atom_core.refinement.iou_surface import BRANCHES, EDGES, FoldedHead, area, edge_matrix, hat_integral, side_lengths
from atom_core.refinement.torch_refiner import Ascent

if TYPE_CHECKING:
    import openvino

_HALO = 2  # cells that two 3x3 convolutions see beyond a window
_MARGIN = 16.0  # crop px around the proposals: all but a few of a thousand ascents stay within it
_BINS = POOL3 + POOL4


class Window(NamedTuple):
    """The cells of both maps that boxes within given bounds cover."""

    columns3: range
    rows3: range
    columns4: range
    rows4: range

    @classmethod
    def about(cls, low: np.ndarray, high: np.ndarray, crop_size: int) -> Window:
        """The window of boxes between two corners (2,) in crop px; outside the crop, the nearest cells."""
        spans = []
        for _, scale in BRANCHES:
            last = round(crop_size * scale) - 1
            first_cells = np.clip(np.floor(low * scale), 0, last)
            last_cells = np.clip(np.ceil(high * scale), first_cells, last)
            spans += [_even(int(a), int(b), last) for a, b in zip(first_cells, last_cells, strict=True)]
        return cls(*spans)

    @classmethod
    def whole(cls, crop_size: int) -> Window:
        """The window of all cells."""
        return cls(*(range(round(crop_size * scale)) for _, scale in BRANCHES for _ in range(2)))

    def cut(self, features: Features) -> list[Tensor]:
        """The inputs of `WindowedMaps`: of each branch the features with a halo, and what is inside the map."""
        parts: list[np.ndarray] = []
        for of_stride, columns, rows in zip(features, self[::2], self[1::2], strict=True):
            parts += _cut(of_stride.numpy(), columns, rows)
        return [torch.from_numpy(part) for part in parts]

    def cells(self) -> list[Tensor]:
        """The indices of columns and rows, as `AscentStep` takes them."""
        return [torch.from_numpy(np.array(span, np.float32)) for span in self]


def _even(first: int, last: int, end: int) -> range:
    """The cells from first to last, and one more if their number is odd and the map, up to `end`, has another.

    The engine compiles operators for each window size; even sizes halve their number.
    """
    if (last - first) % 2 == 0:
        return range(first, last + 2) if last < end else range(max(0, first - 1), last + 1)
    return range(first, last + 1)


def _cut(features: np.ndarray, columns: range, rows: range) -> list[np.ndarray]:
    """Features (1, C, n, n) in a window and its halo, 0 outside the map; then 1 for each column and row inside it."""
    cells = features.shape[-1]
    (x, y), (width, height) = (columns.start - _HALO, rows.start - _HALO), (len(columns), len(rows))
    cut = np.zeros((1, features.shape[1], height + 2 * _HALO, width + 2 * _HALO), np.float32)
    left, top = max(0, -x), max(0, -y)
    part = features[:, :, max(0, y) : y + cut.shape[2], max(0, x) : x + cut.shape[3]]
    cut[:, :, top : top + part.shape[2], left : left + part.shape[3]] = part
    inside = [
        ((at >= 0) & (at < cells)).astype(np.float32)
        for at in (np.arange(span.start - 1, span.stop + 1) for span in (columns, rows))
    ]
    return [cut, *inside]


class WindowedMaps(nn.Module):
    """The test branch's maps, computed in a window only; they equal the cut of `IoUNet.test_maps`."""

    def __init__(self, net: IoUNet) -> None:
        super().__init__()
        self.first3, self.second3 = _fused(net.conv3_1t), _fused(net.conv3_2t)
        self.first4, self.second4 = _fused(net.conv4_1t), _fused(net.conv4_2t)

    def forward(
        self,
        stride8: Tensor,
        inside3_x: Tensor,
        inside3_y: Tensor,
        stride16: Tensor,
        inside4_x: Tensor,
        inside4_y: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Maps (rows, columns, 256), channels last, of the inputs that `Window.cut` returns."""
        return (
            _map(self.first3, self.second3, stride8, inside3_x, inside3_y),
            _map(self.first4, self.second4, stride16, inside4_x, inside4_y),
        )


def _map(first: nn.Conv2d, second: nn.Conv2d, cut: Tensor, inside_x: Tensor, inside_y: Tensor) -> Tensor:
    hidden = F.conv2d(cut, first.weight, first.bias).relu()  # a cell more than the window on each side
    # Padding of the second convolution: cells outside the map are 0.
    hidden = hidden * (inside_y[:, None] * inside_x)
    return F.conv2d(hidden, second.weight, second.bias).relu()[0].permute(1, 2, 0)


def _fused(block: nn.Sequential) -> nn.Conv2d:
    convolution, batch_norm = block[0], block[1]
    assert isinstance(convolution, nn.Conv2d) and isinstance(batch_norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(convolution, batch_norm)


class AscentStep(nn.Module):
    """One step of the ascent for P boxes, and the prediction for the boxes before the step."""

    edges: Tensor
    weight_of: Tensor
    slope_of: Tensor
    weight3: Tensor
    weight4: Tensor
    bias: Tensor
    output: Tensor
    output_bias: Tensor

    def __init__(self, net: IoUNet, proposals: int) -> None:
        super().__init__()
        self.count = proposals
        head = FoldedHead.fold(net)
        weight, by_position, by_side = _bin_matrices()
        buffers = {
            "edges": edge_matrix(),
            "weight_of": weight.T,
            "slope_of": torch.stack((by_position.T, by_side.T)),
            **head._asdict(),
            "weight3": _by_unit(head.weight3, POOL3),
            "weight4": _by_unit(head.weight4, POOL4),
        }
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor.float())

    def forward(
        self,
        boxes: Tensor,
        map3: Tensor,
        map4: Tensor,
        columns3: Tensor,
        rows3: Tensor,
        columns4: Tensor,
        rows4: Tensor,
        modulation3: Tensor,
        modulation4: Tensor,
        step_length: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Takes boxes (P, 4), the outputs of `WindowedMaps` and `Window.cells`, modulation (1, 256) each, and (1,).

        Returns:
            boxes (P, 4) and 2 * IoU - 1 (P,).
        """
        edges = (boxes @ self.edges).view(self.count, 2, -1, 1)
        size = side_lengths(boxes)
        divisor = area(size)
        value = self.output_bias
        of_area, by_shape = [], []  # for each branch
        branches = (
            (map3, (columns3, rows3), modulation3, self.weight3),
            (map4, (columns4, rows4), modulation4, self.weight4),
        )
        first_edge = first_bin = 0
        for i, (feature_map, cells, modulation, layer) in enumerate(branches):
            k = BRANCHES[i][0]
            edge, bin = slice(first_edge, first_edge + k + 1), slice(first_bin, first_bin + k)
            first_edge, first_bin = edge.stop, bin.stop
            part = slice(256 * i, 256 * (i + 1))
            x, y = (self._weights(edges[:, axis, edge], cells[axis], edge, bin) for axis in (0, 1))
            rows, pooled = self._pool(feature_map, x[0], y[0])
            sums = ((pooled * modulation).reshape(self.count, -1) @ layer.T) / divisor
            hidden = sums + self.bias[part]
            value = value + hidden.relu() @ self.output[part]
            at_sums = torch.where(hidden > 0, self.output[part], torch.zeros_like(hidden))
            of_area.append((at_sums * sums).sum(1, keepdim=True))
            at_pooled = (at_sums @ layer).view(pooled.shape) * modulation
            at_x, at_y = self._transposed(at_pooled, rows, feature_map, x[0])
            of_axes = [(slopes * at[:, None]).sum((2, 3)) for (_, slopes), at in ((x, at_x), (y, at_y))]
            by_shape.append(torch.stack(of_axes, dim=2))  # (P, position or side, axis)
        scaled = (by_shape[0] + by_shape[1]) * (size / divisor)[:, None]
        change = torch.cat((scaled[:, 0], scaled[:, 1] - (of_area[0] + of_area[1])), dim=1)
        return boxes + step_length * change, value

    def _weights(self, edges: Tensor, cells: Tensor, edge: slice, bin: slice) -> tuple[Tensor, Tensor]:
        """Along one axis of n cells: the bins' weights (P, K, n) and their derivatives (P, position or side, K, n)."""
        distance = (edges - cells).clamp(-1, 1)  # (P, E, n)
        magnitude = distance.abs()
        return (
            self.weight_of[bin, edge] @ hat_integral(distance, magnitude),
            self.slope_of[:, bin, edge] @ (1 - magnitude)[:, None],
        )

    def _pool(self, feature_map: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The map pooled along y (P, K, n, C), and along both (P, K, K, C)."""
        bins = x.shape[1]
        rows = (y.reshape(self.count * bins, -1) @ feature_map.flatten(1)).view(self.count, bins, -1, 256)
        return rows, x[:, None] @ rows

    def _transposed(self, at_pooled: Tensor, rows: Tensor, feature_map: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients at the weights along x and y (P, K, n), from that at the pooled map."""
        bins = x.shape[1]
        at_x = (at_pooled @ rows.transpose(2, 3)).sum(1)
        at_rows = (x.transpose(1, 2)[:, None] @ at_pooled).reshape(self.count * bins, -1)
        return at_x, (at_rows @ feature_map.flatten(1).T).view(self.count, bins, -1)


def _bin_matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Three matrices (E, 8) from edges to a bin's weight and its derivatives in the box's position and side (px).

    The first applies to the integral of the hat function, the others to the hat function. The 8 bins are the 5 at
    stride 8, then the 3 at stride 16.
    """
    weight, by_position, by_side = (torch.zeros(EDGES, _BINS, dtype=torch.float64) for _ in range(3))
    edge = column = 0
    for bins, scale in BRANCHES:
        for i in range(bins):
            for offset, sign in ((0, -1.0), (1, 1.0)):
                weight[edge + i + offset, column + i] = sign
                by_position[edge + i + offset, column + i] = sign * scale
                by_side[edge + i + offset, column + i] = sign * scale * (i + offset) / bins
        edge, column = edge + bins + 1, column + bins
    return weight, by_position, by_side


def _by_unit(weight: Tensor, bins: int) -> Tensor:
    """A weight of `FoldedHead` in the layout of the pooled maps (256, K * K * C)."""
    return weight.view(len(weight), bins**2, -1).permute(2, 1, 0).flatten(1).contiguous()


class OpenVinoRefiner:
    """See `Refiner`. It compiles at the first call for a number of proposals, or earlier, by `prepare`.

    Args:
        iou_net: in evaluation mode, on the CPU.
        channels: of the backbone's features at strides 8 and 16.
        crop_size: px.
        precision: of the maps, see `compile_module`; the ascent is computed in float32.

    The maps are computed around the proposals only. If the ascent leaves that window, it starts again with the whole
    maps, so the result always equals theirs.
    """

    def __init__(self, iou_net: IoUNet, channels: tuple[int, int], crop_size: int, precision: str = "float32") -> None:
        self._net, self._channels, self._crop_size, self._precision = iou_net, channels, crop_size, precision
        self._functions: dict[int, tuple[Request, Request]] = {}

    def prepare(self, proposals: int) -> None:
        """Compiles for `proposals` boxes and runs once, unless already done."""
        if proposals in self._functions:
            return
        cells = self._crop_size // 8
        features = Features(
            *(torch.zeros(1, c, n, n) for c, n in zip(self._channels, (cells, cells // 2), strict=True))
        )
        middle = self._crop_size * torch.tensor([[0.4, 0.4, 0.2, 0.2]])
        modulation = Modulation(torch.zeros(1, 256), torch.zeros(1, 256))
        self(features, modulation, middle.repeat(proposals, 1), Ascent(1, 0.0, whole=False))

    def __call__(
        self, features: Features, modulation: Modulation, proposals: Tensor, ascent: Ascent
    ) -> tuple[Tensor, Tensor]:
        """See `Refiner`."""
        low, high = _bounds(proposals)
        low, high = low - _MARGIN, high + _MARGIN
        if np.isfinite(high - low).all():
            window = Window.about(low, high, self._crop_size)
            climbed = self._ascend(features, modulation, proposals, ascent, window, (low, high))
            if climbed is not None:
                return climbed
        climbed = self._ascend(features, modulation, proposals, ascent, Window.whole(self._crop_size))
        assert climbed is not None, "the whole maps have no bounds"
        return climbed

    def maps(self, features: Features, boxes: Tensor) -> TestMaps:
        """See `Refiner`."""
        # The maps do not depend on the number of proposals, so any compiled ones serve.
        compute, _ = self._get(next(iter(self._functions), TrackerConfig().proposals))
        window = Window.about(*_bounds(boxes), self._crop_size)
        t3, t4 = (part.permute(2, 0, 1)[None] for part in compute(*window.cut(features)))
        columns3, rows3, columns4, rows4 = (span.start for span in window)
        return TestMaps(t3, t4, (columns3, rows3), (columns4, rows4))

    def _ascend(
        self,
        features: Features,
        modulation: Modulation,
        boxes: Tensor,
        ascent: Ascent,
        window: Window,
        bounds: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[Tensor, Tensor] | None:
        """The boxes and their predictions after the ascent in a window; None if a box leaves the bounds (low, high)."""
        maps, step = self._get(len(boxes))
        seen = *maps(*window.cut(features)), *window.cells(), *modulation, torch.tensor([ascent.step_length])
        climbed, value = step(boxes, *seen)
        for _ in range(ascent.steps):
            boxes = climbed
            if bounds and not _within(boxes, *bounds):
                return None
            climbed, value = step.again(boxes)
        return boxes, value

    def _get(self, proposals: int) -> tuple[Request, Request]:
        if proposals not in self._functions:
            maps, step = compile_ascent(self._net, self._channels, proposals, self._precision)
            self._functions[proposals] = Request(maps), Request(step)
        return self._functions[proposals]


def _bounds(boxes: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest x and y (2,) of boxes (P, 4)."""
    corners = boxes[:, :2].numpy()
    return corners.min(0), (corners + boxes[:, 2:].numpy()).max(0)


def _within(boxes: Tensor, low: np.ndarray, high: np.ndarray) -> bool:
    lowest, highest = _bounds(boxes)
    return bool((lowest >= low).all() and (highest <= high).all())


@lru_cache(maxsize=8)
def compile_ascent(
    net: IoUNet, channels: tuple[int, int], proposals: int, precision: str
) -> tuple[openvino.CompiledModel, ...]:
    """The compiled maps and step of the ascent, for windows of any size; all trackers of a network share them."""
    vector, modulation, any_size = (6,), (1, 256), (-1,)
    features = [((1, c, 8, 8), vector, vector) for c in channels]
    free = [((1, c, -1, -1), any_size, any_size) for c in channels]
    maps, boxes, rest = (4, 4, 256), (proposals, 4), (modulation, modulation, (1,))
    return (
        compile_module(WindowedMaps(net), (*features[0], *features[1]), (*free[0], *free[1]), precision),
        compile_module(
            AscentStep(net, proposals),
            (boxes, maps, maps, *((4,),) * 4, *rest),
            (boxes, (-1, -1, 256), (-1, -1, 256), *(any_size,) * 4, *rest),
        ),
    )
