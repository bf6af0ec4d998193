# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from atom_core.networks.backbones import build_backbone
from atom_core.training.distill_networks import Standardizer, Student, load_teacher
from atom_core.training.pretrained import load_backbone_weights


def test_teacher_sees_what_the_backbone_of_that_name_sees(published):
    teacher, backbone = load_teacher(published), build_backbone("efficientnet_lite0")
    backbone.load_state_dict(load_backbone_weights("efficientnet_lite0"))
    crops = 255 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = teacher(crops)
    assert [m.shape[1:] for m in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    torch.testing.assert_close(maps[1], backbone(crops).stride8)
    torch.testing.assert_close(maps[2], backbone(crops).stride16)
    guesses = Student("resnet18")(crops.expand(2, -1, -1, -1))
    assert [g.shape[1:] for g in guesses] == [m.shape[1:] for m in maps]


def test_only_resnet18_can_learn():
    with pytest.raises(ValueError, match="network is 'efficientnet_lite0'; expected 'resnet18'"):
        Student("efficientnet_lite0")


def test_standardized_features_have_mean_0_and_variance_1():
    generator = torch.Generator().manual_seed(0)
    samples = [(5 + 3 * torch.randn(4, 2, 6, 6, generator=generator),) for _ in range(3)]
    (values,) = Standardizer(samples)((torch.cat([sample[0] for sample in samples]),))
    std, mean = torch.std_mean(values, dim=(0, 2, 3))
    torch.testing.assert_close(mean, torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(std, torch.ones(2))
