# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of a frame from spans made by hand, and from the profiler itself on the CPU."""

import pytest
import torch

from atom_core.benchmark.acceptance.profiling import Span, occupation, outermost, profiled, summarize

FRAME = "atom_tracker frame"


def spans_of(*rows: tuple, on_device: bool = False) -> list[Span]:
    return [Span(name, start, end, on_device) for name, start, end in rows]


def test_occupation_and_gaps_by_hand() -> None:
    spans = spans_of(("a", 0, 10), ("b", 5, 8), ("c", 12, 20), ("d", 18, 22), ("e", 30, 31))
    assert occupation(spans) == (10 + 10 + 1, [2, 8])
    assert occupation([]) == (0.0, [])


def test_spans_within_others_are_left_out() -> None:
    spans = spans_of(("inner", 1, 3), ("outer", 0, 5), ("next", 5, 9), ("same", 0, 5))
    assert [span.name for span in outermost(spans)] == ["outer", "next"]


def test_a_captured_frame_on_cuda_by_hand() -> None:
    host = spans_of(
        (FRAME, 0, 1000),
        ("aten::copy_", 10, 60),
        ("cudaMemcpyAsync", 20, 50),
        ("cudaGraphLaunch", 100, 140),
        ("cudaLaunchKernel", 150, 160),
        ("cudaLaunchKernelExC", 160, 170),
        ("cudaStreamSynchronize", 200, 900),
        ("cudaLaunchKernel", 1100, 1110),  # after the frame
    )
    device = spans_of(
        ("Memcpy HtoD", 60, 90),
        ("conv", 120, 420),
        ("mm", 420, 520),
        ("row", 620, 820),
        (FRAME, 0, 1000),
        on_device=True,
    )
    found = summarize(host + device, is_cuda=True)
    assert (found.launches, found.graph_launches, found.kernels) == (4, 1, 4)
    assert found.busy_ms == pytest.approx(0.63)
    assert (found.gap_ms, found.longest_gap_ms) == pytest.approx((0.13, 0.1))
    assert (found.wait_ms, found.host_ms) == pytest.approx((0.73, 0.27))


def test_a_frame_that_the_profiler_did_not_see_is_an_error() -> None:
    with pytest.raises(ValueError, match="saw 1 events, and none of the frame"):
        summarize(spans_of(("aten::mm", 0, 1)), is_cuda=False)


def test_operators_on_the_cpu_are_counted_once() -> None:
    matrix = torch.rand(64, 64)
    result, found = profiled(lambda: (matrix @ matrix).relu(), torch.device("cpu"))
    assert result.shape == (64, 64)
    assert (found.launches, found.kernels, found.graph_launches) == (2, 2, 0)
    assert 0 < found.busy_ms <= found.host_ms and found.wait_ms == 0
