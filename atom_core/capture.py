# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The frame step captured once and replayed, or run operation by operation where that cannot be.

On a GPU a plain frame is about a hundred small kernels, and launching each from Python takes longer than running it.
torch.compile's "reduce-overhead" fuses them and has CUDA record them as one graph, which is then launched as a whole.
Capturing takes a minute, so it happens when the tracker warms up (or else at its first target) and never while it
follows one: a frame that does not fit what was captured is run operation by operation, and `Execution.state` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from atom_core.backbone import Features
from atom_core.frame_step import FrameNetworks, Numbers, Observation, Sight, see

MODES = ("auto", "on", "off")
_REPLAYS = 3  # CUDA graphs are recorded at the second run of what was compiled, and replayed from the third on
_TOLERANCE = 0.05  # of the peaks' scores, between captured and not: what half precision may differ by


# Makes the arguments of `see` anew at each call, for one search region and one sight: pixels, numbers, sights.
Example = Callable[[], tuple[Sequence[Tensor], Numbers, Sequence[Sight]]]


class Execution:
    """Runs `frame_step.see`.

    Args:
        mode: "on"; "off"; or "auto", which is "on" for CUDA.
        device: where it computes.

    Raises:
        ValueError: if the mode is unknown.
    """

    def __init__(self, mode: str, device: torch.device) -> None:
        if mode not in MODES:
            raise ValueError(f"unknown capture mode {mode!r}; expected one of {', '.join(MODES)}")
        self._is_wanted = mode == "on" or (mode == "auto" and device.type == "cuda")
        self._replay: Callable[..., Observation] | None = None
        self._constants: tuple | None = None  # of the graph that was captured
        self._reason = "not captured yet" if self._is_wanted else "capture is off"
        self.is_settled = not self._is_wanted  # whether `capture` has nothing left to try

    @property
    def state(self) -> str:
        """How frames are run: "captured", or "eager" and why."""
        return f"eager: {self._reason}" if self._reason else "captured"

    def renew(self) -> None:
        """Has the step captured anew at the next target, if that is wanted."""
        self.is_settled = not self._is_wanted

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within it, frames are run operation by operation, so that their parts can be watched."""
        replay, self._replay = self._replay, None
        try:
            yield
        finally:
            self._replay = replay

    def capture(self, example: Example, networks: FrameNetworks) -> None:
        """Compiles and records the step, if that is wanted. If it fails, frames are run as before, and `state` tells.

        Raises:
            torch.OutOfMemoryError: if the device's memory is full.
        """
        if not self._is_wanted:
            return
        self.is_settled, self._replay = True, None
        try:
            replay = torch.compile(_see_through(networks), fullgraph=True, dynamic=False, mode="reduce-overhead")
            for _ in range(_REPLAYS):
                frame = example()
                scores = _run(replay, *frame).results[:, :2].float().cpu()
            expected = see(*frame, networks).results[:, :2].float().cpu()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers raise many kinds, and tracking can go on without
            self._reason = f"capturing failed with {type(error).__name__}: {_first_line(error)}"
            return
        if not torch.allclose(scores, expected, atol=_TOLERANCE):
            self._reason = f"captured, the scores were {scores.tolist()} instead of {expected.tolist()}"
            return
        self._replay, self._constants, self._reason = replay, _constants(*frame), ""

    def see(
        self, pixels: Sequence[Tensor], numbers: Numbers, sights: Sequence[Sight], networks: FrameNetworks
    ) -> Observation:
        """See `frame_step.see`. What it returns is overwritten by the next frame's, where it is captured."""
        if self._replay is None:
            return see(pixels, numbers, sights, networks)
        if len(sights) > 1:
            return self._see_each(pixels, numbers, sights, networks)
        if _constants(pixels, numbers, sights) != self._constants:
            self._reason = "settings or the target's shape differ from what was captured"
            return see(pixels, numbers, sights, networks)
        self._reason = ""
        return _run(self._replay, pixels, numbers, sights)

    def _see_each(
        self, pixels: Sequence[Tensor], numbers: Numbers, sights: Sequence[Sight], networks: FrameNetworks
    ) -> Observation:
        """One replay for each sight: a graph for each number of targets would have to be captured in time."""
        seen = []
        for i, sight in enumerate(sights):
            one = Numbers(numbers.taps[sight.crop, None], numbers.limits[i, None], numbers.proposals[i, None])
            of_sight = self.see([pixels[sight.crop]], one, [sight._replace(crop=0)], networks)
            seen.append(_cloned(of_sight))  # the next replay writes in the same place
        results, samples, features = zip(*seen, strict=True)
        of_crop = {sight.crop: one for sight, one in zip(sights, features, strict=True)}
        joined = [torch.cat([of_crop[crop][i] for crop in range(len(pixels))]) for i in range(2)]
        return Observation(torch.cat(results), [sample for (sample,) in samples], Features(*joined))


def _see_through(networks: FrameNetworks) -> Callable[..., Observation]:
    """`see` with networks that never change; a function of its own, so that each capture is compiled for itself."""

    def see_captured(pixels: Sequence[Tensor], numbers: Numbers, sights: Sequence[Sight]) -> Observation:
        return see(pixels, numbers, sights, networks)

    return see_captured


def _run(
    replay: Callable[..., Observation], pixels: Sequence[Tensor], numbers: Numbers, sights: Sequence[Sight]
) -> Observation:
    torch.compiler.cudagraph_mark_step_begin()  # what the last replay returned is not needed any more
    return replay(pixels, numbers, sights)


def _constants(pixels: Sequence[Tensor], numbers: Numbers, sights: Sequence[Sight]) -> tuple:
    """What a graph is compiled for; with other constants it would be compiled anew."""
    (sight,) = sights
    shapes = tuple(tuple(t.shape) for t in (*pixels, *numbers, *sight.classifier, *sight.modulation))
    return shapes, sight.use_hann_window, sight.ascent


def _cloned(seen: Observation) -> Observation:
    features = Features(*(f.clone() for f in seen.features))
    return Observation(seen.results.clone(), [sample.clone() for sample in seen.samples], features)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")
