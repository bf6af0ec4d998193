# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The model that all targets of a tracker share: the networks, and the execution of frames and updates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from atom_core.capture import Captured, Execution
from atom_core.classifier.target_model import MakeBatch, TrainingBatch, improve_filter
from atom_core.confidence import Calibration
from atom_core.networks import weights
from atom_core.networks.prepared import Networks, prepare_networks
from atom_core.observe import StepOutputs, captured_step

_TOLERANCE = 0.5, 0.005  # of an update: as shares of its length (rounding caused up to 0.4), and of the filter


@dataclass(frozen=True)
class Model:
    """The networks, and the execution of frames and updates."""

    networks: Networks
    execution: Execution
    step: Captured[StepOutputs]  # see `atom_core.observe.step`
    updates: dict[int, Captured[Tensor]] = field(default_factory=dict)  # by their number of iterations
    calibration: Calibration | None = None  # of the results' confidence; None: the network's file has none

    @classmethod
    def prepare(
        cls,
        network: weights.Network,
        device: torch.device,
        crop_size: int,
        precision: str = "float32",
        engine: str = "auto",
        capture: str = "auto",
    ) -> Model:
        """See `atom_core.tracker.AtomTracker`.

        Raises:
            ValueError: if the precision, the engine or the capture mode is unknown or cannot be used.
        """
        execution = Execution(capture, device)
        if engine == "auto" and capture == "inductor":
            engine = "torch"  # OpenVINO cannot be part of a graph
        networks = prepare_networks(network, device, crop_size, precision, engine)
        return cls(networks, execution, captured_step(networks), calibration=network.calibration)

    def capture(
        self, step_example: Callable[[], Sequence[Any]], make_batch: MakeBatch, iterations: Collection[int]
    ) -> None:
        """Captures the step, and updates with these numbers of iterations, if enabled; see `Execution.capture`.

        Args:
            step_example: makes the arguments of `observe.step` for one target.
            make_batch: from a target's classifier.
            iterations: of the updates to capture.
        """
        self.updates.clear()
        for count in sorted(set(iterations) - {0}):
            self.updates[count] = Captured(partial(improve_filter, iterations=count), partial(_difference, count))
        examples = [(update, lambda: (make_batch(True),)) for update in self.updates.values()]
        self.execution.capture([(self.step, step_example), *examples])

    def improve(self, make_batch: MakeBatch, iterations: int) -> Tensor:
        """See `improve_filter`; replayed if it was captured."""
        update = self.updates.get(iterations)
        if update is not None and self.execution.can_replay:
            whole = make_batch(True)
            if update.fits(whole):
                return update.replay(whole).clone()  # the next replay writes in the same place
        return improve_filter(make_batch(False), iterations)


def _difference(iterations: int, result: Tensor, expected: Tensor, arguments: tuple[TrainingBatch]) -> str:
    """Describes how an update differs from the expected one; empty if that is tolerable."""
    error, change, scale = (float(t.abs().amax()) for t in (result - expected, expected - arguments[0].taps, expected))
    if error <= _TOLERANCE[0] * change + _TOLERANCE[1] * scale:
        return ""
    return f"an update of {iterations} iterations differed by {error:.2g} where it changes {change:.2g}"
