# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from atom_core.networks.backbones import BACKBONES, build_backbone, efficientnet_lite0_from_published

CHANNELS = {"efficientnet_lite0": (40, 112), "resnet18": (128, 256)}
NAMES = sorted(CHANNELS)


@pytest.fixture(scope="module")
def backbones():
    torch.manual_seed(0)
    return {name: build_backbone(name) for name in NAMES}


def crops(count, side, seed=0):
    return 255 * torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_every_backbone_is_tested():
    assert sorted(BACKBONES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_strides_and_channels(backbones, name):
    features = backbones[name](crops(2, 64))
    assert backbones[name].channels == CHANNELS[name]
    assert features.stride8.shape == (2, CHANNELS[name][0], 8, 8)
    assert features.stride16.shape == (2, CHANNELS[name][1], 4, 4)


@pytest.mark.parametrize("name", NAMES)
def test_frozen_and_in_evaluation_mode(backbones, name):
    assert not any(p.requires_grad for p in backbones[name].parameters())
    assert not any(m.training for m in backbones[name].modules())


@pytest.mark.parametrize("name", NAMES)
def test_mirrored_input_and_kernels_give_mirrored_features(backbones, name):
    """With 16 n + 1 pixels, cells at 0, 16 .. 16 n are symmetric about the middle; at any other offset they are not."""
    side, mirrored = 65, build_backbone(name)
    mirrored.load_state_dict({k: v.flip(2, 3) if v.dim() == 4 else v for k, v in backbones[name].state_dict().items()})
    image = crops(1, side)
    there, back = backbones[name](image), mirrored(image.flip(2, 3))
    for features, mirror, cells in zip(there, back, (9, 5), strict=True):
        assert features.shape[-2:] == (cells, cells)
        assert features.std() > 0
        torch.testing.assert_close(mirror.flip(2, 3), features, atol=1e-4 * features.abs().max().item(), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_cell_is_centred_on_its_stride_times_its_index(name):
    """The pixels that a cell's gradient reaches are as many on one side of pixel s * i as on the other."""
    torch.manual_seed(0)
    backbone = build_backbone(name)
    for module in backbone.modules():
        # Positive weights, and inputs so faint that no ReLU6 saturates, let the gradient through everywhere; the first
        # layer stays random, so that its channels' maxima lie in different places.
        if isinstance(module, nn.Conv2d) and module.in_channels != 3:
            module.weight.copy_(module.weight.abs() / module.weight.abs().sum((1, 2, 3), keepdim=True))
    center, side = 176, 353  # the reach of Lite0 is 339 px, of ResNet-18 211 px
    image = 255 * torch.tensor(backbone.mean).view(1, 3, 1, 1) + 0.01 * crops(1, side)
    image.requires_grad_()
    features = backbone(image)
    for stride, level in zip((8, 16), features, strict=True):
        index = center // stride
        (gradient,) = torch.autograd.grad(level[0, :, index, index].sum(), image, retain_graph=True)
        reached = gradient.abs().sum((0, 1)) > 0
        for axis in (0, 1):
            pixels = reached.any(axis).nonzero()[:, 0]
            assert pixels.min() > 0  # the reach ends within the image, so that its middle means something
            assert pixels.max() < side - 1
            assert pixels.min() + pixels.max() == 2 * center


@pytest.mark.parametrize("name", NAMES)
def test_normalisation_by_hand(backbones, name):
    grey = backbones[name].normalize(torch.tensor([0.0, 127.5, 255.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3))[0, 0, 0]
    expected = {
        "efficientnet_lite0": [-1.0, 0.0, 1.0],  # (v - 0.5) / 0.5
        "resnet18": [-0.485 / 0.229, 0.015 / 0.229, 0.515 / 0.229],  # red: (v - 0.485) / 0.229
    }
    torch.testing.assert_close(grey, torch.tensor(expected[name]))


def test_resnet18_has_the_names_of_torchvision(backbones):
    theirs = {k: v.shape for k, v in resnet18().state_dict().items() if not k.startswith(("layer4.", "fc."))}
    assert {k: v.shape for k, v in backbones["resnet18"].state_dict().items()} == theirs


def test_resnet18_computes_what_torchvision_computes(backbones):
    torch.manual_seed(1)
    theirs = resnet18().eval()
    ours = build_backbone("resnet18")
    ours.load_state_dict(theirs.state_dict(), strict=False)
    image = crops(1, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        for layer in (theirs.conv1, theirs.bn1, theirs.relu, theirs.maxpool, theirs.layer1, theirs.layer2):
            x = layer(x)
        features = ours(image)
        torch.testing.assert_close(features.stride8, x)
        torch.testing.assert_close(features.stride16, theirs.layer3(x))


def published_lite0():
    """A state dict of the published names and shapes, written out from the architecture; each tensor has its number."""
    state = {}

    def conv(name, *shape):
        state[f"{name}.weight"] = torch.full(shape, float(len(state)))

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{part}"] = torch.full((channels,), float(len(state)))
        state[f"{name}.num_batches_tracked"] = torch.tensor(len(state))

    # input, output channels, expansion, kernel of blocks 0..15; the tracker needs 0..10
    blocks = [(32, 16, 1, 3), (16, 24, 6, 3), (24, 24, 6, 3), (24, 40, 6, 5), (40, 40, 6, 5), (40, 80, 6, 3)]
    blocks += [(80, 80, 6, 3), (80, 80, 6, 3), (80, 112, 6, 5), (112, 112, 6, 5), (112, 112, 6, 5), (112, 192, 6, 5)]
    blocks += [(192, 192, 6, 5)] * 3 + [(192, 320, 6, 3)]
    conv("_conv_stem", 32, 3, 3, 3)
    norm("_bn0", 32)
    for i, (inputs, outputs, expansion, kernel) in enumerate(blocks):
        hidden = inputs * expansion
        if expansion > 1:
            conv(f"_blocks.{i}._expand_conv", hidden, inputs, 1, 1)
            norm(f"_blocks.{i}._bn0", hidden)
        conv(f"_blocks.{i}._depthwise_conv", hidden, 1, kernel, kernel)
        norm(f"_blocks.{i}._bn1", hidden)
        conv(f"_blocks.{i}._project_conv", outputs, hidden, 1, 1)
        norm(f"_blocks.{i}._bn2", outputs)
    conv("_conv_head", 1280, 320, 1, 1)
    norm("_bn1", 1280)
    return state


def test_published_lite0_names_map_one_to_one():
    published = published_lite0()
    renamed = efficientnet_lite0_from_published(published)
    build_backbone("efficientnet_lite0").load_state_dict(renamed, strict=True)  # names and shapes
    values = [v.flatten()[0].item() for v in renamed.values()]
    assert len(set(values)) == len(values)
    # All of the stem and of blocks 0..10, and nothing else.
    needed = [k for k in published if k.startswith(("_conv_stem.", "_bn0.", *(f"_blocks.{i}." for i in range(11))))]
    assert sorted(values) == sorted(published[k].flatten()[0].item() for k in needed)
    for ours, theirs in {
        "stem.0.weight": "_conv_stem.weight",
        "stem.1.running_var": "_bn0.running_var",
        "stages.0.0.depthwise.0.weight": "_blocks.0._depthwise_conv.weight",
        "stages.0.0.depthwise.1.bias": "_blocks.0._bn1.bias",
        "stages.1.0.expand.1.weight": "_blocks.1._bn0.weight",
        "stages.1.1.depthwise.1.running_mean": "_blocks.2._bn1.running_mean",
        "stages.2.1.project.1.running_var": "_blocks.4._bn2.running_var",
        "stages.3.0.expand.0.weight": "_blocks.5._expand_conv.weight",
        "stages.4.2.project.0.weight": "_blocks.10._project_conv.weight",
    }.items():
        assert renamed[ours] is published[theirs]


def test_other_weights_are_refused_as_lite0():
    with pytest.raises(
        ValueError, match=r"not EfficientNet-Lite0 weights: 1 tensors are missing.*_blocks\.3\._bn1\.bias"
    ):
        efficientnet_lite0_from_published({k: v for k, v in published_lite0().items() if k != "_blocks.3._bn1.bias"})


def test_unknown_network_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'vgg'.*efficientnet_lite0, resnet18"):
        build_backbone("vgg")


@pytest.mark.parametrize("name", NAMES)
def test_runs_without_a_host_read(name):
    features = build_backbone(name).to("meta")(torch.empty(2, 3, 96, 96, device="meta"))
    assert features.stride16.shape == (2, CHANNELS[name][1], 6, 6)
