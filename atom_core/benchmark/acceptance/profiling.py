# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A frame in PyTorch's profiler: launches, the device's busy time and gaps, the host's own time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

Result = TypeVar("Result")
_LAUNCH = re.compile(r"cu(da)?(LaunchKernel|GraphLaunch|LaunchCooperativeKernel|MemcpyAsync|MemsetAsync)")
_GRAPH = re.compile(r"cu(da)?GraphLaunch")
_WAIT = re.compile(r"cu(da)?((Stream|Device|Event|Ctx)Synchronize|Memcpy)")  # copies wait for pageable memory


class Span(NamedTuple):
    """A time interval, in microseconds on a common clock."""

    name: str
    start: float
    end: float
    is_on_device: bool


class Profile(NamedTuple):
    """One frame.

    Attributes:
        launches: calls that submit work to the device (kernels, graphs, copies); on the CPU, operators outside other
            operators.
        graph_launches: those of CUDA graphs.
        kernels: pieces of work on the device.
        busy_ms: time in which the device worked; on the CPU, time in operators.
        gap_ms: idle time between the first and the last of these.
        longest_gap_ms: the longest of the gaps.
        wait_ms: time in which the host waited for the device, or for a copy to or from it.
        host_ms: time of the frame without these waits.
    """

    launches: int
    graph_launches: int
    kernels: int
    busy_ms: float
    gap_ms: float
    longest_gap_ms: float
    wait_ms: float
    host_ms: float


def profiled(run: Callable[[], Result], device: torch.device) -> tuple[Result, Profile]:
    """Runs and profiles; the profiler itself makes launches slower."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities) as profiler:
        with torch.profiler.record_function(_FRAME):
            result = run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    spans = [
        Span(event.name, event.time_range.start, event.time_range.end, event.device_type == DeviceType.CUDA)
        for event in profiler.events() or ()
    ]
    return result, summarize(spans, device.type == "cuda")


_FRAME = "atom_tracker frame"


def summarize(spans: Iterable[Span], is_cuda: bool) -> Profile:
    """The figures of one frame's spans, which include that of the whole frame, named as in `profiled`.

    Raises:
        ValueError: if the whole frame's span is missing.
    """
    spans = list(spans)
    frame = next((span for span in spans if span.name == _FRAME and not span.is_on_device), None)
    if frame is None:
        raise ValueError(f"the profiler saw {len(spans)} events, and none of the frame")
    on_host = [span for span in spans if not span.is_on_device and frame.start <= span.start and span.end <= frame.end]
    on_host.remove(frame)
    # The profiler repeats the frame's own mark among the device's spans.
    on_device = [span for span in spans if span.is_on_device and span.name != _FRAME]
    launches = [span for span in on_host if _LAUNCH.match(span.name)] if is_cuda else outermost(on_host)
    work = on_device if is_cuda else launches
    busy, gaps = occupation(work)
    waits, _ = occupation([span for span in on_host if _WAIT.match(span.name)])
    return Profile(
        len(launches),
        sum(bool(_GRAPH.match(span.name)) for span in on_host),
        len(work),
        busy / 1e3,
        sum(gaps) / 1e3,
        max(gaps, default=0.0) / 1e3,
        waits / 1e3,
        (frame.end - frame.start - waits) / 1e3,
    )


def occupation(spans: Sequence[Span]) -> tuple[float, list[float]]:
    """The total time covered by spans, and the lengths of the gaps between them."""
    busy, gaps, until = 0.0, [], None
    for span in sorted(spans, key=lambda span: span.start):
        if until is not None and span.start > until:
            gaps.append(span.start - until)
        begin = span.start if until is None else max(span.start, until)
        busy += max(0.0, span.end - begin)
        until = span.end if until is None else max(until, span.end)
    return busy, gaps


def outermost(spans: Sequence[Span]) -> list[Span]:
    """The spans that are not inside another."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not found or span.end > found[-1].end:
            found.append(span)
    return found
