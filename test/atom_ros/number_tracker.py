# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for `MultiTracker` whose answers are known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

import numpy as np
import torch

from atom_core.config import TrackerConfig
from atom_core.result import TrackResult, TrackState

BOX = (1.0, 1.0, 3.0, 4.0)  # of every target in every image
OUT_OF_MEMORY = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee documentation")


class NumberTracker:
    """Returns each image's first value, its number, as every target's score. A gate stands for slow computing."""

    network_name = "numbers"
    weights_sha256 = "0" * 64
    engine = "counting, float32"
    execution = "eager: capture is off"
    is_ready = True
    warmed_in = ""  # name of the thread in which it was warmed up

    def __init__(self, device: str = "cpu") -> None:
        """On "cuda" without one: nothing is computed there, and `failure` stands for what it may do."""
        self.config = TrackerConfig()
        self.device = torch.device(device)
        self.target_ids: tuple[int, ...] = ()
        self.added_on: list[int] = []
        self.tracked: list[int] = []  # numbers of the images
        self.tracked_ids: list[tuple[int, ...]] = []  # targets followed in each of them
        self.on_finish: Callable[[], None] = lambda: None
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.failure: Exception | None = None
        self.state = TrackState.TRACKING

    def add(self, image: np.ndarray, box: tuple[float, ...], target_id: int) -> int:
        self._wait()
        self.added_on.append(int(image[0, 0, 0]))
        self.target_ids = tuple(sorted({*self.target_ids, target_id}))
        return target_id

    def track(self, image: np.ndarray, target_ids: Collection[int]) -> dict[int, TrackResult]:
        self._wait()
        number = int(image[0, 0, 0])
        self.tracked.append(number)
        self.tracked_ids.append(tuple(target_ids))
        assert set(target_ids) <= set(self.target_ids)
        return {n: TrackResult(BOX, float(number), 0.5, self.state, False) for n in target_ids}

    def finish_frame(self) -> None:
        self.on_finish()

    def remove(self, target_id: int) -> bool:
        had = target_id in self.target_ids
        self.target_ids = tuple(n for n in self.target_ids if n != target_id)
        return had

    def clear(self) -> None:
        self.target_ids = ()

    def warm_up(self) -> None:
        self._wait()
        self.warmed_in = threading.current_thread().name

    def _wait(self) -> None:
        self.busy.set()
        assert self.gate.wait(60)
        self.busy.clear()
        if self.failure is not None:
            raise self.failure
