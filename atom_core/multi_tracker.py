# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Several targets in the same images: one network, one upload, one pass of the backbone and one host read a frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atom_core.config import TrackerConfig
from atom_core.networks import weights
from atom_core.tracker import (
    Target,
    TrackResult,
    check_image,
    choose_device,
    finish_learning,
    follow,
    new_target,
    prepare_networks,
    upload,
    warm_up,
)


class MultiTracker:
    """Tracks several objects, each as an `AtomTracker` would. Not thread-safe.

    Targets whose search regions nearly agree share one crop and its features (see `atom_core.sharing`).

    Args:
        network: see `atom_core.networks.weights`; several trackers may share one.
        device: where it computes.
        config: of all targets; may be replaced between frames by setting `config`, see `AtomTracker`.
        precision: see `AtomTracker`.
        engine: see `AtomTracker`.
        max_targets: how many there may be at a time; None for any number.
        capture: see `AtomTracker`.
    """

    def __init__(
        self,
        network: weights.Network,
        device: torch.device,
        config: TrackerConfig,
        precision: str = "float32",
        engine: str = "auto",
        max_targets: int | None = None,
        capture: str = "auto",
    ) -> None:
        if max_targets is not None and max_targets < 1:
            raise ValueError(f"max_targets is {max_targets}; expected 1 or more, or None for any number")
        self.device = device
        self.network_name = network.name
        self.weights_sha256 = network.sha256
        self.config = config
        self.max_targets = max_targets
        self._networks = prepare_networks(network, device, config, precision, engine, capture)
        self._targets: dict[int, Target] = {}
        self._last_id = 0

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "default",
        device: str = "auto",
        config: TrackerConfig | None = None,
        precision: str = "float32",
        engine: str = "auto",
        max_targets: int | None = None,
        capture: str = "auto",
    ) -> MultiTracker:
        """A tracker with the weights of a shipped network or of a file; see `AtomTracker.from_pretrained`."""
        chosen = choose_device(device)
        network = weights.load(name_or_path)
        return cls(network, chosen, config or TrackerConfig(), precision, engine, max_targets, capture)

    @property
    def execution(self) -> str:
        """How frames are run: "captured", or "eager: " and why."""
        return self._networks.execution.state

    @property
    def is_ready(self) -> bool:
        """Whether warming up has nothing left to capture in the calling thread, see `atom_core.capture`."""
        return self._networks.execution.is_settled

    @property
    def target_ids(self) -> tuple[int, ...]:
        """Numbers of the targets, in the order in which they were added."""
        return tuple(self._targets)

    def add(self, image: np.ndarray, box: Sequence[float], target_id: int | None = None) -> int:
        """Learns one more target, or one anew. Where this raises, all targets are as before.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: (x, y, width, height) in px, see `atom_core.boxes`.
            target_id: of the target to be learned anew, or a number of the caller's choice for a new one, higher than
                all before it; by default the next.

        Returns:
            The target's number. Numbers grow and are never given to another target.

        Raises:
            ValueError: if the image or the box is unusable, there is no room, or the number is that of a target
                that was removed; the message says what is expected.
        """
        number = self._last_id + 1 if target_id is None else target_id
        if number not in self._targets:
            self._check_new(number)
        self._targets[number] = new_target(image, box, self._networks, self.config, self.device)
        self._last_id = max(self._last_id, number)
        return number

    def remove(self, target_id: int) -> bool:
        """Forgets a target; returns whether there was one."""
        return self._targets.pop(target_id, None) is not None

    def clear(self) -> None:
        """Forgets all targets; their numbers are not given again."""
        self._targets.clear()

    def track(self, image: np.ndarray, target_ids: Iterable[int] | None = None) -> dict[int, TrackResult]:
        """Finds the targets in the next image and learns from it.

        Args:
            image: (H, W, 3) uint8 RGB, of any size.
            target_ids: which targets; by default all. The others do not learn of the image.

        Returns:
            the result of each target by its number; nothing if there is no target.

        Raises:
            KeyError: if there is no target of such a number; no target has seen the image then.
            ValueError: if the image is unusable; the targets are kept.
        """
        check_image(image)
        chosen = self._choose(target_ids)
        if not chosen:
            return {}
        with torch.no_grad():
            results = follow(upload(image, self.device), list(chosen.values()), self._networks, self.config)
        return dict(zip(chosen, results, strict=True))

    def finish_frame(self) -> None:
        """Learns what the last frame left to learn, see `AtomTracker.finish_frame`."""
        finish_learning(list(self._targets.values()), self._networks)

    def warm_up(self) -> None:
        """Runs every stage once, see `AtomTracker.warm_up`; the targets are kept."""
        warm_up(self._networks, self.config, self.device)

    def state(self) -> dict[str, Any]:
        """All that is known of the targets, to be saved (`torch.save`) and given to `restore`; not a copy."""
        return {"targets": self._targets, "last_id": self._last_id}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from another tracker's `state` as that one would have: same network, configuration and device."""
        self._targets = dict(state["targets"])
        self._last_id = state["last_id"]

    def _choose(self, target_ids: Iterable[int] | None) -> dict[int, Target]:
        if target_ids is None:
            return self._targets
        chosen = tuple(target_ids)
        missing = [number for number in chosen if number not in self._targets]
        if missing:
            raise KeyError(f"there is no target {missing[0]}; there are {self._list()}")
        return {number: self._targets[number] for number in chosen}

    def _check_new(self, number: int) -> None:
        if number <= self._last_id:
            raise ValueError(
                f"there is no target {number}, and the number was given before; leave it out, or give one of those "
                f"that are followed ({self._list()}) or one above {self._last_id}"
            )
        if self.max_targets is not None and len(self._targets) >= self.max_targets:
            raise ValueError(
                f"there are {len(self._targets)} targets already ({self._list()}), and max_targets is "
                f"{self.max_targets}; remove one, give the number of the one to replace, or raise max_targets"
            )

    def _list(self) -> str:
        return ", ".join(map(str, self._targets)) or "none"
