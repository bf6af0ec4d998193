# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The modes of a tracker on a device: precision, and eager or captured."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from atom_core.config import TrackerConfig
from atom_core.networks import weights
from atom_core.tracker import AtomTracker, choose_device

PRECISIONS = ("float32", "bfloat16", "float16")
CAPTURES = ("off", "graph")


@dataclass(frozen=True)
class Settings:
    """The device under test, and the network.

    Attributes:
        weights: shipped network or file.
        device: its name.
        config: of all trackers.
    """

    weights: str
    device: str
    config: TrackerConfig


@dataclass(frozen=True)
class Mode:
    """One way to run."""

    precision: str
    capture: str  # "off" or "graph"

    @property
    def name(self) -> str:
        """A name such as "float16 captured"."""
        return f"{self.precision} {'eager' if self.capture == 'off' else 'captured'}"

    def why_not(self, device: torch.device) -> str:
        """The reason why it is not available on a device; empty if it is."""
        return "CUDA graphs are for CUDA" if self.capture == "graph" and device.type != "cuda" else ""

    def build(self, settings: Settings) -> AtomTracker:
        """A tracker run by PyTorch, with its own copy of the weights."""
        network, device = weights.load(settings.weights), choose_device(settings.device)
        return AtomTracker(network, device, settings.config, self.precision, "torch", self.capture)


def build_reference(settings: Settings) -> AtomTracker:
    """The CPU's default tracker: float32, by OpenVINO if that is installed."""
    return AtomTracker(weights.load(settings.weights), torch.device("cpu"), settings.config)
