# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The classifier's filter over many samples, and its transpose, in the few operations that learning needs.

The filter is a convolution with one output channel. Here it is one matrix product, from D channels to the K*K taps of
each cell, and one shifted sum of the taps, which is far faster on the CPU than conv2d for one output channel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def filter_to_taps(weights: Tensor) -> Tensor:
    """A filter (1, D, K, K) as taps (K*K, D); row K*i + j is for the response i rows down, j columns right."""
    return weights[0].flatten(1).flip(1).T.contiguous()


def taps_to_filter(taps: Tensor) -> Tensor:
    """The inverse of `filter_to_taps`."""
    k = math.isqrt(len(taps))
    return taps.flip(0).T.reshape(1, -1, k, k)


class Correlation(NamedTuple):
    """The linear map from a filter's taps (K*K, D) to its responses at fixed samples.

    Responses (N, H+K-1, W+K-1) are computed wherever the filter touches the map. The scores (N, H, W) are those of the
    padded convolution: score cell i sees the inputs i - K//2 .. i + (K-1)//2, for the 4x4 filter i-2 .. i+1.

    Products are computed in the samples' type, float32 or bfloat16, everything else in the taps' type. A processor with
    bfloat16 instructions takes a quarter to half of the time for the products. In bfloat16 each product's factors are
    rounded to 8 bits; the sums are not.
    """

    rows: Tensor  # (N, H*W, D)
    height: int
    width: int
    k: int

    @classmethod
    def over(cls, samples: Tensor, k: int) -> Correlation:
        """Of samples (N, D, H, W) with a k x k filter. No copy if they are channels last in memory, or only one."""
        n, depth, height, width = samples.shape
        rows = samples.permute(0, 2, 3, 1).reshape(n, height * width, depth)
        return cls(rows.contiguous() if n > 1 else rows, height, width, k)  # else each transpose would copy them

    def responses(self, taps: Tensor) -> Tensor:
        """Taps (K*K, D) -> responses (N, H+K-1, W+K-1)."""
        factors = taps.to(self.rows.dtype).expand(len(self.rows), -1, -1)
        each = torch.bmm(factors, self.rows.mT).to(taps.dtype)  # (N, K*K, H*W)
        return _shifted_sum(each.unflatten(2, (self.height, self.width)), self.k)

    def transposed(self, responses: Tensor) -> Tensor:
        """The transpose of `responses`: (N, H+K-1, W+K-1) -> (K*K, D)."""
        return (self._windows(responses).to(self.rows.dtype) @ self.rows.flatten(0, 1)).to(responses.dtype)

    def transposed_plus(self, responses: Tensor, taps: Tensor, factor: float, sign: int = 1) -> Tensor:
        """Returns sign * transposed(responses) + factor * taps (K*K, D); one operation if the types are equal."""
        if self.rows.dtype == taps.dtype:
            cells = self.rows.flatten(0, 1)
            return torch.addmm(taps, self._windows(responses), cells, beta=factor, alpha=sign)
        return torch.add(factor * taps, self.transposed(responses), alpha=sign)

    def _windows(self, responses: Tensor) -> Tensor:
        """The response under each tap of each cell: (N, H+K-1, W+K-1) -> (K*K, N*H*W)."""
        windows = responses.unfold(1, self.height, 1).unfold(2, self.width, 1)  # (N, K, K, H, W)
        return windows.permute(1, 2, 0, 3, 4).contiguous().view(self.k**2, -1)

    def scores(self, responses: Tensor) -> Tensor:
        """The scores (N, H, W) among the responses."""
        start = (self.k - 1) // 2
        return responses[:, start : start + self.height, start : start + self.width]

    def surround(self, scores: Tensor) -> Tensor:
        """The transpose of `scores`: (N, H, W), zero-padded to (N, H+K-1, W+K-1)."""
        return F.pad(scores, ((self.k - 1) // 2, self.k // 2) * 2)


def _shifted_sum(each: Tensor, k: int) -> Tensor:
    """The sum of K*K maps (N, K*K, H, W), of which map K*i + j is shifted by i rows and j columns (N, H+K-1, W+K-1).

    Equals PyTorch's fold, which takes three times as long on the CPU. With K-1 columns and rows of zeros after each
    map, a shift is a step back in memory, and reads beyond an edge are zeros.
    """
    n, height, width = len(each), each.shape[2] + k - 1, each.shape[3] + k - 1
    padded = F.pad(each, (0, k - 1, 0, k - 1)).contiguous()
    cells = height * width
    shifted = padded.as_strided((n, k, k, cells), (k * k * cells, k * cells - width, cells - 1, 1))
    # One dimension after the other: PyTorch would sum cell by cell over both at once.
    return shifted.sum(2).sum(1).view(n, height, width)


def apply_filter(samples: Tensor, taps: Tensor) -> Tensor:
    """Samples (N, D, H, W), taps (K*K, D) -> raw scores (N, 1, H, W)."""
    correlation = Correlation.over(samples, math.isqrt(len(taps)))
    return correlation.scores(correlation.responses(taps))[:, None]
