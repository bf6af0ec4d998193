# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Backbone features of many pairs, computed once and kept in memory as float16.

The backbone is frozen, so its features of a fixed crop never change; only the window about the target that the
proposals can reach is kept. A pair is a function of (seed, slot, version) alone, so that a bank can be rebuilt exactly.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from atom_core import boxes
from atom_core.backbone import Backbone, Features
from atom_core.engine import BackboneFunction
from atom_core.iou_net import FeatureWindow
from atom_core.training.config import TrainingConfig
from atom_core.training.datasets import Source
from atom_core.training.sampling import Crop, make_pair

_LOG = logging.getLogger(__name__)
_CHUNK = 8  # pairs a backbone pass


class Side(NamedTuple):
    """One side (reference or test) of N pairs: windows of features, where they begin, and the boxes in crop px."""

    stride8: Tensor  # (N, C8, w, w)
    stride16: Tensor  # (N, C16, w / 2 + 1, w / 2 + 1)
    origins: Tensor  # (N, 4): x, y at stride 8, x, y at stride 16
    boxes: Tensor  # (N, 4)

    def features(self) -> Features:
        """The windows of features, float32."""
        return Features(self.stride8.float(), self.stride16.float())

    def window(self) -> FeatureWindow:
        """Where they begin, each coordinate (N, 1)."""
        x8, y8, x16, y16 = self.origins[:, :, None].unbind(1)
        return FeatureWindow((x8, y8), (x16, y16))


class FeatureBank:
    """The features of `pairs` pairs drawn from sources.

    Args:
        run: the backbone, see `atom_core.engine.accelerate`.
        stream: told apart, two banks of one seed (training and validation) hold other pairs.
    """

    def __init__(
        self,
        sources: list[Source],
        backbone: Backbone,
        run: BackboneFunction,
        config: TrainingConfig,
        pairs: int,
        stream: int = 0,
    ) -> None:
        self._sources, self._run, self._config, self._stream = sources, run, config, stream
        odds = np.array([config.odds.get(source.name, 1.0) for source in sources])
        if not odds.any():
            raise ValueError(f"odds are 0 for every source of {', '.join(s.name for s in sources)}; name one above 0")
        self._odds = odds / odds.sum()
        self.versions = torch.full((pairs,), -1)
        window = config.window_cells
        self._windows = (window, min(window // 2 + 1, config.crop_size // 16))
        self.reference, self.test = (self._allocate(backbone, pairs) for _ in range(2))

    def _allocate(self, backbone: Backbone, pairs: int) -> Side:
        maps = [
            torch.empty(pairs, c, w, w, dtype=torch.float16)
            for c, w in zip(backbone.channels, self._windows, strict=True)
        ]
        return Side(*maps, torch.empty(pairs, 4), torch.empty(pairs, 4))

    def fill(self, versions: Tensor, description: str = "features") -> None:
        """Brings each slot to the given version (N,); slots that hold it already are left alone."""
        stale = (versions != self.versions).nonzero()[:, 0].tolist()
        chunks = [stale[i : i + _CHUNK] for i in range(0, len(stale), _CHUNK)]
        for slots in tqdm(chunks, desc=description, unit_scale=_CHUNK, unit="pair", mininterval=5, leave=False):
            pairs = [self._draw(slot, int(versions[slot])) for slot in slots]
            for side, crops in ((self.reference, [p[0] for p in pairs]), (self.test, [p[1] for p in pairs])):
                self._store(side, slots, crops)
        self.versions = versions.clone()

    def _draw(self, slot: int, version: int) -> tuple[Crop, Crop]:
        rng = np.random.default_rng((self._config.seed, self._stream, slot, version))
        for _ in range(100):
            source = self._sources[rng.choice(len(self._sources), p=self._odds)]
            try:
                return make_pair(*source.draw(rng), self._config, rng)
            except ValueError as error:  # an unreadable image costs one pair, not the run
                _LOG.warning("%s; another pair is drawn", error)
        raise RuntimeError("100 pairs in a row could not be read; see the warnings above")

    def _store(self, side: Side, slots: list[int], crops: Iterable[Crop]) -> None:
        crops = list(crops)
        pixels = torch.stack([crop.pixels for crop in crops])
        # Always the same batch size: its features' last bits may depend on it, and a resumed run must repeat them.
        pixels = F.pad(pixels, (0, 0, 0, 0, 0, 0, 0, _CHUNK - len(crops)))
        with torch.inference_mode():
            maps = self._run(pixels)
        for i, (slot, crop) in enumerate(zip(slots, crops, strict=True)):
            origins = []
            for kept, features, cells, stride in zip(side[:2], maps, self._windows, (8, 16), strict=True):
                first = boxes.center(crop.box) / stride - (cells - 1) / 2
                x, y = first.round().clamp(0, features.shape[-1] - cells).int().tolist()
                kept[slot] = features[i, :, y : y + cells, x : x + cells]
                origins += [x, y]
            side.origins[slot] = torch.tensor(origins)
            side.boxes[slot] = crop.box

    def batch(self, slots: Tensor) -> tuple[Side, Side]:
        """The (reference, test) sides of some slots (B,)."""
        return Side(*(t[slots] for t in self.reference)), Side(*(t[slots] for t in self.test))
