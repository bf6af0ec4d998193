# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Refines proposals with the IoU predictor in PyTorch: from a crop's features to the boxes after the ascent.

Proposals reach only part of the crop, so the ascent uses a window of the test branch's maps around them. The window has
a fixed size, which keeps shapes static. It covers the ascent of targets of usual shape; long and thin targets use the
whole maps. `atom_core.refinement.openvino_refiner` fits its window to the proposals.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from atom_core.networks.backbones import Features
from atom_core.networks.engine import fold_batch_norm
from atom_core.networks.iou_predictor import IoUNet, Modulation, TestMaps
from atom_core.refinement.iou_surface import FoldedHead, Geometry, IoUSurface

_WINDOW = (20, 10)  # cells a side at strides 8 and 16
_REACH = 36.0  # crop px by which proposals exceed a side of the box: jitter of centre and size, ascent, and a cell


class Ascent(NamedTuple):
    """Settings of the gradient ascent."""

    steps: int
    step_length: float
    whole: bool  # use the whole maps, see `needs_whole_maps`


class Refiner(Protocol):
    """Ascends proposals on the predicted IoU."""

    def __call__(
        self, features: Features, modulation: Modulation, proposals: Tensor, ascent: Ascent
    ) -> tuple[Tensor, Tensor]:
        """The boxes (P, 4) after the ascent, and the 2 * IoU - 1 (P,) predicted for them.

        Args:
            features: of one crop.
            modulation: of one target, (1, 256) each.
            proposals: (P, 4) in crop px; a fixed window is centred on the first.
            ascent: its settings.
        """
        ...

    def maps(self, features: Features, boxes: Tensor) -> TestMaps:
        """The test branch's maps (1, ...) of one crop, float32: whole, or the part that the boxes cover.

        Args:
            features: of one crop.
            boxes: (P, 4) in crop px, on the CPU.
        """
        ...

    def prepare(self, proposals: int) -> None:
        """Compiles for `proposals` boxes in advance, so that the first frame takes no longer."""
        ...


def needs_whole_maps(width: float, height: float, search_area_factor: float, crop_size: int = 288) -> bool:
    """Whether the proposals of a target of this size (in any unit) may leave the window, as for long and thin ones."""
    longer = (max(width, height) / min(width, height)) ** 0.5 * crop_size / search_area_factor  # crop px
    return longer + _REACH > 8 * _WINDOW[0]


def window_sizes(cells: tuple[int, int], whole: bool) -> tuple[int, int]:
    """Sides of the windows at strides 8 and 16, from those of the maps, in cells."""
    return cells if whole else (min(cells[0], _WINDOW[0]), min(cells[1], _WINDOW[1]))


def window_origins(box: Tensor, cells: tuple[int, int], window: tuple[int, int]) -> Tensor:
    """First cells (2, 2) of the windows around a box (4,): (x, y) at each stride. The windows lie within the maps."""
    center = box[:2] + box[2:] / 2
    pairs = zip((1 / 8, 1 / 16), cells, window, strict=True)
    return torch.stack([(center * s - (part - 1) / 2).round().clamp(0, whole - part) for s, whole, part in pairs])


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[None]:
    """A context in which networks compute in this precision."""
    return nullcontext() if precision == torch.float32 else torch.autocast(device.type, precision)


@dataclass(frozen=True)
class TorchRefiner:
    """The refiner in PyTorch: on any device, with static shapes and no host read.

    Attributes:
        test_maps: the test branch's maps of a crop's features, see `IoUNet.test_maps`.
        head: its layers after the pooling, in `precision`.
        geometry: float32, on the same device.
        precision: of the convolutions and matrix products.
    """

    test_maps: Callable[[Features], TestMaps]
    head: FoldedHead
    geometry: Geometry
    precision: torch.dtype = torch.float32

    @classmethod
    def of(cls, iou_net: IoUNet, crop_size: int, precision: torch.dtype = torch.float32) -> TorchRefiner:
        """The refiner of a network on its device, for crops of `crop_size` px."""
        like = iou_net.iou_predictor.bias
        test_maps = fold_batch_norm(iou_net).test_maps
        return cls(test_maps, FoldedHead.fold(iou_net, precision), Geometry.of(crop_size // 8).to(like), precision)

    def maps(self, features: Features, boxes: Tensor) -> TestMaps:
        """See `Refiner`; the whole maps."""
        with autocast(features.stride8.device, self.precision):
            maps = self.test_maps(features)
        return maps._replace(t3=maps.t3.float(), t4=maps.t4.float())

    def prepare(self, proposals: int) -> None:
        """See `Refiner`; nothing needs compiling."""

    def __call__(
        self, features: Features, modulation: Modulation, proposals: Tensor, ascent: Ascent
    ) -> tuple[Tensor, Tensor]:
        """See `Refiner`."""
        with autocast(proposals.device, self.precision):
            maps = self.test_maps(features)
        cells = maps.t3.shape[-1], maps.t4.shape[-1]
        window = window_sizes(cells, ascent.whole)
        if window != cells:
            maps = _cut(maps, window_origins(proposals[0], cells, window), window)
        geometry = self.geometry._replace(grid=self.geometry.grid[: window[0]])
        surface = IoUSurface.tabulate(self.head, geometry, modulation, maps)
        return surface.ascend(proposals, ascent.steps, ascent.step_length)


def _cut(maps: TestMaps, origins: Tensor, window: tuple[int, int]) -> TestMaps:
    """Windows of the maps with `window` cells a side, from the cells `origins` (2, 2)."""
    cut = []
    for t, origin, cells in zip(maps[:2], origins, window, strict=True):
        columns, rows = (origin[:, None] + torch.arange(cells, device=t.device)).long()
        cut.append(t.index_select(2, rows).index_select(3, columns))
    return TestMaps(*cut, *origins)
