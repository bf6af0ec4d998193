# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Times a function, as a whole and by stage, on the CPU and on CUDA."""

from __future__ import annotations

import functools
import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from atom_core import observe, target, tracker
from atom_core.classifier.target_model import Classifier, SampleMemory, TargetModel
from atom_core.long_term.redetection import Redetection
from atom_core.networks.prepared import Networks

Result = TypeVar("Result")
REST = "rest"  # outside all stages


class Stage(NamedTuple):
    """A function of the tracker, named by the attribute through which it is called."""

    name: str  # several functions may make up one stage
    owner: Any  # module or class
    attribute: str


STAGES = (
    Stage("upload", tracker, "upload"),
    Stage("upload", observe, "upload_numbers"),
    Stage("crop", target, "sample_crop"),
    Stage("crop", observe, "gather"),
    Stage("crop", observe, "blend"),
    Stage("augmentation", target, "first_frame_crops"),
    Stage("backbone", Networks, "features"),
    Stage("modulation", Networks, "modulation"),
    Stage("classifier", Classifier, "project"),
    Stage("classifier", Classifier, "scores"),
    Stage("localization", observe, "find_peaks"),
    Stage("localization", observe, "target_position"),
    Stage("refinement", Networks, "refine"),
    Stage("fetch", observe, "fetch"),
    Stage("interpretation", observe, "interpret"),
    Stage("interpretation", Redetection, "recognise"),
    Stage("memory", SampleMemory, "insert"),
    Stage("learning", TargetModel, "learn_first_frame"),
    Stage("learning", TargetModel, "update"),
    Stage("learning", TargetModel, "begin_update"),
    Stage("learning", TargetModel, "advance_update"),
)


def timed(run: Callable[[], Result], device: torch.device) -> tuple[Result, float]:
    """Runs a function; returns its result and the seconds until the device finished, on CUDA by its own events."""
    if device.type != "cuda":
        started = time.perf_counter()
        result = run()
        return result, time.perf_counter() - started
    stream = torch.cuda.current_stream(device)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    stream.synchronize()  # otherwise work that is still queued would count
    begin.record(stream)
    result = run()
    end.record(stream)
    end.synchronize()
    return result, begin.elapsed_time(end) / 1e3


def staged(
    run: Callable[[], Result], device: torch.device, stages: Iterable[Stage] = STAGES
) -> tuple[Result, dict[str, float]]:
    """Runs a function; returns its result and the seconds of each stage that occurs and of the REST.

    The stages' functions are wrapped for the run and restored afterwards, so the tracker's code contains no timing and
    other measurements are not disturbed. Each stage waits for the device: on CUDA the sum exceeds the time of a frame
    whose stages overlap.
    """
    clock = _StageClock(device)
    with _wrapped(stages, clock):
        result, whole = timed(run, device)
    return result, {**clock.seconds, REST: whole - sum(clock.seconds.values())}


class _StageClock:
    """Adds up the seconds of stages. A nested stage counts for the outer one."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._device = device
        self._is_running = False

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time added to the stage of this name."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if self._is_running:
                return function(*args, **kwargs)
            self._is_running = True
            try:
                result, seconds = timed(lambda: function(*args, **kwargs), self._device)
            finally:
                self._is_running = False
            self.seconds[name] += seconds
            return result

        return wrapper


@contextmanager
def _wrapped(stages: Iterable[Stage], clock: _StageClock) -> Iterator[None]:
    """Wraps the stages' functions with the clock."""
    originals = [(stage, inspect.getattr_static(stage.owner, stage.attribute)) for stage in stages]
    try:
        for stage, original in originals:
            is_classmethod = isinstance(original, classmethod)
            wrapper = clock.wrap(stage.name, original.__func__ if is_classmethod else original)
            setattr(stage.owner, stage.attribute, classmethod(wrapper) if is_classmethod else wrapper)
        yield
    finally:
        for stage, original in originals:
            setattr(stage.owner, stage.attribute, original)


def statistics(seconds: Sequence[float]) -> dict[str, float] | None:
    """Number, median, 95th percentile and mean, in ms; None of nothing."""
    if not seconds:
        return None
    median, p95 = np.percentile(seconds, (50, 95)) * 1e3
    return {
        "count": len(seconds),
        "median_ms": float(median),
        "p95_ms": float(p95),
        "mean_ms": float(np.mean(seconds) * 1e3),
    }
