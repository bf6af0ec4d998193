# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Both ways of refining, against the network's own prediction and autograd, wherever in the crop the target is."""

import pytest
import torch

from atom_core.networks import weights
from atom_core.networks.backbones import Features
from atom_core.networks.iou_predictor import IoUNet, Modulation
from atom_core.networks.prroi_pool import prroi_pool
from atom_core.refinement.proposals import ascend, autograd
from atom_core.refinement.torch_refiner import Ascent, TorchRefiner, needs_whole_maps, window_origins, window_sizes

SIZE = 288
CELLS = (36, 18)
PROPOSALS = torch.tensor(
    [[115.0, 110, 57, 60], [112, 115, 60, 50], [120, 105, 45, 70], [110, 111, 66, 58], [118, 114, 52, 61]]
)
# In the middle, in a corner, across the border, and beside the crop; each within the window.
SHIFTS = [(0, 0), (-115, -110), (120, -130), (190, 10)]


@pytest.fixture(scope="module")
def scene():
    """The default network, the features of a crop, and the modulation of a target in it."""
    network = weights.load("default")
    crops = 255 * torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = network.backbone(crops)
        return network, features, network.iou_net.modulation(features, PROPOSALS[:1])


def make(engine: str, network: weights.Network):
    if engine == "torch":
        return TorchRefiner.of(network.iou_net, SIZE)
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    from atom_core.refinement.openvino_refiner import OpenVinoRefiner

    return OpenVinoRefiner(network.iou_net, network.backbone.channels, SIZE)


@pytest.fixture(scope="module", params=["torch", "openvino"])
def refine(request, scene):
    return make(request.param, scene[0])


def reference(scene, proposals: torch.Tensor, ascent: Ascent):
    network, features, modulation = scene
    maps = network.iou_net.test_maps(features)

    def predict(boxes):
        return network.iou_net(modulation, maps, boxes[None])[0]

    return ascend(predict, autograd(predict), proposals, ascent.steps, ascent.step_length)


@pytest.mark.parametrize("shift", SHIFTS)
def test_boxes_are_those_of_the_whole_network(scene, refine, shift):
    _, features, modulation = scene
    proposals = PROPOSALS + torch.tensor([*shift, 0, 0])
    ascent = Ascent(steps=5, step_length=1.0, whole=False)
    with torch.no_grad():
        wanted = reference(scene, proposals, ascent)
        found = refine(features, modulation, proposals, ascent)
    torch.testing.assert_close(found[0], wanted[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(found[1], wanted[1], atol=1e-4, rtol=0)


def test_a_long_target_needs_the_whole_maps(scene, refine):
    _, features, modulation = scene
    proposals = torch.tensor([[30.0, 120, 220, 30], [25, 122, 215, 35], [40, 118, 225, 28]])
    ascent = Ascent(steps=3, step_length=1.0, whole=True)
    with torch.no_grad():
        wanted = reference(scene, proposals, ascent)
        torch.testing.assert_close(refine(features, modulation, proposals, ascent)[0], wanted[0], atol=1e-3, rtol=0)
        cut = refine(features, modulation, proposals, ascent._replace(whole=False))[0]
    if isinstance(refine, TorchRefiner):
        assert (cut - wanted[0]).abs().amax() > 0.1  # a window of fixed size would not do
    else:
        torch.testing.assert_close(cut, wanted[0], atol=1e-3, rtol=0)


@pytest.mark.parametrize("length", [40.0, -40.0, 1e30, float("nan")])
def test_boxes_that_run_away_do_so_as_with_the_whole_network(scene, length):
    """OpenVINO's window is left in the first step, or not to be had."""
    refine, (_, features, modulation) = make("openvino", scene[0]), scene
    ascent = Ascent(2, length, whole=False)
    with torch.no_grad():
        wanted = reference(scene, PROPOSALS, ascent)
        found = refine(features, modulation, PROPOSALS, ascent)
    assert not (wanted[0] - PROPOSALS).abs().amax() < 40  # beyond the window
    if abs(length) < 100:
        torch.testing.assert_close(found[0], wanted[0], atol=0.01, rtol=1e-3)
        torch.testing.assert_close(found[1], wanted[1], atol=1e-3, rtol=0)
    else:  # to where float32 has no say
        assert found[0].shape == wanted[0].shape


@pytest.mark.parametrize("steps", [0, 2])
def test_steps_and_their_length_count(scene, refine, steps):
    _, features, modulation = scene
    with torch.no_grad():
        wanted = reference(scene, PROPOSALS, Ascent(steps, 0.5, whole=False))
        found = refine(features, modulation, PROPOSALS, Ascent(steps, 0.5, whole=False))
    torch.testing.assert_close(found[0], wanted[0], atol=1e-3, rtol=0)


def test_who_needs_the_whole_maps():
    # 5 sqrt(w h) are 288 px: a square of 57.6 px and 36 px more fit 160 px, sides of 9:2 (122 px) just too.
    assert not needs_whole_maps(40, 40, 5.0, SIZE)
    assert not needs_whole_maps(90, 20, 5.0, SIZE)
    assert needs_whole_maps(20, 100, 5.0, SIZE)
    assert needs_whole_maps(40, 40, 2.0, SIZE)  # 144 px and 36 px


def test_windows_lie_about_the_box_and_within_the_maps():
    assert window_sizes(CELLS, whole=False) == (20, 10)
    assert window_sizes(CELLS, whole=True) == CELLS
    assert window_sizes((8, 4), whole=False) == (8, 4)  # of a small crop
    middle = torch.tensor([104.0, 184, 80, 40])  # centre (144, 204): cells 18 and 25.5 at stride 8, 9 and 12.75 at 16
    # First cells 18 - 9.5 = 8.5 and 25.5 - 9.5 = 16 (the highest); 9 - 4.5 = 4.5 and 12.75 - 4.5 = 8.25 (highest 8).
    assert window_origins(middle, CELLS, (20, 10)).tolist() == [[8, 16], [4, 8]]
    assert window_origins(middle - 500, CELLS, (20, 10)).tolist() == [[0, 0], [0, 0]]


def test_torch_runs_without_a_host_read():
    net = IoUNet((6, 10)).eval().requires_grad_(False).to("meta")
    features = (torch.empty(1, 6, 36, 36, device="meta"), torch.empty(1, 10, 18, 18, device="meta"))
    modulation = Modulation(torch.empty(1, 256, device="meta"), torch.empty(1, 256, device="meta"))
    boxes, predicted = TorchRefiner.of(net, SIZE)(
        Features(*features), modulation, torch.empty(10, 4, device="meta"), Ascent(5, 1.0, whole=False)
    )
    assert boxes.shape == (10, 4)
    assert predicted.shape == (10,)


@pytest.mark.parametrize("shift", SHIFTS)
def test_maps_are_the_networks_as_far_as_boxes_see_them(scene, refine, shift):
    network, features, _ = scene
    drawn = PROPOSALS + torch.tensor([*shift, 0, 0])
    with torch.no_grad():
        whole = network.iou_net.test_maps(features)
        maps = refine.maps(features, drawn)
    for bins, scale, ours, origin, theirs in (
        (5, 1 / 8, maps.t3, maps.origin3, whole.t3),
        (3, 1 / 16, maps.t4, maps.origin4, whole.t4),
    ):
        pooled = prroi_pool(ours, drawn[None], bins, scale, origin)
        expected = prroi_pool(theirs, drawn[None], bins, scale)
        torch.testing.assert_close(pooled, expected, atol=1e-4 * theirs.abs().max().item(), rtol=1e-4)
