# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Network files: one safetensors file holds a backbone (`backbone.*`) and its IoU predictor (`iou_net.*`).

A file imported from the authors' checkpoint also holds the tensors that only its export needs (`official.*`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from atom_core.confidence import HEADER_KEY, Calibration
from atom_core.data.images import visible
from atom_core.networks.backbones import BACKBONES, Backbone, build_backbone
from atom_core.networks.iou_predictor import IoUNet

DEFAULT_NETWORK = "efficientnet_lite0"  # what the name "default" stands for
UNUSED_PREFIX = "official."  # of tensors that are stored but not used
_FORMAT = "atom_tracker 1"
_FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".tar")  # a name with one of these is a file, not a shipped network
_NAMES_SHOWN = 20  # tensors that do not fit
_NAME_LENGTH = 200  # characters of each name


@dataclass(frozen=True)
class Network:
    """A loaded network: frozen, in evaluation mode, float32, on the CPU until `to` moves its modules."""

    name: str  # a key of `atom_core.networks.backbones.BACKBONES`
    backbone: Backbone
    iou_net: IoUNet
    sha256: str  # of the file; "" if it was not loaded from one
    metadata: dict[str, str]

    @property
    def calibration(self) -> Calibration | None:
        """The mapping from score and predicted IoU to the confidence; None if the file has none.

        Raises:
            ValueError: if it is damaged.
        """
        text = self.metadata.get(HEADER_KEY)
        return None if text is None else Calibration.from_json(text)

    @property
    def modules(self) -> nn.ModuleDict:
        """Both parts as one module; its state dict has the names of the file."""
        return nn.ModuleDict({"backbone": self.backbone, "iou_net": self.iou_net})


def build_network(name: str) -> Network:
    """A network with random weights.

    Raises:
        ValueError: if the name is unknown.
    """
    backbone = build_backbone(name)
    iou_net = IoUNet(backbone.channels).eval().requires_grad_(False)
    return Network(name, backbone, iou_net, sha256="", metadata={})


def folders() -> list[Path]:
    """Folders of shipped weights, in this order: installed package, checkout, share folders of the ROS workspaces."""
    package = Path(__file__).resolve().parents[1]
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    return [
        package / "_weights",
        package.parent / "weights",
        *(Path(p) / "share/atom_tracker/weights" for p in prefixes),
    ]


def find(name_or_path: str | Path) -> Path:
    """The file of a shipped network ("default", "efficientnet_lite0", ...) or of a path.

    Raises:
        FileNotFoundError: if there is none; the message lists what there is.
    """
    given = Path(name_or_path)
    if given.suffix in _FILE_SUFFIXES or len(given.parts) > 1:
        if not given.is_file():
            raise FileNotFoundError(
                f"no weights file at {given}; give a .safetensors file or a shipped name such as 'default'"
            )
        return given
    file = f"{DEFAULT_NETWORK if str(given) == 'default' else given}.safetensors"
    for folder in folders():
        if (folder / file).is_file():
            return folder / file
    existing = [folder for folder in folders() if folder.is_dir()]
    shipped = sorted({p.stem for folder in existing for p in visible(folder.glob("*.safetensors"))})
    if not existing:
        raise FileNotFoundError(
            f"no shipped weights named {str(given)!r}: this installation has no folder of weights; give the path of a "
            ".safetensors file"
        )
    raise FileNotFoundError(
        f"no shipped weights named {str(given)!r}; there are: {', '.join(shipped) or 'none'} "
        f"(in {', '.join(map(str, existing))})"
    )


def load(name_or_path: str | Path) -> Network:
    """Loads a network file; nothing in the file is executed.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not one of our network files, or its tensors do not fit; the message lists them.
    """
    path = find(name_or_path)
    tensors, metadata = _read(path, unused=False)
    name = metadata.get("network", "")
    if name not in BACKBONES:
        raise ValueError(f"{path} names the network {name!r}; expected one of {', '.join(sorted(BACKBONES))}")
    network = build_network(name)
    check_shapes(path, tensors, network.modules.state_dict())
    _check_finite(f"{path} is damaged", tensors)
    network.modules.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    )
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Network(name, network.backbone, network.iou_net, sha256, metadata)


def load_unused(path: Path) -> dict[str, Tensor]:
    """The tensors of a network file that the tracker does not use, by their names without `UNUSED_PREFIX`.

    Raises:
        ValueError: if it is not one of our network files.
    """
    return {key.removeprefix(UNUSED_PREFIX): tensor for key, tensor in _read(path, unused=True)[0].items()}


def save(
    path: Path,
    network: Network,
    metadata: dict[str, str],
    dtype: torch.dtype = torch.float16,
    unused: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes a network, whole or not at all.

    Args:
        path: of the file, in a folder that exists.
        network: to write.
        metadata: how it was made; stored in the file's header.
        dtype: of the stored numbers. float16 halves the file; float32 keeps every bit.
        unused: further tensors, for `load_unused`.

    Raises:
        ValueError: if a value is not finite in this type (float16's largest number is 65504); nothing is written then.
        OSError: if the file cannot be written.
    """
    state = network.modules.state_dict() | {f"{UNUSED_PREFIX}{key}": tensor for key, tensor in (unused or {}).items()}
    tensors = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    _check_finite(f"{path} is not written", tensors)
    part = path.with_suffix(".part")
    header = {**metadata, "format": _FORMAT, "network": network.name}
    try:
        # Not `save_file`: only their owner can read its files, whatever the umask.
        part.write_bytes(serialize({k: v.contiguous() for k, v in tensors.items()}, metadata=header))
    except (SafetensorError, OSError) as error:
        part.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error}") from error
    os.replace(part, path)


def _read(path: Path, unused: bool) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors that the tracker uses, or (`unused`) the others, and the header."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            keys = [key for key in file.keys() if key.startswith(UNUSED_PREFIX) == unused]  # noqa: SIM118 - no mapping
            tensors = {key: file.get_tensor(key) for key in keys}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is not a readable safetensors file: {error} (`atom-weights import` reads the authors' checkpoint)"
        ) from error
    if metadata.get("format") != _FORMAT:
        raise ValueError(
            f"{path} is no network file of atom_tracker: its format is {metadata.get('format')!r}, not {_FORMAT!r}"
        )
    return tensors, metadata


def listing(names: Iterable[object]) -> str:
    """Names for a message: the first 20, since a foreign file may hold any number of any length."""
    shown = [str(name) for name in names]
    cut = [name if len(name) <= _NAME_LENGTH else f"{name[:_NAME_LENGTH]}..." for name in shown[:_NAMES_SHOWN]]
    return ", ".join(cut) + (f", ... ({len(shown)} in all)" if len(shown) > _NAMES_SHOWN else "")


class _Shaped(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...


def check_shapes(path: Path, found: Mapping[str, _Shaped], expected: Mapping[str, _Shaped]) -> None:
    """Compares the names and shapes of a file's tensors with those expected.

    Raises:
        ValueError: if they differ; the message lists missing, unknown and misshapen tensors.
    """
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    wrong = [
        f"{key} {tuple(found[key].shape)}, not {tuple(expected[key].shape)}"
        for key in sorted(expected.keys() & found.keys())
        if tuple(found[key].shape) != tuple(expected[key].shape)
    ]
    problems = [
        f"{len(keys)} {label}: {listing(keys)}"
        for label, keys in (("missing", missing), ("unknown", unknown), ("of wrong shape", wrong))
        if keys
    ]
    if problems:
        raise ValueError(f"the tensors of {path} do not fit: {'; '.join(problems)}")


def _check_finite(problem: str, tensors: dict[str, Tensor]) -> None:
    bad = [key for key, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise ValueError(f"{problem}: {len(bad)} tensors hold values that are not finite: {', '.join(bad[:5])}")
