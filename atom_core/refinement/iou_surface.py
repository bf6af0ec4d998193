# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The predicted IoU as a function of the box, in one frame, and its ascent with a gradient in closed form.

The same function as `IoUNet.forward`, reshaped for the frame step. With PrRoI pooling as pooled = Wy F Wx^T / area
(see `atom_core.networks.prroi_pool`), the first linear layer sees each cell (h, w) of the map through each bin
(ky, kx) of the box by a weight wy(ky, h) * wx(kx, w). What a cell gives to the layer through a bin does not depend on
the box, so it is tabulated once a frame; a step of the ascent is then, for all proposals, one outer product of the
weights, one matrix product with the table, and the same backwards.

Everything that depends on the box in a step is a function of its bins' edges:

* the hat function's integral up to an edge, whose difference over a bin is the bin's weight of a cell;
* the hat function itself, which is the integral's derivative in the edge.

Both branches share one table, with zeros where one has nothing to say to the other's units, and small sums are written
as products and sums instead of matrix products: so a compiler makes few kernels of a step (see `atom_core.capture`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from atom_core.networks.iou_predictor import POOL3, POOL4, IoUNet, LinearBlock, Modulation, TestMaps

BRANCHES = ((POOL3, 1 / 8), (POOL4, 1 / 16))  # bins a side and cells a crop px, at strides 8 and 16
EDGES = sum(bins + 1 for bins, _ in BRANCHES)  # along one axis
_UNITS = 256  # of the layer behind each branch's pooling
_SMALLEST = 1e-3  # crop px: a side below it counts as so long


class FoldedHead(NamedTuple):
    """The predictor's layers behind the pooling, with batch normalisation folded in; the same for all targets.

    Weights are on pooled maps that are summed, not averaged, over a bin of one crop px².
    """

    weight3: Tensor  # (C, 5 * 5 * 256): channel; bin y, bin x, unit
    weight4: Tensor  # (C, 3 * 3 * 256)
    bias: Tensor  # (512,) of the two branches, one after the other
    output: Tensor  # (512,)
    output_bias: Tensor  # (1,)

    @classmethod
    def fold(cls, net: IoUNet, dtype: torch.dtype = torch.float32) -> FoldedHead:
        """The head of a network in evaluation mode."""
        weight3, bias3 = _fold(net.fc3_rt, *BRANCHES[0])
        weight4, bias4 = _fold(net.fc4_rt, *BRANCHES[1])
        tensors = weight3, weight4, torch.cat((bias3, bias4)), net.iou_predictor.weight[0], net.iou_predictor.bias
        return cls(*(tensor.detach().to(dtype) for tensor in tensors))


def _fold(block: LinearBlock, bins: int, scale: float) -> tuple[Tensor, Tensor]:
    weight, bias = block.without_batch_norm()
    # Along each axis: a bin of a side in px has side * scale / bins cells, by which the integral is to be divided.
    weight = weight.unflatten(1, (-1, bins, bins)) * (bins / scale) ** 2
    return weight.permute(1, 2, 3, 0).flatten(1).contiguous(), bias


def edge_matrix() -> Tensor:
    """(4, 2 * E): a box (x, y, width, height) in crop px, times this, are its bins' edges in cells: along x, along y.

    Along each axis there are E = 10 edges: 6 at stride 8, then 4 at stride 16.
    """
    matrix = torch.zeros(4, 2, EDGES, dtype=torch.float64)
    first = 0
    for bins, scale in BRANCHES:
        for axis in range(2):
            matrix[axis, axis, first : first + bins + 1] = scale
            matrix[2 + axis, axis, first : first + bins + 1] = (
                scale * torch.arange(bins + 1, dtype=torch.float64) / bins
            )
        first += bins + 1
    return matrix.flatten(1)


def hat_integral(clamped: Tensor, magnitude: Tensor) -> Tensor:
    """The hat function's integral less 1/2, of distances clamped to -1..1 and their magnitudes."""
    return torch.addcmul(clamped, clamped, magnitude, value=-0.5)


class Geometry(NamedTuple):
    """What no frame and no target changes."""

    grid: Tensor  # (n, 1) cells of the longest axis
    slopes: Tensor  # (E, 2) by how many cells an edge moves with the box's position and side, a px; so along y as x
    of_integral: Tensor  # (3,), and (E, 3): what a weight and its derivatives take of the hat function's integral
    of_hat: Tensor  # and of itself
    sides: Tensor  # (4,) -1 for width and height, which the area holds
    branch: Tensor  # (E,) long, of each edge
    by_box: Tensor  # (4,) long: among products of a derivative along y and one along x (3 * 3), those of x, y, w, h

    @classmethod
    def of(cls, cells: int) -> Geometry:
        """For maps of at most `cells` cells a side; float64, on the CPU."""
        slopes = edge_matrix()[0::2, :EDGES].T.contiguous()  # of x and width
        return cls(
            torch.arange(cells, dtype=torch.float64)[:, None],
            slopes,
            torch.tensor([1.0, 0, 0], dtype=torch.float64),
            F.pad(slopes, (1, 0)),
            torch.tensor([0.0, 0, -1, -1], dtype=torch.float64),
            torch.tensor([0] * (POOL3 + 1) + [1] * (POOL4 + 1)),
            torch.tensor([1, 3, 2, 6]),
        )

    def to(self, like: Tensor) -> Geometry:
        """On the device, and of the type, of another tensor."""
        moved = (t.to(like if t.is_floating_point() else like.device) for t in self)
        return Geometry(*moved)


class _Weights(NamedTuple):
    """A branch's weights along x or y for P boxes, in the first of the last three; then their derivatives in px."""

    x: Tensor  # (P, n, K, 3): of a cell, a bin: the weight, its derivative in the box's position, and in its side
    y: Tensor


class IoUSurface(NamedTuple):
    """Predicted 2 * IoU - 1 of boxes (P, 4), in crop px, in one frame."""

    table: Tensor  # (n * n * 5 * 5 + m * m * 3 * 3, 512): cell y, cell x, bin y, bin x; the branches' units
    cells: tuple[int, int]  # n and m, cells a side at strides 8 and 16
    head: FoldedHead
    geometry: Geometry
    offset: Tensor  # (axis, n, E) from each cell to the edges of a box without size at the crop's origin, in cells

    @classmethod
    def tabulate(cls, head: FoldedHead, geometry: Geometry, modulation: Modulation, maps: TestMaps) -> IoUSurface:
        """Of the first target's modulation and of one crop's maps, square, or square windows of them."""
        parts = [_tabulate(weight, t[0], c[0]) for weight, t, c in zip(head[:2], maps[:2], modulation, strict=True)]
        table = torch.cat([F.pad(part, sides) for part, sides in zip(parts, ((0, _UNITS), (_UNITS, 0)), strict=True)])
        cells = maps.t3.shape[-1], maps.t4.shape[-1]
        if isinstance(maps.origin3, Tensor) and isinstance(maps.origin4, Tensor):
            origins: tuple[Tensor, ...] = maps.origin3, maps.origin4
        else:
            origins = geometry.slopes.new_tensor((maps.origin3, maps.origin4)).unbind()
        of_edges = torch.stack(origins, dim=1).index_select(1, geometry.branch)  # (axis, E)
        return cls(table, cells, head, geometry, -of_edges[:, None] - geometry.grid)

    def value(self, boxes: Tensor) -> Tensor:
        """Predicted 2 * IoU - 1 (P,)."""
        hidden = self._hidden(self._weights(boxes), side_lengths(boxes))
        return (hidden.relu() @ self.head.output + self.head.output_bias).to(boxes.dtype)

    def ascend(self, boxes: Tensor, steps: int, step_length: float) -> tuple[Tensor, Tensor]:
        """Gradient ascent on it, `steps` times box += step_length * gradient * (w, h, w, h).

        Returns:
            the boxes (P, 4) and their predictions (P,).
        """
        for _ in range(steps):
            change, of_size = self._change(boxes)
            boxes = torch.addcdiv(boxes, change, of_size, value=step_length)
        return boxes, self.value(boxes)

    def gradient(self, boxes: Tensor) -> Tensor:
        """Its derivative in x, y, width and height (P, 4)."""
        change, of_size = self._change(boxes)
        return change / (of_size * side_lengths(boxes).repeat(1, 2))

    def _change(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient times (w, h, w, h) (P, 4), as a fraction: the divisor is (P, 1)."""
        weights, size = self._weights(boxes), side_lengths(boxes)
        at_hidden = (self._hidden(weights, size) > 0) * self.head.output
        by_cell = (at_hidden @ self.table.mT).to(boxes.dtype)  # (P, rows): the gain by each product of weights
        first = (self.cells[0] * POOL3) ** 2
        gains = []
        for i, part in enumerate((by_cell[:, :first], by_cell[:, first:])):
            n, k = self.cells[i], BRANCHES[i][0]
            x, y = weights[i]
            # For each cell and bin along y, the sums over those along x with the weight and its derivatives.
            along_x = (part.view(-1, n, n, k, k, 1) * x[:, None, :, None]).sum((2, 4))  # (P, n, K, 3)
            gains.append((y[..., None] * along_x[..., None, :]).sum((1, 2)))  # (P, 3, 3): the same along y, then x
        gain = gains[0] + gains[1]
        # What is gained by the pooled sums; by x, y, width and height.
        by_sums = gain[:, 0, :1]
        by_box = gain.flatten(1).index_select(1, self.geometry.by_box)
        # Pooling divides by the area, which a side changes.
        return torch.addcmul(by_sums * self.geometry.sides, by_box, size.repeat(1, 2)), area(size)

    def _hidden(self, weights: tuple[_Weights, _Weights], size: Tensor) -> Tensor:
        """(P, 512) before the ReLU."""
        products = [(y[:, :, None, :, None, 0] * x[:, None, :, None, :, 0]).flatten(1) for x, y in weights]
        sums = torch.cat(products, dim=1).to(self.table.dtype) @ self.table
        return torch.addcdiv(self.head.bias, sums, area(size).to(self.head.bias.dtype))

    def _weights(self, boxes: Tensor) -> tuple[_Weights, _Weights]:
        """Of both branches."""
        position, side = (part[..., None, None] for part in (boxes[:, :2], boxes[:, 2:]))  # (P, axis, 1, 1)
        slopes = self.geometry.slopes
        moved = torch.addcmul(self.offset, position, slopes[:, 0])
        distance = torch.addcmul(moved, side, slopes[:, 1]).clamp(-1, 1)  # (P, axis, n, E)
        magnitude = distance.abs()
        integral, hat = hat_integral(distance, magnitude)[..., None], (1 - magnitude)[..., None]
        functions = torch.addcmul(integral * self.geometry.of_integral, hat, self.geometry.of_hat)
        weights = functions[..., 1:, :] - functions[..., :-1, :]  # (P, axis, n, E - 1, 3)
        n, m = self.cells
        second = POOL3 + 1  # between the branches lies a difference that means nothing
        return (
            _Weights(*weights[:, :, :n, :POOL3].unbind(1)),
            _Weights(*weights[:, :, :m, second : second + POOL4].unbind(1)),
        )


def side_lengths(boxes: Tensor) -> Tensor:
    """Width and height (P, 2), at least _SMALLEST, so that quotients stay finite."""
    return boxes[:, 2:].clamp(min=_SMALLEST)


def area(size: Tensor) -> Tensor:
    """(P, 1)."""
    return size[:, :1] * size[:, 1:]


def _tabulate(weight: Tensor, maps: Tensor, modulation: Tensor) -> Tensor:
    """What each cell of maps (C, n, n) gives a layer (C, K * K * 256) through each bin (n * n * K * K, 256)."""
    cells = (maps * modulation[:, None, None]).flatten(1).T.to(weight.dtype)
    return (cells @ weight).view(-1, _UNITS)
