# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Backbone features of many pairs, computed once and held in memory as float16.

The backbone is frozen, so its features of a fixed crop never change; only the window around the target that the
proposals can reach is kept. A pair is a function of (seed, slot, version) alone, so a bank can be rebuilt exactly and
divided between processes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from atom_core import boxes
from atom_core.networks.backbones import Backbone, Features
from atom_core.networks.engine import BackboneFunction
from atom_core.networks.iou_predictor import FeatureWindow
from atom_core.training.config import TrainingConfig
from atom_core.training.datasets import Source
from atom_core.training.distributed import Group
from atom_core.training.sampling import Crop, make_pair

_LOG = logging.getLogger(__name__)
_CHUNK = 8  # pairs a backbone pass
Pair = tuple[Crop, Crop]


class Side(NamedTuple):
    """One side (reference or test) of N pairs: feature windows, their positions, the K targets' boxes in crop px."""

    stride8: Tensor  # (N, C8, w, w)
    stride16: Tensor  # (N, C16, w / 2 + 1, w / 2 + 1)
    origins: Tensor  # (N, 4): x, y at stride 8, x, y at stride 16
    boxes: Tensor  # (N, K, 4)

    def to(self, device: torch.device) -> Side:
        """The same on a device."""
        if device.type == "cuda":  # from pinned memory the copy runs beside the computation
            return Side(*(t.pin_memory().to(device, non_blocking=True) for t in self))
        return Side(*(t.to(device) for t in self))

    def features(self) -> Features:
        """The windows of features, float32."""
        return Features(self.stride8.float(), self.stride16.float())

    def window(self) -> FeatureWindow:
        """Where they begin, each coordinate (N, 1)."""
        x8, y8, x16, y16 = self.origins[:, :, None].unbind(1)
        return FeatureWindow((x8, y8), (x16, y16))


class FeatureBank:
    """The features of pairs drawn from sources, in host memory, for the slots that this process owns.

    Args:
        run: the backbone on the group's device, see `atom_core.networks.engine.accelerate`.
        pairs: slots of all processes together.
        stream: separates banks of the same seed (training and validation), so that they hold different pairs.
        group: the processes that share the slots.
        readers: number of threads that read images.
    """

    def __init__(
        self,
        sources: list[Source],
        backbone: Backbone,
        run: BackboneFunction,
        config: TrainingConfig,
        pairs: int,
        stream: int = 0,
        group: Group | None = None,
        readers: int = 1,
    ) -> None:
        self._sources, self._run, self._config, self._stream = sources, run, config, stream
        self._group, self._readers = group or Group(), readers
        odds = np.array([config.odds.get(source.name, 1.0) for source in sources])
        if not odds.any():
            raise ValueError(f"odds are 0 for every source of {', '.join(s.name for s in sources)}; name one above 0")
        self._odds = odds / odds.sum()
        self.versions = torch.full((pairs,), -1)
        window = config.window_cells
        self._windows = (window, min(window // 2 + 1, config.crop_size // 16))
        own = int(self._group.owns(torch.arange(pairs)).sum())
        self.reference, self.test = (self._allocate(backbone, own) for _ in range(2))

    def _allocate(self, backbone: Backbone, pairs: int) -> Side:
        stride8, stride16 = (
            torch.empty(pairs, c, w, w, dtype=torch.float16)
            for c, w in zip(backbone.channels, self._windows, strict=True)
        )
        return Side(stride8, stride16, torch.empty(pairs, 4), torch.empty(pairs, self._config.targets.count, 4))

    def fill(self, versions: Tensor, description: str = "features") -> None:
        """Computes the given version (N,) of each slot; slots that already hold it are skipped."""
        stale = (versions != self.versions).nonzero()[:, 0]
        slots = stale[self._group.owns(stale)].split(_CHUNK)
        bar = tqdm(
            total=len(stale), desc=description, unit="pair", mininterval=5, leave=False, disable=not self._group.is_main
        )
        for chunk, pairs in self._drawn([s.tolist() for s in slots], versions):
            for side, crops in ((self.reference, [p[0] for p in pairs]), (self.test, [p[1] for p in pairs])):
                self._store(side, chunk, crops)
            bar.update(len(chunk) * self._group.size)
        bar.close()
        self.versions = versions.clone()

    def _drawn(self, chunks: list[list[int]], versions: Tensor) -> Iterator[tuple[list[int], list[Pair]]]:
        """The pairs of each chunk of slots; those of the next chunk are read in the meantime."""
        with ThreadPoolExecutor(self._readers) as readers:
            ahead: deque[tuple[list[int], list[Future[Pair]]]] = deque()
            for chunk in chunks:
                ahead.append((chunk, [readers.submit(self._draw, slot, int(versions[slot])) for slot in chunk]))
                if len(ahead) == 2:
                    slots, pairs = ahead.popleft()
                    yield slots, [pair.result() for pair in pairs]
            for slots, pairs in ahead:
                yield slots, [pair.result() for pair in pairs]

    def _draw(self, slot: int, version: int) -> Pair:
        rng = np.random.default_rng((self._config.seed, self._stream, slot, version))
        for _ in range(100):
            source = self._sources[rng.choice(len(self._sources), p=self._odds)]
            try:
                return make_pair(*source.draw(rng), self._config, rng)
            except ValueError as error:  # an unreadable image costs one pair, not the run
                _LOG.warning("%s; another pair is drawn", error)
        raise OSError("100 pairs in a row could not be read; see the warnings above")

    def _store(self, side: Side, slots: list[int], crops: Iterable[Crop]) -> None:
        crops = list(crops)
        pixels = torch.stack([crop.pixels for crop in crops])
        # Always the same batch size: its features' last bits may depend on it, and a resumed run must repeat them.
        pixels = F.pad(pixels, (0, 0, 0, 0, 0, 0, 0, _CHUNK - len(crops)))
        with torch.inference_mode():
            maps = [m.cpu() for m in self._run(pixels.to(self._group.device))]
        for i, (slot, crop) in enumerate(zip(slots, crops, strict=True)):
            place, origins = slot // self._group.size, []
            for kept, features, cells, stride in zip(side[:2], maps, self._windows, (8, 16), strict=True):
                first = boxes.center(crop.boxes[0]) / stride - (cells - 1) / 2
                x, y = first.round().clamp(0, features.shape[-1] - cells).int().tolist()
                kept[place] = features[i, :, y : y + cells, x : x + cells]
                origins += [x, y]
            side.origins[place] = torch.tensor(origins)
            side.boxes[place] = crop.boxes

    def batch(self, slots: Tensor) -> tuple[Side, Side]:
        """The (reference, test) sides of some of this process's slots (B,)."""
        places = slots // self._group.size
        return Side(*(t[places] for t in self.reference)), Side(*(t[places] for t in self.test))
