# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Times of each mode by the device's own events (on the CPU by the host's clock), and the profiler's figures."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from atom_core.benchmark.acceptance.modes import CAPTURES, Mode, Settings
from atom_core.benchmark.acceptance.profiling import Profile, profiled
from atom_core.benchmark.acceptance.sheet import Sheet, Status
from atom_core.benchmark.memory import memory, reset_peak
from atom_core.benchmark.scene import DrawnScene
from atom_core.benchmark.session import KINDS, TrackedScene, observe
from atom_core.benchmark.timing import timed
from atom_core.tracker import choose_device

Result = TypeVar("Result")
SIZE = (640, 480)
TARGET = 150.0  # images per second required of an H100, captured, one target, images of SIZE
HOST_TARGET = 1.0  # ms of the host's own time in such a frame
_H100 = re.compile(r"\bH[12]00\b")
_PROFILED = 3  # frames; the one with the median host time is reported


def time_modes(sheet: Sheet, settings: Settings, precision: str, frames: int) -> None:
    """Adds the lines of each mode of a precision, from `frames` frames of each kind."""
    device = choose_device(settings.device)
    for mode in (Mode(precision, capture) for capture in CAPTURES):
        if reason := mode.why_not(device):
            sheet.add(mode.name, Status.SKIPPED, reason)
            continue
        with sheet.attempt(mode.name):
            _time_mode(sheet, settings, mode, device, frames)


def _time_mode(sheet: Sheet, settings: Settings, mode: Mode, device: torch.device, frames: int) -> None:
    meter = partial(clocked, device=device)
    started = time.perf_counter()
    tracker = mode.build(settings)
    loaded = time.perf_counter()
    tracker.warm_up()
    warmed = time.perf_counter()
    reset_peak(device)
    video = TrackedScene(tracker, DrawnScene(*SIZE))
    video.initialize(1, meter)
    initialize = video.initialize(3, meter)
    whole = [reading for _, reading in video.follow(frames, meter)]
    plain, update = (observe(video, kind, frames, meter).readings for kind in KINDS[:2])
    held = memory(device)
    seen = None
    with sheet.attempt(f"{mode.name}, profiler"):  # drivers may forbid it; the times do not need it
        seen = _median_profile(observe(video, KINDS[0], _PROFILED, partial(profiled, device=device)).readings)
    figures = {
        "load_s": loaded - started,
        "warm_up_s": warmed - loaded,
        "initialize_ms": _median_ms(reading.device for reading in initialize),
        "video_ms": float(np.mean([reading.device for reading in whole]) * 1e3),
        "plain_ms": _median_ms(reading.device for reading in plain),
        "plain_wall_ms": _median_ms(reading.wall for reading in plain),
        "update_ms": _median_ms(reading.device for reading in update),
        **(seen._asdict() if seen else {}),
        "memory_mb": held.get("gpu_peak_mb", held["host_mb"]),
    }
    text = (
        f"{tracker.execution}; mean frame {figures['video_ms']:.2f} ms, {1e3 / figures['video_ms']:.0f} images a second"
    )
    sheet.add(mode.name, Status.TOLD, text, **figures)
    if device.type == "cuda" and mode.capture == "graph":
        judge_targets(sheet, mode, torch.cuda.get_device_name(device), figures["video_ms"], seen)


def judge_targets(sheet: Sheet, mode: Mode, gpu: str, video_ms: float, seen: Profile | None) -> None:
    """Adds checks on an H100 or H200, plain figures on other devices."""
    rate = 1e3 / video_ms
    counts = bool(_H100.search(gpu))

    def add(name: str, is_right: bool, text: str) -> None:
        status = (Status.PASSED if is_right else Status.FAILED) if counts else Status.TOLD
        sheet.add(f"{mode.name}, {name}", status, f"{text} on {gpu}")

    add("rate", rate >= TARGET, f"{rate:.0f} images a second; at least {TARGET:.0f} are wanted of an H100")
    if seen:
        text = f"{seen.host_ms:.2f} ms of the host in a frame; at most {HOST_TARGET:.0f} is wanted"
        add("host", seen.host_ms <= HOST_TARGET, text)


class Clocks(NamedTuple):
    """How long something took, in seconds."""

    device: float  # by the device's own events, see `timed`
    wall: float  # by the host's clock


def clocked(run: Callable[[], Result], device: torch.device) -> tuple[Result, Clocks]:
    """Runs and times with both clocks."""
    started = time.perf_counter()
    result, of_device = timed(run, device)
    return result, Clocks(of_device, time.perf_counter() - started)


def _median_ms(seconds: Iterable[float]) -> float | None:
    values = list(seconds)
    return float(np.median(values) * 1e3) if values else None


def _median_profile(profiles: Sequence[Profile]) -> Profile | None:
    return sorted(profiles, key=lambda one: one.host_ms)[len(profiles) // 2] if profiles else None
