# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The predicted IoU as a function of the box, in one frame, and its ascent with a gradient in closed form.

The same function as `IoUNet.forward`, reshaped for the frame step. With PrRoI pooling as pooled = Wy F Wx^T / area
(see `atom_core.prroi_pool`), the first linear layer sees each cell (h, w) of the map through each bin (ky, kx) of the
box by a weight wy(ky, h) * wx(kx, w). What a cell gives to the layer through a bin does not depend on the box, so it is
tabulated once a frame; a step of the ascent is then, for all proposals, one outer product of the weights, one matrix
product with the table, and the same backwards.

Everything that depends on the box in a step is a function of its bins' edges:

* the hat function's integral up to an edge, whose difference over a bin is the bin's weight of a cell;
* the hat function itself, which is the integral's derivative in the edge.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from atom_core.iou_net import POOL3, POOL4, IoUNet, LinearBlock, Modulation, TestMaps
from atom_core.prroi_pool import Origin

_BRANCHES = ((POOL3, 1 / 8), (POOL4, 1 / 16))  # bins a side and cells a crop px, at strides 8 and 16
_EDGES = sum(bins + 1 for bins, _ in _BRANCHES)  # along one axis
_BINS = sum(bins for bins, _ in _BRANCHES)
# The products of a weight along y and one along x that a step needs: the pooling's own, and its derivatives in the
# box's x, y, width and height. 0: the bin's weight; 1: its derivative in the position; 2: in the side.
_ALONG_Y, _ALONG_X = (0, 0, 1, 0, 2), (0, 1, 0, 2, 0)
_SMALLEST = 1e-3  # crop px: a side below it counts as so long


class FoldedHead(NamedTuple):
    """The predictor's layers behind the pooling, with batch normalisation folded in; the same for all targets.

    Weights are on pooled maps in the order bin y, bin x, channel, summed, not averaged, over a bin of one crop px².
    """

    weight3: Tensor  # (256, 5 * 5 * C)
    weight4: Tensor  # (256, 3 * 3 * C)
    bias: Tensor  # (512,) of the two branches, one after the other
    output: Tensor  # (512,)
    output_bias: Tensor  # (1,)

    @classmethod
    def fold(cls, net: IoUNet, dtype: torch.dtype = torch.float32) -> FoldedHead:
        """The head of a network in evaluation mode."""
        weight3, bias3 = _fold(net.fc3_rt, *_BRANCHES[0])
        weight4, bias4 = _fold(net.fc4_rt, *_BRANCHES[1])
        tensors = weight3, weight4, torch.cat((bias3, bias4)), net.iou_predictor.weight[0], net.iou_predictor.bias
        return cls(*(tensor.detach().to(dtype) for tensor in tensors))


def _fold(block: LinearBlock, bins: int, scale: float) -> tuple[Tensor, Tensor]:
    gain = block.bn.weight * (block.bn.running_var + block.bn.eps).rsqrt()
    weight = block.linear.weight.unflatten(1, (-1, bins, bins)) * gain[:, None, None, None]
    # Along each axis: a bin of a side in px has side * scale / bins cells, by which the integral is to be divided.
    weight = weight * (bins / scale) ** 2
    bias = (block.linear.bias - block.bn.running_mean) * gain + block.bn.bias
    return weight.permute(0, 2, 3, 1).flatten(1).contiguous(), bias


def edge_matrix() -> Tensor:
    """(4, 2 * E): a box (x, y, width, height) in crop px, times this, are its bins' edges in cells: along x, along y.

    Along each axis there are E = 10 edges: 6 at stride 8, then 4 at stride 16.
    """
    matrix = torch.zeros(4, 2, _EDGES, dtype=torch.float64)
    first = 0
    for bins, scale in _BRANCHES:
        for axis in range(2):
            matrix[axis, axis, first : first + bins + 1] = scale
            matrix[2 + axis, axis, first : first + bins + 1] = (
                scale * torch.arange(bins + 1, dtype=torch.float64) / bins
            )
        first += bins + 1
    return matrix.flatten(1)


def bin_matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Three (E, 8): what a bin's weight and its derivatives in the box's position and side (px) take of its edges.

    The first is on the hat function's integral, the others on the hat function itself. The 8 bins are the 5 at stride
    8, then the 3 at stride 16.
    """
    weight, by_position, by_side = (torch.zeros(_EDGES, _BINS, dtype=torch.float64) for _ in range(3))
    edge = column = 0
    for bins, scale in _BRANCHES:
        for i in range(bins):
            for offset, sign in ((0, -1.0), (1, 1.0)):
                weight[edge + i + offset, column + i] = sign
                by_position[edge + i + offset, column + i] = sign * scale
                by_side[edge + i + offset, column + i] = sign * scale * (i + offset) / bins
        edge, column = edge + bins + 1, column + bins
    return weight, by_position, by_side


def hat_integral(clamped: Tensor, magnitude: Tensor) -> Tensor:
    """The hat function's integral less 1/2, of distances clamped to -1..1 and their magnitudes."""
    return torch.addcmul(clamped, clamped, magnitude, value=-0.5)


class Geometry(NamedTuple):
    """What no frame and no target changes."""

    edges: Tensor  # (4, 20), see `edge_matrix`
    bins: Tensor  # (20, 5 * 2 * 8): the hat function's integral and itself at an axis's edges -> its bins' weights
    grid: Tensor  # (n,) cells of the longest axis

    @classmethod
    def of(cls, cells: int) -> Geometry:
        """For maps of so many cells a side, at most; float64, on the CPU.

        `bins` has, for each of the five products and for each axis, x first, the 8 bins' weights.
        """
        weight, by_position, by_side = bin_matrices()
        zeros = torch.zeros_like(weight)
        kinds = torch.cat((weight, zeros)), torch.cat((zeros, by_position)), torch.cat((zeros, by_side))
        bins = torch.stack([torch.stack((kinds[x], kinds[y]), 1) for y, x in zip(_ALONG_Y, _ALONG_X, strict=True)], 1)
        return cls(edge_matrix(), bins.flatten(1), torch.arange(cells, dtype=torch.float64))

    def to(self, like: Tensor) -> Geometry:
        """On the device, and of the type, of another tensor."""
        return Geometry(*(tensor.to(like) for tensor in self))


class IoUSurface(NamedTuple):
    """Predicted 2 * IoU - 1 of boxes (P, 4), in crop px, in one frame."""

    tables: tuple[Tensor, Tensor]  # (n * 5 * n * 5, 256), (m * 3 * m * 3, 256): cell y, bin y, cell x, bin x
    head: FoldedHead
    geometry: Geometry
    offset: Tensor  # (20,) the edges, in cells, of a box without size at the crop's origin: less the windows' origins

    @classmethod
    def tabulate(cls, head: FoldedHead, geometry: Geometry, modulation: Modulation, maps: TestMaps) -> IoUSurface:
        """Of the first target's modulation and of one crop's maps, square, or square windows of them."""
        tables = tuple(
            _tabulate(weight, t[0], c[0], bins)
            for weight, t, c, (bins, _) in zip(head[:2], maps[:2], modulation, _BRANCHES, strict=True)
        )
        return cls(tables, head, geometry, edge_offset(maps.origin3, maps.origin4, geometry.edges))

    def value(self, boxes: Tensor) -> Tensor:
        """Predicted 2 * IoU - 1 (P,)."""
        hidden = self._hidden(self._products(boxes), side_lengths(boxes))
        return (hidden.relu() @ self.head.output + self.head.output_bias).to(boxes.dtype)

    def ascend(self, boxes: Tensor, steps: int, step_length: float) -> tuple[Tensor, Tensor]:
        """Gradient ascent on it, `steps` times box += step_length * gradient * (w, h, w, h).

        Returns:
            the boxes (P, 4) and what is predicted for them (P,).
        """
        for _ in range(steps):
            boxes = boxes + step_length * self.gradient(boxes, relative=True)
        return boxes, self.value(boxes)

    def gradient(self, boxes: Tensor, relative: bool = False) -> Tensor:
        """Its derivative in x, y, width and height (P, 4); `relative`: times (w, h, w, h)."""
        products, size = self._products(boxes), side_lengths(boxes)
        hidden = self._hidden(products, size)
        at_hidden = torch.where(hidden > 0, self.head.output, 0).chunk(2, dim=1)
        # (P, 5): what is gained by each of the products. The first tells how the value scales with the pooled sums.
        gains = [
            torch.bmm(product, (at @ table.mT)[..., None])[..., 0]
            for product, at, table in zip(products, at_hidden, self.tables, strict=True)
        ]
        gain = (gains[0] + gains[1]).to(boxes.dtype) / area(size)
        # Pooling divides by the area, which a side changes.
        by_all = torch.cat((gain[:, 1:3] * size, gain[:, 3:] * size - gain[:, :1]), dim=1)
        return by_all if relative else by_all / size.repeat(1, 2)

    def _hidden(self, products: list[Tensor], size: Tensor) -> Tensor:
        """(P, 512) before the ReLU."""
        sums = [product[:, 0] @ table for product, table in zip(products, self.tables, strict=True)]
        return torch.addcdiv(self.head.bias, torch.cat(sums, dim=1), area(size).to(self.head.bias.dtype))

    def _products(self, boxes: Tensor) -> list[Tensor]:
        """For each branch (P, 5, rows of its table): the products of weights named by `_ALONG_Y` and `_ALONG_X`."""
        at = torch.addmm(self.offset, boxes, self.geometry.edges).view(-1, 1, 2, _EDGES)
        distance = (at - self.geometry.grid[:, None, None]).clamp(-1, 1)  # (P, n, 2, E)
        magnitude = distance.abs()
        functions = torch.cat((hat_integral(distance, magnitude), 1 - magnitude), dim=-1)
        # (P, n, 2, 5, 2, 8): of a cell, from the edges along an axis; of a product, for an axis, a bin.
        weights = (functions @ self.geometry.bins).unflatten(-1, (5, 2, _BINS))
        x, y = weights[:, :, 0, :, 0], weights[:, :, 1, :, 1]  # (P, n, 5, 8)
        products, first = [], 0
        for (k, _), table in zip(_BRANCHES, self.tables, strict=True):
            cells = round((len(table) / k**2) ** 0.5)
            along_y, along_x = (w[:, :cells, :, first : first + k].transpose(1, 2) for w in (y, x))  # (P, 5, cells, k)
            products.append((along_y[..., None, None] * along_x[:, :, None, None]).flatten(2).to(table.dtype))
            first += k
        return products


def side_lengths(boxes: Tensor) -> Tensor:
    """Width and height (P, 2), at least _SMALLEST: then what is divided by them stays finite."""
    return boxes[:, 2:].clamp(min=_SMALLEST)


def area(size: Tensor) -> Tensor:
    """(P, 1)."""
    return size[:, :1] * size[:, 1:]


def _tabulate(weight: Tensor, maps: Tensor, modulation: Tensor, bins: int) -> Tensor:
    """What each cell of maps (C, n, n) gives a layer (256, bins² * C) through each bin (n * bins * n * bins, 256)."""
    cells = maps.shape[-1]
    layer = weight.view(len(weight), bins**2, -1).permute(2, 1, 0).flatten(1)  # (C, bins² * 256)
    rows = (maps * modulation[:, None, None]).flatten(1).T.to(weight.dtype) @ layer
    return rows.view(cells, cells, bins, bins, -1).transpose(1, 2).flatten(0, 3)


def edge_offset(origin3: Origin, origin4: Origin, like: Tensor) -> Tensor:
    """(20,): minus the windows' origins (x, y) in cells, at each edge, as `edge_matrix` has them."""
    if not isinstance(origin3[0], Tensor):
        origin3, origin4 = (like.new_tensor(origin) for origin in (origin3, origin4))
    origins = torch.stack((*origin3, *origin4)).to(like.dtype).view(2, 2)  # (branch, axis)
    each = [origins[i, :, None].expand(2, bins + 1) for i, (bins, _) in enumerate(_BRANCHES)]
    return -torch.cat(each, dim=1).flatten()
