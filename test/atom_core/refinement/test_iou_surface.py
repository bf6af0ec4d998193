# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from atom_core.networks.backbones import Features
from atom_core.networks.iou_predictor import FeatureWindow, IoUNet, Modulation
from atom_core.refinement.iou_surface import FoldedHead, Geometry, IoUSurface
from atom_core.refinement.proposals import ascend, autograd

CHANNELS = (6, 10)  # few, for speed
# Inside, across the map's border, on cell borders, outside, and of an extreme shape; the map is 96 px wide.
BOXES = torch.tensor(
    [[20.0, 30, 37, 25], [-15, 60, 40, 50], [16, 16, 40, 40], [200, 10, 30, 30], [3, 40, 90, 15]], dtype=torch.float64
)


def random_like_trained(module, generator):
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        for tensor in (module.running_mean, module.weight, module.bias):
            tensor.data.copy_(torch.randn(module.num_features, generator=generator) * 0.3 + 0.5)
        module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)


@pytest.fixture(scope="module")
def scene():
    """A float64 network, the modulation of one target, and the maps of one frame."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net = IoUNet(CHANNELS).double().eval().requires_grad_(False)
    net.apply(lambda module: random_like_trained(module, generator))
    features = Features(
        *(torch.randn(1, c, n, n, generator=generator).double() for c, n in zip(CHANNELS, (12, 6), strict=True))
    )
    modulation = Modulation(*(torch.rand(1, 256, generator=generator).double() for _ in range(2)))
    return net, modulation, features


def surface_of(net, modulation, maps):
    like = net.iou_predictor.bias
    geometry = Geometry.of(maps.t3.shape[-1]).to(like)
    return IoUSurface.tabulate(FoldedHead.fold(net, like.dtype), geometry, modulation, maps)


@pytest.mark.parametrize("window", [None, FeatureWindow((3, 2), (1, -1))])
def test_value_and_gradient_are_those_of_the_network(scene, window):
    net, modulation, features = scene
    maps = net.test_maps(features, window)
    surface = surface_of(net, modulation, maps)

    def predict(boxes):
        return net(modulation, maps, boxes[None])[0]

    expected = autograd(predict)(BOXES)
    assert expected[:3].abs().amin() > 1e-5  # the comparison says something
    torch.testing.assert_close(surface.value(BOXES), predict(BOXES), atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(surface.gradient(BOXES), expected, atol=1e-12, rtol=1e-9)
    relative = expected * BOXES[:, 2:].repeat(1, 2)
    torch.testing.assert_close(surface.ascend(BOXES, 1, 1.0)[0] - BOXES, relative, atol=1e-12, rtol=1e-9)


def test_ascent_is_that_of_the_reference(scene):
    net, modulation, features = scene
    maps = net.test_maps(features)

    def predict(boxes):
        return net(modulation, maps, boxes[None])[0]

    expected = ascend(predict, autograd(predict), BOXES[:3], steps=4, step_length=3.0)
    assert (expected[0] - BOXES[:3]).abs().amax() > 0.1  # the boxes move
    for found, wanted in zip(surface_of(net, modulation, maps).ascend(BOXES[:3], 4, 3.0), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("size", [(0.0, 20.0), (20.0, 0.0), (0.0, 0.0)])
def test_a_box_without_area_has_a_finite_value_and_gradient(scene, size):
    net, modulation, features = scene
    maps = net.test_maps(features)
    surface = surface_of(net, modulation, maps)
    box = torch.tensor([[30.0, 30.0, *size]], dtype=torch.float64)
    torch.testing.assert_close(surface.value(box), net(modulation, maps, box[None])[0])
    assert surface.gradient(box).isfinite().all()


def test_half_precision_is_close(scene):
    double, modulation, features = scene
    net = IoUNet(CHANNELS).eval().requires_grad_(False)
    net.load_state_dict(double.state_dict())
    modulation, features = Modulation(*(m.float() for m in modulation)), Features(*(f.float() for f in features))
    maps, inside = net.test_maps(features), BOXES[:3].float()
    exact = surface_of(net, modulation, maps)
    head = FoldedHead.fold(net, torch.bfloat16)
    rough = IoUSurface.tabulate(head, Geometry.of(maps.t3.shape[-1]).to(net.iou_predictor.bias), modulation, maps)
    scale = float(exact.value(inside).abs().amax())
    torch.testing.assert_close(rough.value(inside), exact.value(inside), atol=0.05 * scale, rtol=0.05)
    assert rough.gradient(inside).dtype == torch.float32


def test_runs_without_a_host_read():
    net = IoUNet(CHANNELS).eval().requires_grad_(False).to("meta")
    features = Features(torch.empty(1, 6, 12, 12, device="meta"), torch.empty(1, 10, 6, 6, device="meta"))
    modulation = Modulation(torch.empty(1, 256, device="meta"), torch.empty(1, 256, device="meta"))
    boxes, value = surface_of(net, modulation, net.test_maps(features)).ascend(
        torch.empty(10, 4, device="meta"), 5, 1.0
    )
    assert boxes.shape == (10, 4)
    assert value.shape == (10,)
