# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Activation ranges of the shipped backbones, for `atom_core.networks.int8`.

Measured by `atom-weights int8 NETWORK --images DATA/stills/bsds500/images` (80 of its 500 photographs, seed 0).
"""

# By `int8.fingerprint`: (low, high) of the input of each convolution but the first.
SHIPPED: dict[str, tuple[tuple[float, float], ...]] = {
    # efficientnet_lite0
    "4f9bac188e85dae7": (
        (0.0, 6.0),
        (0.0, 6.0),
        (-33.2598, 33.0),
        (0.0, 6.0),
        (0.0, 6.0),
        (-59.6661, 59.2),
        (0.0, 6.0),
        (0.0, 6.0),
        (-57.189, 56.7422),
        (0.0, 6.0),
        (0.0, 6.0),
        (-35.9811, 35.7),
        (0.0, 6.0),
        (0.0, 6.0),
        (-39.0501, 38.745),
        (0.0, 6.0),
        (0.0, 6.0),
        (-29.3392, 29.11),
        (0.0, 6.0),
        (0.0, 6.0),
        (-29.435, 29.205),
        (0.0, 6.0),
        (0.0, 6.0),
        (-33.3883, 33.1275),
        (0.0, 6.0),
        (0.0, 6.0),
        (-27.2731, 27.06),
        (0.0, 6.0),
        (0.0, 6.0),
        (-29.5433, 29.3125),
        (0.0, 6.0),
        (0.0, 6.0),
    ),
    # resnet18
    "675332ea8a48b594": (
        (0.0, 4.85894),
        (0.0, 2.04183),
        (0.0, 4.26149),
        (0.0, 2.57914),
        (0.0, 4.25924),
        (0.0, 1.98359),
        (0.0, 4.39715),
        (0.0, 3.33197),
        (0.0, 2.257),
        (0.0, 5.13147),
        (0.0, 2.57786),
        (0.0, 4.03844),
        (0.0, 3.89931),
        (0.0, 3.0138),
    ),
}

# Backbones with which five seeds on val and val2 showed no loss of accuracy in int8 (docs/performance.md).
AS_ACCURATE = frozenset({"675332ea8a48b594"})  # resnet18
