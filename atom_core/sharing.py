# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Which targets may share a search region, so that its crop and its features are computed once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from atom_core.boxes import Region

MAX_OFFSET = 0.10  # between the centres of two regions, as a share of the smaller side
MAX_SIDE_RATIO = 1.10  # of their sides


def leaders(regions: Sequence[Region]) -> list[int]:
    """For each region, the index of the region to use: its own, or that of an earlier, similar one."""
    result: list[int] = []
    for number, region in enumerate(regions):
        own = (i for i in range(number) if result[i] == i and are_alike(regions[i], region))
        result.append(next(own, number))
    return result


def are_alike(a: Region, b: Region) -> bool:
    """Whether a target at the centre of one region is also found in the other."""
    smaller, larger = sorted((a[2], b[2]))
    offset = math.dist((a[0] + a[2] / 2, a[1] + a[2] / 2), (b[0] + b[2] / 2, b[1] + b[2] / 2))
    return offset <= MAX_OFFSET * smaller and larger <= MAX_SIDE_RATIO * smaller
