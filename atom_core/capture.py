# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The frame step and the filter's update, captured once and replayed, or else run operation by operation.

On a GPU a plain frame is about a hundred small kernels, and launching each from Python takes longer than running it.
torch.compile's "reduce-overhead" fuses them and has CUDA record them as one graph, which is then launched as a whole.
Capturing takes minutes, so it happens when the tracker warms up (or else at its first target) and never while it
follows one: a frame that does not fit what was captured is run operation by operation, and `Execution.state` says why.

PyTorch keeps CUDA graphs for the thread that recorded them. In another one they are recorded anew, likewise at the next
warming up or first target there; what was compiled is used again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from atom_core.classifier.target_model import GiveLesson, Lesson, improve_filter
from atom_core.frame_step import FrameNetworks, Numbers, Observation, Sight, see
from atom_core.networks.backbones import Features

Result = TypeVar("Result")

MODES = ("auto", "on", "off")
_REPLAYS = 3  # CUDA graphs are recorded at the second run of what was compiled, and replayed from the third on
_TOLERANCE = 0.05  # of the peaks' scores, between captured and not: what half precision may differ by
_UPDATE_TOLERANCE = 0.5, 0.005  # of an update: shares of how far it goes (rounding has made 0.4), and of the filter


# Makes the arguments of `see` anew at each call, for one search region and one sight: pixels, numbers, sights.
Example = Callable[[], tuple[Sequence[Tensor], Numbers, Sequence[Sight]]]


class Execution:
    """Runs `frame_step.see` and `target_model.improve_filter`.

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
        self._updates: dict[int, Callable[[Lesson], Tensor]] = {}  # by their number of iterations
        self._of_updates: tuple | None = None  # their constants
        self._reason = "not captured yet" if self._is_wanted else "capture is off"
        self._tried_in: int | None = None  # the thread in which capturing was tried last

    @property
    def state(self) -> str:
        """How frames are run: "captured", or "eager" and why."""
        return f"eager: {self._reason}" if self._reason else "captured"

    @property
    def is_settled(self) -> bool:
        """Whether `capture` has nothing left to try in this thread."""
        if self._replay is not None:
            return self._tried_in == threading.get_ident()
        return not self._is_wanted or self._tried_in is not None  # what failed once is not tried in each thread

    def renew(self) -> None:
        """Has the step captured anew at the next target, if that is wanted."""
        self._tried_in = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within it, frames are run operation by operation, so that their parts can be watched."""
        replay, updates = self._replay, self._updates
        self._replay, self._updates = None, {}
        try:
            yield
        finally:
            self._replay, self._updates = replay, updates

    def capture(
        self, example: Example, networks: FrameNetworks, lesson: GiveLesson, iterations: Collection[int]
    ) -> None:
        """Compiles and records the step and updates of so many iterations, if that is wanted.

        If it fails, frames are run as before, and `state` tells.

        Args:
            example: of a frame.
            networks: those of all frames to come.
            lesson: of a target.
            iterations: those of the updates to come.

        Raises:
            torch.OutOfMemoryError: if the device's memory is full.
        """
        if not self._is_wanted:
            return
        self._tried_in, self._replay, self._updates = threading.get_ident(), None, {}
        try:
            replay = self._capture_step(example, networks)
            updates = {n: self._capture_update(lesson, n) for n in sorted(set(iterations) - {0})}
        except torch.OutOfMemoryError:
            raise
        except _Differs as error:
            self._reason = f"captured, {error}"
        except Exception as error:  # compilers raise many kinds, and tracking can go on without
            self._reason = f"capturing failed with {type(error).__name__}: {_first_line(error)}"
        else:
            self._replay, self._constants, self._reason = replay, _constants(*example()), ""
            self._updates, self._of_updates = updates, _constants_of(lesson(True))

    def _capture_step(self, example: Example, networks: FrameNetworks) -> Callable[..., Observation]:
        replay = _compile(_see_through(networks))
        for _ in range(_REPLAYS):
            frame = example()
            scores = _run(replay, *frame).results[:, :2].float().cpu()
        expected = see(*frame, networks).results[:, :2].float().cpu()
        if not torch.allclose(scores, expected, atol=_TOLERANCE):
            raise _Differs(f"the scores were {scores.tolist()} instead of {expected.tolist()}")
        return replay

    def _capture_update(self, lesson: GiveLesson, iterations: int) -> Callable[[Lesson], Tensor]:
        replay = _compile(partial(improve_filter, iterations=iterations))
        for _ in range(_REPLAYS):
            taps = _run(replay, lesson(True)).cpu()
        learned = lesson(False)
        expected, before = improve_filter(learned, iterations).cpu(), learned.taps.cpu()
        error, change, scale = (float(t.abs().amax()) for t in (taps - expected, expected - before, expected))
        if not error <= _UPDATE_TOLERANCE[0] * change + _UPDATE_TOLERANCE[1] * scale:
            raise _Differs(
                f"an update of {iterations} iterations differed by {error:.2g} where it changes {change:.2g}"
            )
        return replay

    def improve(self, lesson: GiveLesson, iterations: int) -> Tensor:
        """See `target_model.improve_filter`."""
        replay = self._updates.get(iterations)
        if replay is not None and self.is_settled:
            whole = lesson(True)
            if _constants_of(whole) == self._of_updates:
                return _run(replay, whole).clone()  # the next replay writes in the same place
        return improve_filter(lesson(False), iterations)

    def see(
        self, pixels: Sequence[Tensor], numbers: Numbers, sights: Sequence[Sight], networks: FrameNetworks
    ) -> Observation:
        """See `frame_step.see`. What it returns is overwritten by the next frame's, where it is captured."""
        if self._replay is None:
            return see(pixels, numbers, sights, networks)
        if not self.is_settled:
            self._reason = "captured in another thread than the one that tracks"
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


class _Differs(Exception):
    """What was captured computes something else."""


def _compile(function: Callable[..., Result]) -> Callable[..., Result]:
    return torch.compile(function, fullgraph=True, dynamic=False, mode="reduce-overhead")


def _run(replay: Callable[..., Result], *arguments: Any) -> Result:
    torch.compiler.cudagraph_mark_step_begin()  # what the last replay returned is not needed any more
    return replay(*arguments)


def _constants(pixels: Sequence[Tensor], numbers: Numbers, sights: Sequence[Sight]) -> tuple:
    """What a graph is compiled for; with other constants it would be compiled anew."""
    (sight,) = sights
    shapes = tuple(tuple(t.shape) for t in (*pixels, *numbers, *sight.classifier, *sight.modulation))
    return shapes, sight.use_hann_window, sight.ascent


def _constants_of(lesson: Lesson) -> tuple:
    """The same of an update."""
    shapes = tuple(tuple(t.shape) for t in lesson[:-1])
    config = lesson.config
    return shapes, config.filter_size, config.hinge_slope, config.filter_regularization


def _cloned(seen: Observation) -> Observation:
    features = Features(*(f.clone() for f in seen.features))
    return Observation(seen.results.clone(), [sample.clone() for sample in seen.samples], features)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")
