# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The networks of a feature distillation: teacher, student with its adaptors, and standardisation of the features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from atom_core.networks.backbones import EfficientNetLite0, ResNet18, efficientnet_lite0_from_published

TEACHER_CHANNELS = (24, 40, 112, 320)  # at strides 4, 8, 16, 32
TeacherFunction = Callable[[Tensor], tuple[Tensor, ...]]


class WholeEfficientNetLite0(EfficientNetLite0):
    """EfficientNet-Lite0 up to its last stage."""

    stage_settings = (*EfficientNetLite0.stage_settings, (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))


class Teacher(nn.Module):
    """The features of EfficientNet-Lite0 at four strides."""

    _TAPS = (1, 2, 4, 6)  # the last stages of strides 4, 8, 16, 32

    def __init__(self) -> None:
        super().__init__()
        self.network = WholeEfficientNetLite0()

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Features (N, C, S/s, S/s) at strides s of 4, 8, 16 and 32 of crops (N, 3, S, S), float in 0..255."""
        x = self.network.stem(self.network.normalize(crops))
        maps = []
        for index, stage in enumerate(self.network.stages):
            x = stage(x)
            if index in self._TAPS:
                maps.append(x)
        return tuple(maps)


def load_teacher(published: dict[str, Tensor]) -> Teacher:
    """The teacher with the published weights, frozen; see `efficientnet_lite0_from_published`."""
    teacher = Teacher().eval().requires_grad_(False)
    teacher.network.load_state_dict(efficientnet_lite0_from_published(published, teacher.network))
    return teacher


class Student(nn.Module):
    """A ResNet-18 up to `layer3`, and the adaptors that predict the teacher's features from its layers."""

    def __init__(self, network: str) -> None:
        super().__init__()
        if network != "resnet18":
            raise ValueError(f"network is {network!r}; expected 'resnet18', the one whose layers the adaptors fit")
        self.backbone = ResNet18().eval().requires_grad_(True)
        s4, s8, s16, s32 = TEACHER_CHANNELS
        self.adaptors = nn.ModuleList([nn.Conv2d(64, s4, 1), nn.Conv2d(128, s8, 1), nn.Conv2d(256, s16, 1)])
        # The student ends at stride 16; the teacher's deepest features need a little more than a linear map.
        self.deep = nn.Sequential(
            nn.Conv2d(256, 256, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, s32, 1),
        )

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """The student's prediction of the teacher's standardised features, from crops (N, 3, S, S) in 0..255."""
        net = self.backbone
        stride4 = net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(net.normalize(crops))))))
        stride8 = net.layer2(stride4)
        stride16 = net.layer3(stride8)
        shallow = [adaptor(x) for adaptor, x in zip(self.adaptors, (stride4, stride8, stride16), strict=True)]
        return (*shallow, self.deep(stride16))


class Standardizer(nn.Module):
    """Shifts and scales each channel of the teacher's features to mean 0 and variance 1 over some crops."""

    def __init__(self, samples: list[tuple[Tensor, ...]]) -> None:
        super().__init__()
        for level, maps in enumerate(zip(*samples, strict=True)):
            values = torch.cat([m.transpose(0, 1).flatten(1) for m in maps], dim=1)
            std, mean = torch.std_mean(values, dim=1)
            self.register_buffer(f"mean{level}", mean[:, None, None])
            self.register_buffer(f"std{level}", std[:, None, None].clamp(min=1e-6))

    def forward(self, maps: tuple[Tensor, ...]) -> list[Tensor]:
        """Standardised maps of all levels."""
        return [(m - getattr(self, f"mean{i}")) / getattr(self, f"std{i}") for i, m in enumerate(maps)]
