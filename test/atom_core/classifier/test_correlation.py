# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F

from atom_core.classifier.correlation import Correlation, apply_filter, filter_to_taps, taps_to_filter


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_apply_filter_is_the_padded_convolution(k, memory_format):
    x, w = rand(3, 6, 8, 7).to(memory_format=memory_format), rand(1, 6, k, k, seed=1)
    before, after = k // 2, (k - 1) // 2  # 2 and 1 for the tracker's 4x4
    expected = F.conv2d(F.pad(x, (before, after, before, after)), w)
    torch.testing.assert_close(apply_filter(x, filter_to_taps(w)), expected)


def test_output_cell_sees_inputs_from_2_before_to_1_after():
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 4] = 1
    seen = apply_filter(x, torch.ones(16, 1))[0, 0].nonzero()
    # Input 4 is seen by the outputs i with i - 2 <= 4 <= i + 1.
    assert seen.min(0).values.tolist() == [3, 3]
    assert seen.max(0).values.tolist() == [6, 6]


@pytest.mark.parametrize("k", [3, 4])
def test_taps_and_filter_by_round_trip(k):
    w = rand(1, 5, k, k)
    assert torch.equal(taps_to_filter(filter_to_taps(w)), w)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_transposes(k):
    # <A x, y> = <x, A^T y> for each pair of a map and its transpose.
    samples = rand(3, 5, 6, 7)
    correlation = Correlation.over(samples, k)
    taps, responses, scores = rand(k * k, 5, seed=1), rand(3, 5 + k, 6 + k, seed=2), rand(3, 6, 7, seed=3)

    transposed = correlation.transposed(responses)
    torch.testing.assert_close((correlation.responses(taps) * responses).sum(), (taps * transposed).sum())
    inner = correlation.scores(responses)
    torch.testing.assert_close((inner * scores).sum(), (responses * correlation.surround(scores)).sum())


def test_channels_last_samples_are_not_copied():
    samples = rand(3, 5, 6, 7).contiguous(memory_format=torch.channels_last)
    assert Correlation.over(samples, 4).rows.data_ptr() == samples.data_ptr()


def test_products_in_bfloat16_round_their_factors_and_nothing_else():
    samples, taps = rand(3, 5, 6, 7).bfloat16(), rand(16, 5, seed=1).float()
    responses = rand(3, 9, 10, seed=2).float()
    correlation, exact = Correlation.over(samples, 4), Correlation.over(samples.double(), 4)
    assert correlation.responses(taps).dtype == correlation.transposed(responses).dtype == torch.float32
    # Each product of 5 terms, or of 126, is rounded once more when it is done: 2^-9 of it.
    expected = exact.responses(taps.bfloat16().double())
    torch.testing.assert_close(correlation.responses(taps).double(), expected, rtol=0, atol=16 * 2**-9 * 8)
    expected = exact.transposed(responses.bfloat16().double())
    torch.testing.assert_close(correlation.transposed(responses).double(), expected, rtol=2**-8, atol=1e-5)
