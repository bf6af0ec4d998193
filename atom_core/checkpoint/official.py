# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Converts the authors' checkpoint (`atom_default.pth`) to our network file and back.

It is a mapping saved by `torch.save`. Its entry `net` holds the tensors: `feature_extractor.*`, a ResNet-18 with
torchvision's names, and `bb_regressor.*`, the IoU predictor with the names of `atom_core.networks.iou_predictor`.
Counters of batch normalisation (`num_batches_tracked`) are missing from older files. Further entries describe the
training or hold objects of the authors' classes.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from atom_core.checkpoint.torch_file import (
    TensorRecord,
    TorchFile,
    is_exact_in_float32,
    mapping,
    read_torch_file,
    tensor_record,
)
from atom_core.networks import weights
from atom_core.networks.backbones import ResNet18
from atom_core.networks.iou_predictor import IoUNet

NETWORK = "resnet18"  # the only network in this layout
HEADER_KEY = "official"  # in our file's header: JSON of what the export needs besides the tensors
_BACKBONE, _PREDICTOR, _COUNTER = "feature_extractor.", "bb_regressor.", ".num_batches_tracked"
_UNUSED_PARTS = ("layer4", "fc")  # of the backbone, beyond the tracker's features
_FIELDS = ("epoch", "actor_type", "net_type")  # numbers and strings that are kept
_OBJECTS = ("net_info", "constructor", "optimizer", "stats", "settings")  # objects of the authors' classes: not kept


def import_checkpoint(path: Path, output: Path) -> None:
    """Writes a checkpoint in the authors' layout as a network file, float32, without loss.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a checkpoint (see `read_records`), or a value is not finite.
    """
    if output.suffix != ".safetensors":
        raise ValueError(f"the output {output} does not end in .safetensors, by which network files are known")
    file = read_torch_file(path)
    found = {name: file.tensor(record) for name, record in read_records(file).items()}
    network = weights.build_network(NETWORK)
    ours = {_our_name(name): tensor for name, tensor in found.items() if not _is_unused(name)}
    network.modules.load_state_dict(network.modules.state_dict() | ours)  # missing counters stay 0
    fields = {key: file.content[key] for key in _FIELDS if isinstance(file.content.get(key), str | int)}
    metadata = {"imported from": path.name, HEADER_KEY: json.dumps({"names": list(found), "fields": fields})}
    unused = {name: tensor for name, tensor in found.items() if _is_unused(name)}
    weights.save(output, network, metadata, dtype=torch.float32, unused=unused)


def export_checkpoint(name_or_path: str | Path, output: Path) -> list[str]:
    """Writes a network file in the authors' layout and the older container, which every PyTorch reads.

    Tensors, names and order of an imported file are restored. Our own networks have no `layer4` and `fc`, which the
    tracker does not use: they are zeros. Objects of the authors' classes become None.

    Returns:
        Names of the tensors that were filled with zeros.

    Raises:
        FileNotFoundError: if there is no such network.
        ValueError: if it is not a ResNet-18, or the file is damaged.
    """
    if output.suffix == ".safetensors":
        raise ValueError(f"the output {output} ends in .safetensors; the authors' layout is a .pth file")
    path = weights.find(name_or_path)
    network = weights.load(path)
    if network.name != NETWORK:
        raise ValueError(f"{path} holds {network.name}; the authors' layout has room for {NETWORK} only")
    header = _read_header(path, network.metadata)
    ours, unused = network.modules.state_dict(), weights.load_unused(path)
    filled = [name for name in header["names"] if _is_unused(name) and name not in unused]
    unused |= {name: torch.zeros_like(layout()[name], device="cpu") for name in filled}
    net = OrderedDict((name, unused[name] if _is_unused(name) else ours[_our_name(name)]) for name in header["names"])
    weights.check_shapes(path, net, {name: layout()[name] for name in net})
    fields = {key: header["fields"].get(key) for key in _FIELDS}
    part = output.with_suffix(".part")
    torch.save({**fields, "net": net, **dict.fromkeys(_OBJECTS)}, part, _use_new_zipfile_serialization=False)
    os.replace(part, output)
    return filled


def read_records(file: TorchFile) -> dict[str, TensorRecord]:
    """The tensors of a checkpoint by the layout's names, in the file's order.

    Raises:
        ValueError: if tensors are missing, unknown, or of wrong shape or type; the message lists them.
    """
    records = net_records(file)
    counters = {name for name in layout() if name.endswith(_COUNTER)}
    expected = {name: tensor for name, tensor in layout().items() if name in records or name not in counters}
    weights.check_shapes(file.path, records, expected)
    wrong = [
        f"{name} {record.dtype}"
        for name, record in records.items()
        if not (record.dtype == np.int64 if name in counters else is_exact_in_float32(record.dtype))
    ]
    if wrong:
        raise ValueError(
            f"tensors of {file.path} are not float32, float16 or bfloat16 (counters: int64): {weights.listing(wrong)}"
        )
    return records


def net_records(file: TorchFile) -> dict[str, TensorRecord]:
    """All tensors in the entry `net`, without the prefix "module." of a network in DataParallel.

    Raises:
        ValueError: if there is no such entry, or it holds anything but tensors.
    """
    entries = mapping(file.content.get("net"))
    if entries is None:
        keys = weights.listing(file.content) or "none"
        raise ValueError(
            f"{file.path} holds no mapping named 'net'; expected the authors' checkpoint; its keys: {keys}"
        )
    records = {str(name): tensor_record(value) for name, value in entries.items()}
    others = [name for name, record in records.items() if record is None]
    if others:
        raise ValueError(f"{len(others)} entries of 'net' in {file.path} are no tensors: {weights.listing(others)}")
    prefix = "module." if all(name.startswith("module.") for name in records) else ""
    return {name.removeprefix(prefix): record for name, record in records.items() if record}


@cache
def layout() -> dict[str, Tensor]:
    """All tensors of the layout, without numbers (on PyTorch's device "meta"), in the order of the authors' network."""
    from torchvision.models import resnet18  # reading and tracking do not need torchvision

    with torch.device("meta"):
        modules = {"feature_extractor": resnet18(weights=None), "bb_regressor": IoUNet(ResNet18.channels)}
        return nn.ModuleDict(modules).state_dict()


def _is_unused(name: str) -> bool:
    return name.removeprefix(_BACKBONE).partition(".")[0] in _UNUSED_PARTS


def _our_name(name: str) -> str:
    if name.startswith(_PREDICTOR):
        return f"iou_net.{name.removeprefix(_PREDICTOR)}"
    return f"backbone.{name.removeprefix(_BACKBONE)}"


def _read_header(path: Path, metadata: dict[str, str]) -> dict:
    """The tensors' names in order, and the fields; our own networks have the layout's names and no fields."""
    if HEADER_KEY not in metadata:
        return {"names": list(layout()), "fields": {}}
    try:
        header = json.loads(metadata[HEADER_KEY])
        counters = {name for name in layout() if name.endswith(_COUNTER)}
        complete = counters | set(header["names"]) == set(layout())
    except (ValueError, KeyError, TypeError):
        complete = False
    if not complete or not isinstance(header.get("fields"), dict):
        raise ValueError(f"{path} is damaged: {HEADER_KEY!r} in its header does not list the authors' names")
    return header
