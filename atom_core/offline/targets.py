# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The targets of one recording, under the user's numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from atom_core.boxes import Box
from atom_core.config import TrackerConfig
from atom_core.offline.results import TargetResult
from atom_core.tracker import MultiTracker


class NumberedTargets:
    """A `MultiTracker` whose targets have numbers of the user's choice, in any order and reusable."""

    def __init__(self, network: str, device: str = "auto", config: TrackerConfig | None = None) -> None:
        """Loads a network; see `AtomTracker.from_pretrained` for arguments and exceptions."""
        self._tracker = MultiTracker.from_pretrained(network, device, config)
        self._numbers: dict[int, int] = {}  # the user's -> the tracker's, which are never reused

    @property
    def device(self) -> torch.device:
        """The device that it runs on."""
        return self._tracker.device

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the network's file."""
        return self._tracker.weights_sha256

    @property
    def description(self) -> str:
        """The network, its device and its engine."""
        return f"{self._tracker.network_name} on {self._tracker.device} by {self._tracker.engine}"

    def set(self, target_id: int, image: np.ndarray, box: Box) -> TargetResult:
        """Learns a target, or learns it again.

        Raises:
            ValueError: if the box cannot be used; the targets stay as they are.
        """
        self._numbers[target_id] = self._tracker.add(image, box, self._numbers.get(target_id))
        return TargetResult.given(target_id, box)

    def drop(self, target_id: int) -> None:
        """Forgets a target, if there is one of this number."""
        if target_id in self._numbers:
            self._tracker.remove(self._numbers.pop(target_id))

    def track(self, image: np.ndarray, leave_out: Collection[int] = ()) -> dict[int, TargetResult]:
        """Tracks the targets, except those in `leave_out`, in the next image (H, W, 3) uint8 RGB."""
        followed = {number: own for own, number in self._numbers.items() if own not in leave_out}
        found = self._tracker.track(image, list(followed))
        return {followed[number]: TargetResult.of_track(followed[number], result) for number, result in found.items()}

    def state(self) -> dict[str, Any]:
        """The complete state of the targets, to be saved and passed to `restore`."""
        return {"numbers": self._numbers, "tracker": self._tracker.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from a state, as if this object had tracked the targets until then."""
        self._numbers = dict(state["numbers"])
        self._tracker.restore(state["tracker"])
