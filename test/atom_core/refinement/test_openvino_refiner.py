# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO's window and its compiled networks. `test_torch_refiner` tests the boxes of both refiners."""

import ctypes

import numpy as np
import pytest
import torch

pytest.importorskip("openvino", reason="OpenVINO is not installed")

from atom_core.networks import weights
from atom_core.refinement.openvino_refiner import OpenVinoRefiner, Window, compile_ascent
from atom_core.refinement.torch_refiner import Ascent

SIZE = 288
PROPOSALS = torch.tensor([[115.0, 110, 57, 60], [112, 115, 60, 50], [120, 105, 45, 70]])


def test_the_window_holds_all_cells_that_boxes_within_its_bounds_can_see():
    # x 20..61, y 97..130: at stride 8 cells 2.5..7.625 and 12.125..16.25; at stride 16 1.25..3.8125 and 6.0625..8.125.
    low, high = np.array((20.0, 97)), np.array((61.0, 130))
    # Seven cells become eight: there are even numbers of them.
    assert Window.about(low, high, SIZE) == (range(2, 10), range(12, 18), range(1, 5), range(6, 10))
    # Beside the crop: the nearest cells.
    assert Window.about(low - 500, high - 500, SIZE) == (range(2),) * 4
    assert Window.about(low + 500, high + 500, SIZE) == (range(34, 36),) * 2 + (range(16, 18),) * 2
    assert Window.whole(SIZE) == (range(36),) * 2 + (range(18),) * 2


def test_one_compiled_network_serves_all():
    network = weights.load("default")
    crops = 255 * torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    def refine():
        refiner = OpenVinoRefiner(network.iou_net, network.backbone.channels, SIZE)
        return refiner(features, modulation, PROPOSALS, Ascent(1, 1.0, whole=False))

    with torch.no_grad():
        features = network.backbone(crops)
        modulation = network.iou_net.modulation(features, PROPOSALS[:1])
        for _ in range(2):
            refine()
        before = compile_ascent.cache_info().misses
        refine()
    assert compile_ascent.cache_info().misses == before


def _malloc_in_use() -> int:
    """Bytes that the C library has given out."""

    class Info(ctypes.Structure):
        _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLINFO2)

    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Info
    info = mallinfo2()
    return info.uordblks + info.hblkhd


_MALLINFO2 = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc 2.33 or later")
def test_windows_of_ever_new_sizes_take_no_more_memory() -> None:
    """OpenVINO compiles operators for each size, 2 MB together; without a limit, 120 of them take some 330 MB."""
    network = weights.load("default")
    refiner = OpenVinoRefiner(network.iou_net, network.backbone.channels, SIZE)
    generator = np.random.default_rng(0)
    crops = 255 * torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = network.backbone(crops)
        modulation = network.iou_net.modulation(features, PROPOSALS[:1])
        refiner.prepare(len(PROPOSALS))
        before = _malloc_in_use()
        for _ in range(120):
            (x, y), (width, height) = generator.uniform(20, 120, 2), generator.uniform(15, 160, 2)
            boxes = torch.tensor([[x, y, width, height]], dtype=torch.float32).repeat(len(PROPOSALS), 1)
            refiner(features, modulation, boxes, Ascent(1, 0.0, whole=False))
    assert (_malloc_in_use() - before) / 1e6 < 220
