# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The predicted IoU as a function of the box in one frame, and gradient ascent on it in closed form.

This is the function `IoUNet.forward`, reshaped for the frame step. PrRoI pooling is pooled = Wy F Wx^T / area (see
`atom_core.networks.prroi_pool`), so the first linear layer sees each cell (h, w) of the map through each bin (ky, kx)
of the box with the weight wy(ky, h) * wx(kx, w). The contribution of a cell through a bin does not depend on the box.
It is tabulated once a frame. A step of the ascent is then, for all proposals, one outer product of the weights, one
matrix product with the table, and both backwards.

A step depends on the box only through the edges of its bins:

* the integral of the hat function up to an edge: its difference over a bin is the bin's weight of a cell;
* the hat function itself: the derivative of that integral with respect to the edge.

Both branches share one table, which is zero between one branch's cells and the other's units. Small sums are written as
products and sums instead of matrix products. Both let a compiler make few kernels of a step (see `atom_core.capture`).
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
_SMALLEST = 1e-3  # crop px: shorter sides count as this long


class FoldedHead(NamedTuple):
    """The predictor's layers after the pooling, with batch normalisation folded in; the same for all targets.

    The weights apply to pooled maps that are sums, not means, over bins of one crop px².
    """

    weight3: Tensor  # (C, 5 * 5 * 256): channel; bin y, bin x, unit
    weight4: Tensor  # (C, 3 * 3 * 256)
    bias: Tensor  # (512,) of the two branches, concatenated
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
    # Along each axis a bin has side * scale / bins cells, and pooling divides the integral by that.
    weight = weight.unflatten(1, (-1, bins, bins)) * (bins / scale) ** 2
    return weight.permute(1, 2, 3, 0).flatten(1).contiguous(), bias


def edge_matrix() -> Tensor:
    """The matrix (4, 2 * E) that maps boxes (x, y, width, height) in crop px to the edges of their bins in cells.

    The edges along x come first, then those along y. Along each axis there are E = 10: 6 at stride 8, 4 at stride 16.
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
    """The integral of the hat function, minus 1/2, at distances clamped to -1..1; `magnitude` is their magnitude."""
    return torch.addcmul(clamped, clamped, magnitude, value=-0.5)


class Geometry(NamedTuple):
    """Constants of the surface, the same for all frames and targets."""

    grid: Tensor  # (n, 1) cells of the longest axis
    slopes: Tensor  # (E, 2) cells by which an edge moves per px of the box's position and side, along x as along y
    of_integral: Tensor  # (3,) factors of the hat function's integral in a weight and its two derivatives
    of_hat: Tensor  # (E, 3) factors of the hat function itself
    sides: Tensor  # (4,) -1 for width and height, since pooling divides by the area
    branch: Tensor  # (E,) long, the branch of each edge
    by_box: Tensor  # (4,) long: which of the 3 * 3 products of derivatives along y and x belong to x, y, w, h

    @classmethod
    def of(cls, cells: int) -> Geometry:
        """Constants for maps of at most `cells` cells a side; float64, on the CPU."""
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
        """A copy with the device and the type of another tensor."""
        moved = (t.to(like if t.is_floating_point() else like.device) for t in self)
        return Geometry(*moved)


class _Weights(NamedTuple):
    """The weights of a branch for P boxes along x and y, with their derivatives per px."""

    x: Tensor  # (P, n, K, 3): for each cell and bin the weight, its derivative in the box's position, and in its side
    y: Tensor


class IoUSurface(NamedTuple):
    """The predicted 2 * IoU - 1 of boxes (P, 4) in crop px, in one frame."""

    table: Tensor  # (n * n * 5 * 5 + m * m * 3 * 3, 512): cell y, cell x, bin y, bin x; the branches' units
    cells: tuple[int, int]  # n and m, cells a side at strides 8 and 16
    head: FoldedHead
    geometry: Geometry
    offset: Tensor  # (axis, n, E) cells from each cell to the edges of an empty box at the crop's origin

    @classmethod
    def tabulate(cls, head: FoldedHead, geometry: Geometry, modulation: Modulation, maps: TestMaps) -> IoUSurface:
        """The surface of the first target's modulation in one crop's maps, or in windows of them; both are square."""
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
        """Gradient ascent on the prediction: `steps` times box += step_length * gradient * (w, h, w, h).

        Returns:
            the boxes (P, 4) and their predictions (P,).
        """
        for _ in range(steps):
            change, of_size = self._change(boxes)
            boxes = torch.addcdiv(boxes, change, of_size, value=step_length)
        return boxes, self.value(boxes)

    def gradient(self, boxes: Tensor) -> Tensor:
        """The derivatives in x, y, width and height (P, 4)."""
        change, of_size = self._change(boxes)
        return change / (of_size * side_lengths(boxes).repeat(1, 2))

    def _change(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient times (w, h, w, h), as a numerator (P, 4) and a denominator (P, 1)."""
        weights, size = self._weights(boxes), side_lengths(boxes)
        at_hidden = (self._hidden(weights, size) > 0) * self.head.output
        by_cell = (at_hidden @ self.table.mT).to(boxes.dtype)  # (P, rows): the derivative in each product of weights
        first = (self.cells[0] * POOL3) ** 2
        gains = []
        for i, part in enumerate((by_cell[:, :first], by_cell[:, first:])):
            n, k = self.cells[i], BRANCHES[i][0]
            x, y = weights[i]
            # Sums over the cells and bins along x, weighted by the weight and its derivatives.
            along_x = (part.view(-1, n, n, k, k, 1) * x[:, None, :, None]).sum((2, 4))  # (P, n, K, 3)
            gains.append((y[..., None] * along_x[..., None, :]).sum((1, 2)))  # (P, 3, 3): along y, along x
        gain = gains[0] + gains[1]
        # The derivatives in the pooled sums, and in x, y, width and height.
        by_sums = gain[:, 0, :1]
        by_box = gain.flatten(1).index_select(1, self.geometry.by_box)
        # Pooling divides by the area, which a side changes.
        return torch.addcmul(by_sums * self.geometry.sides, by_box, size.repeat(1, 2)), area(size)

    def _hidden(self, weights: tuple[_Weights, _Weights], size: Tensor) -> Tensor:
        """The hidden units (P, 512) before the ReLU."""
        products = [(y[:, :, None, :, None, 0] * x[:, None, :, None, :, 0]).flatten(1) for x, y in weights]
        sums = torch.cat(products, dim=1).to(self.table.dtype) @ self.table
        return torch.addcdiv(self.head.bias, sums, area(size).to(self.head.bias.dtype))

    def _weights(self, boxes: Tensor) -> tuple[_Weights, _Weights]:
        """The weights of both branches."""
        position, side = (part[..., None, None] for part in (boxes[:, :2], boxes[:, 2:]))  # (P, axis, 1, 1)
        slopes = self.geometry.slopes
        moved = torch.addcmul(self.offset, position, slopes[:, 0])
        distance = torch.addcmul(moved, side, slopes[:, 1]).clamp(-1, 1)  # (P, axis, n, E)
        magnitude = distance.abs()
        integral, hat = hat_integral(distance, magnitude)[..., None], (1 - magnitude)[..., None]
        functions = torch.addcmul(integral * self.geometry.of_integral, hat, self.geometry.of_hat)
        weights = functions[..., 1:, :] - functions[..., :-1, :]  # (P, axis, n, E - 1, 3)
        n, m = self.cells
        second = POOL3 + 1  # the difference between the two branches has no meaning
        return (
            _Weights(*weights[:, :, :n, :POOL3].unbind(1)),
            _Weights(*weights[:, :, :m, second : second + POOL4].unbind(1)),
        )


def side_lengths(boxes: Tensor) -> Tensor:
    """Width and height (P, 2), at least `_SMALLEST`, so that quotients stay finite."""
    return boxes[:, 2:].clamp(min=_SMALLEST)


def area(size: Tensor) -> Tensor:
    """Width times height (P, 1)."""
    return size[:, :1] * size[:, 1:]


def _tabulate(weight: Tensor, maps: Tensor, modulation: Tensor) -> Tensor:
    """The contribution (n * n * K * K, 256) of each cell of maps (C, n, n) to a layer (C, K * K * 256), by bin."""
    cells = (maps * modulation[:, None, None]).flatten(1).T.to(weight.dtype)
    return (cells @ weight).view(-1, _UNITS)
