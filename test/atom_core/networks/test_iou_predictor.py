# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from atom_core.networks.backbones import Features
from atom_core.networks.iou_predictor import FeatureWindow, IoUNet, Modulation
from atom_core.refinement.proposals import ascend, autograd

CHANNELS = (6, 10)  # few, for speed


@pytest.fixture(scope="module")
def net():
    """In evaluation mode; its normalisation statistics are random, as if trained."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net = IoUNet(CHANNELS).eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return net


def features_of(count, cells=18, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Features(
        torch.randn(count, CHANNELS[0], 2 * cells, 2 * cells, generator=generator),
        torch.randn(count, CHANNELS[1], cells, cells, generator=generator),
    )


def cut(features, origin3, origin4, cells3, cells4):
    (x3, y3), (x4, y4) = origin3, origin4
    return Features(
        features.stride8[:, :, y3 : y3 + cells3, x3 : x3 + cells3],
        features.stride16[:, :, y4 : y4 + cells4, x4 : x4 + cells4],
    )


TARGET = torch.tensor([[115.0, 118.0, 57.6, 50.0]])
PROPOSALS = torch.tensor([[[115.0, 118, 57.6, 50], [110, 121, 70, 40], [125, 110, 45, 66]]])


def predict(net, reference, target, test, proposals):
    return net(net.modulation(reference, target), net.test_maps(test), proposals)


def test_parameters():
    assert sum(p.numel() for p in IoUNet((128, 256)).parameters()) == 5_595_521


def test_initial_weights():
    torch.manual_seed(0)
    net = IoUNet((128, 256))
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.bias.abs().max() == 0
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)  # Kaiming normal


def test_shapes(net):
    modulation = net.modulation(features_of(2), TARGET.expand(2, 4))
    assert modulation.c3.shape == modulation.c4.shape == (2, 256)
    maps = net.test_maps(features_of(2))
    assert maps.t3.shape == (2, 256, 36, 36)
    assert maps.t4.shape == (2, 256, 18, 18)
    assert net(modulation, maps, PROPOSALS.expand(2, 3, 4)).shape == (2, 3)


def test_modulating_pooled_maps_equals_modulating_the_maps(net):
    modulation, maps = net.modulation(features_of(2), TARGET.expand(2, 4)), net.test_maps(features_of(2, seed=1))
    proposals = PROPOSALS.expand(2, 3, 4)
    modulated = maps._replace(
        t3=maps.t3 * modulation.c3[:, :, None, None], t4=maps.t4 * modulation.c4[:, :, None, None]
    )
    ones = Modulation(torch.ones(2, 256), torch.ones(2, 256))
    expected = net(ones, modulated, proposals)
    assert expected.std() > 0.01
    torch.testing.assert_close(net(modulation, maps, proposals), expected, atol=1e-4, rtol=1e-4)


def test_prediction_depends_on_target_and_test_image(net):
    base = predict(net, features_of(1), TARGET, features_of(1, seed=1), PROPOSALS)
    assert (predict(net, features_of(1, seed=2), TARGET, features_of(1, seed=1), PROPOSALS) - base).abs().max() > 0.01
    assert (predict(net, features_of(1), TARGET + 9, features_of(1, seed=1), PROPOSALS) - base).abs().max() > 0.01
    assert (predict(net, features_of(1), TARGET, features_of(1, seed=3), PROPOSALS) - base).abs().max() > 0.01


def test_crops_and_proposals_are_independent(net):
    reference, test, target = features_of(2), features_of(2, seed=1), TARGET.expand(2, 4)
    together = predict(net, reference, target, test, PROPOSALS.expand(2, 3, 4))
    for n in range(2):
        own = Features(*(f[n : n + 1] for f in test))
        first = Features(*(f[n : n + 1] for f in reference))
        for p in range(3):
            alone = predict(net, first, TARGET, own, PROPOSALS[:, p : p + 1])
            torch.testing.assert_close(alone[0, 0], together[n, p], atol=1e-4, rtol=1e-4)


def test_windows_with_a_margin_predict_what_whole_maps_predict(net):
    # The proposals reach crop px 110..180, cells 13..23 at stride 8 and 6..12 at stride 16 (hats included).
    # Two 3 x 3 convolutions need two cells more on each side, the reference branch one.
    reference, test = features_of(1), features_of(1, seed=1)
    expected = predict(net, reference, TARGET, test, PROPOSALS)
    window = FeatureWindow((11, 11), (4, 4))
    maps = net.test_maps(cut(test, *window, cells3=15, cells4=11), window)
    modulation = net.modulation(cut(reference, *window, cells3=15, cells4=11), TARGET, window)
    torch.testing.assert_close(net(modulation, maps, PROPOSALS), expected, atol=1e-4, rtol=1e-4)


def test_windows_may_begin_elsewhere_in_each_crop(net):
    test = features_of(2, seed=1)
    modulation = net.modulation(features_of(2), TARGET.expand(2, 4))
    proposals = torch.cat((PROPOSALS, PROPOSALS + torch.tensor([16.0, -32, 0, 0])))
    expected = net(modulation, net.test_maps(test), proposals)
    corners = [((11, 11), (4, 4)), ((13, 7), (5, 2))]
    cuts = [cut(Features(*(f[n : n + 1] for f in test)), *corners[n], 15, 11) for n in range(2)]
    windows = Features(*(torch.cat(maps) for maps in zip(*cuts, strict=True)))
    origins = torch.tensor(corners, dtype=torch.float32)  # (N, level, xy)
    window = FeatureWindow(*((origins[:, i, :1], origins[:, i, 1:]) for i in range(2)))
    torch.testing.assert_close(
        net(modulation, net.test_maps(windows, window), proposals), expected, atol=1e-4, rtol=1e-4
    )


def test_gradient_in_the_box_equals_finite_differences(net):
    double = IoUNet(CHANNELS).double().eval().requires_grad_(False)
    double.load_state_dict(net.state_dict())
    reference, test = (Features(*(f.double() for f in features_of(1, seed=s))) for s in (0, 1))
    modulation, maps = double.modulation(reference, TARGET.double()), double.test_maps(test)
    proposals = PROPOSALS.double().requires_grad_()
    (gradient,) = torch.autograd.grad(double(modulation, maps, proposals).sum(), proposals)
    step = 1e-5
    for i in range(4):
        offset = torch.eye(4, dtype=torch.float64)[i] * step
        change = double(modulation, maps, proposals + offset) - double(modulation, maps, proposals - offset)
        torch.testing.assert_close(change / (2 * step), gradient[..., i], atol=1e-6, rtol=1e-4)


def test_runs_without_a_host_read():
    net = IoUNet(CHANNELS).eval().to("meta")
    features = Features(*(f.to("meta") for f in features_of(1)))
    with torch.no_grad():
        modulation = net.modulation(features, TARGET.to("meta"))
        maps = net.test_maps(features)

        def predict(b):
            return net(modulation, maps, b)

        boxes, predicted = ascend(predict, autograd(predict), PROPOSALS.to("meta"), 5, 1.0)
    assert boxes.shape == (1, 3, 4)
    assert predicted.shape == (1, 3)
    assert predicted.device.type == "meta"
