# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Network files: one safetensors file holds a backbone (`backbone.*`) and its IoU predictor (`iou_net.*`)."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from atom_core.backbone import BACKBONES, Backbone, build_backbone
from atom_core.iou_net import IoUNet

DEFAULT_NETWORK = "efficientnet_lite0"  # what the name "default" stands for
_FORMAT = "atom_tracker 1"


@dataclass(frozen=True)
class Network:
    """A loaded network: frozen, in evaluation mode, float32, on the CPU until `to` moves its modules."""

    name: str  # a key of `atom_core.backbone.BACKBONES`
    backbone: Backbone
    iou_net: IoUNet
    sha256: str  # of the file; "" if it never was in one
    metadata: dict[str, str]


def build_network(name: str) -> Network:
    """A network with random weights.

    Raises:
        ValueError: if the name is unknown.
    """
    backbone = build_backbone(name)
    iou_net = IoUNet(backbone.channels).eval().requires_grad_(False)
    return Network(name, backbone, iou_net, sha256="", metadata={})


def folders() -> list[Path]:
    """Where shipped weights are looked for: the installed package, the checkout, the ROS workspaces' share folders."""
    here = Path(__file__).resolve().parent
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    return [here / "_weights", here.parent / "weights", *(Path(p) / "share/atom_tracker/weights" for p in prefixes)]


def find(name_or_path: str | Path) -> Path:
    """The file of a shipped network ("default", "efficientnet_lite0", ...) or of a path.

    Raises:
        FileNotFoundError: if there is none; the message lists what there is.
    """
    given = Path(name_or_path)
    if given.suffix == ".safetensors" or len(given.parts) > 1:
        if not given.is_file():
            raise FileNotFoundError(
                f"no weights file at {given}; give a .safetensors file or a shipped name such as 'default'"
            )
        return given
    file = f"{DEFAULT_NETWORK if str(given) == 'default' else given}.safetensors"
    for folder in folders():
        if (folder / file).is_file():
            return folder / file
    shipped = sorted({p.stem for folder in folders() if folder.is_dir() for p in folder.glob("*.safetensors")})
    looked = ", ".join(map(str, folders()))
    raise FileNotFoundError(
        f"no shipped weights named {str(given)!r}; there are: {', '.join(shipped) or 'none'} (in {looked})"
    )


def load(name_or_path: str | Path) -> Network:
    """Loads a network file; nothing in the file is executed.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no network file of ours, or its tensors do not fit; the message lists them.
    """
    path = find(name_or_path)
    tensors, metadata = _read(path)
    name = metadata.get("network", "")
    if name not in BACKBONES:
        raise ValueError(f"{path} names the network {name!r}; expected one of {', '.join(sorted(BACKBONES))}")
    network = build_network(name)
    modules = nn.ModuleDict({"backbone": network.backbone, "iou_net": network.iou_net})
    _check(path, tensors, modules.state_dict())
    modules.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    )
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Network(name, network.backbone, network.iou_net, sha256, metadata)


def save(path: Path, network: Network, metadata: dict[str, str]) -> None:
    """Writes a network as float16, whole or not at all.

    Args:
        path: of the file, in a folder that exists.
        network: to write.
        metadata: how it was made; stored in the file's header.

    Raises:
        ValueError: if a value is not finite in float16, whose largest number is 65504; nothing is written then.
    """
    modules = nn.ModuleDict({"backbone": network.backbone, "iou_net": network.iou_net})
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in modules.state_dict().items()}
    _check_finite(f"{path} is not written", tensors)
    part = path.with_suffix(".part")
    header = {**metadata, "format": _FORMAT, "network": network.name}
    save_file({k: v.contiguous() for k, v in tensors.items()}, part, metadata=header)
    os.replace(part, path)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error
    if metadata.get("format") != _FORMAT:
        raise ValueError(
            f"{path} is no network file of atom_tracker: its format is {metadata.get('format')!r}, not {_FORMAT!r}"
        )
    return tensors, metadata


def _check(path: Path, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    wrong = [
        f"{key} {tuple(found[key].shape)}, not {tuple(expected[key].shape)}"
        for key in sorted(expected.keys() & found.keys())
        if found[key].shape != expected[key].shape
    ]
    problems = [
        f"{len(keys)} {label}: {', '.join(keys[:5])}{', ...' if len(keys) > 5 else ''}"
        for label, keys in (("missing", missing), ("unknown", unknown), ("of wrong shape", wrong))
        if keys
    ]
    if problems:
        raise ValueError(f"the tensors of {path} do not fit: {'; '.join(problems)}")
    _check_finite(f"{path} is damaged", found)


def _check_finite(problem: str, tensors: dict[str, Tensor]) -> None:
    bad = [key for key, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise ValueError(f"{problem}: {len(bad)} tensors hold values that are not finite: {', '.join(bad[:5])}")
