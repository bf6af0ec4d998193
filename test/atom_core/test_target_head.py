# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from atom_core.backbone import Features
from atom_core.iou_net import FeatureWindow, IoUNet, Modulation
from atom_core.prroi_pool import bin_weights, prroi_pool
from atom_core.refine import autograd
from atom_core.target_head import TargetHead

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


@pytest.mark.parametrize("window", [None, FeatureWindow((3, 2), (1, -1))])
def test_value_and_gradient_are_those_of_the_network(scene, window):
    net, modulation, features = scene
    maps = net.test_maps(features, window)
    surface = TargetHead.fold(net, modulation, torch.float64).surface(maps)

    def predict(boxes):
        return net(modulation, maps, boxes[None])[0]

    expected = autograd(predict)(BOXES)
    assert expected[:3].abs().amin() > 1e-5  # the comparison says something
    torch.testing.assert_close(surface.value(BOXES), predict(BOXES), atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(surface.gradient(BOXES), expected, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("size", [(0.0, 20.0), (20.0, 0.0), (0.0, 0.0), (-5.0, 10.0)])
def test_a_box_without_area_has_a_finite_value_and_gradient(scene, size):
    net, modulation, features = scene
    maps = net.test_maps(features)
    surface = TargetHead.fold(net, modulation, torch.float64).surface(maps)
    box = torch.tensor([[30.0, 30.0, *size]], dtype=torch.float64)
    torch.testing.assert_close(surface.value(box), net(modulation, maps, box[None])[0])
    assert surface.gradient(box).isfinite().all()


def test_bin_weights_derivatives_equal_finite_differences():
    start = torch.tensor([2.3, -1.7, 5.15], dtype=torch.float64)
    extent = torch.tensor([3.1, 4.45, 0.83], dtype=torch.float64)
    weights, step = bin_weights(start, extent, 3, 8), 1e-6
    by_start = bin_weights(start + step, extent, 3, 8).mean - bin_weights(start - step, extent, 3, 8).mean
    by_extent = bin_weights(start, extent + step, 3, 8).mean - bin_weights(start, extent - step, 3, 8).mean
    torch.testing.assert_close(weights.by_start, by_start / (2 * step), atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(weights.by_extent, by_extent / (2 * step), atol=1e-8, rtol=1e-6)


def test_bin_weights_pool_like_prroi_pool():
    features = torch.randn(1, 2, 7, 9, generator=torch.Generator().manual_seed(1))
    x = bin_weights(torch.tensor([1.3]), torch.tensor([4.2]), 3, 9).mean[0]
    y = bin_weights(torch.tensor([0.4]), torch.tensor([5.5]), 3, 7).mean[0]
    pooled = prroi_pool(features, torch.tensor([[[1.3, 0.4, 4.2, 5.5]]]), 3, 1.0)
    torch.testing.assert_close(torch.einsum("yh,chw,xw->cyx", y, features[0], x), pooled[0, 0])


def test_half_precision_is_close(scene):
    double, modulation, features = scene
    net = IoUNet(CHANNELS).eval().requires_grad_(False)
    net.load_state_dict(double.state_dict())
    modulation, features = Modulation(*(m.float() for m in modulation)), Features(*(f.float() for f in features))
    maps, inside = net.test_maps(features), BOXES[:3].float()
    exact, rough = (TargetHead.fold(net, modulation, d).surface(maps) for d in (torch.float32, torch.bfloat16))
    scale = float(exact.value(inside).abs().amax())
    torch.testing.assert_close(rough.value(inside), exact.value(inside), atol=0.05 * scale, rtol=0.05)
    assert rough.gradient(inside).dtype == torch.float32


def test_runs_without_a_host_read():
    net = IoUNet(CHANNELS).eval().requires_grad_(False).to("meta")
    features = Features(torch.empty(1, 6, 12, 12, device="meta"), torch.empty(1, 10, 6, 6, device="meta"))
    modulation = Modulation(torch.empty(1, 256, device="meta"), torch.empty(1, 256, device="meta"))
    surface = TargetHead.fold(net, modulation).surface(net.test_maps(features))
    assert surface.gradient(torch.empty(10, 4, device="meta")).shape == (10, 4)
    assert surface.value(torch.empty(10, 4, device="meta")).shape == (10,)
