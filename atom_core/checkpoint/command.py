# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-weights`: what a network file holds; the authors' checkpoint to our file and back; int8; ONNX."""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from atom_core.checkpoint import official
from atom_core.checkpoint.torch_file import TensorRecord, read_torch_file
from atom_core.config import TrackerConfig
from atom_core.crop import sample_crop
from atom_core.data.images import find_images, read_image
from atom_core.networks import weights
from atom_core.networks.int8 import HEADER_KEY, from_json, measure_ranges, to_json
from atom_core.networks.onnx_model import INPUT, OPSET, OUTPUTS, export_onnx
from atom_core.report_errors import report_errors


def main(argv: list[str] | None = None) -> int:
    """`atom-weights`: prints what a network file holds; imports and exports the authors' checkpoint; exports ONNX."""
    arguments = _parser().parse_args(argv)
    return report_errors("atom-weights", lambda: arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="atom-weights", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="print what a network file or a checkpoint of the authors holds")
    info.add_argument("weights", nargs="?", default="default", help="shipped network, .safetensors file or .pth file")
    info.set_defaults(run=_info)
    importer = commands.add_parser(
        "import", help="write the authors' checkpoint as a network file; executes no code in it"
    )
    importer.add_argument("checkpoint", type=Path, help="such as atom_default.pth")
    importer.add_argument("--output", type=Path, help="file to write (default: beside it, .safetensors)")
    importer.set_defaults(run=_import)
    _add_int8(commands.add_parser("int8", help="measure what precision int8 needs, and write it into a network file"))
    _add_export(commands.add_parser("export", help="write a resnet18 network in the authors' layout, or any as ONNX"))
    return parser


def _add_int8(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", help="shipped network or .safetensors file")
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="photographs, of any size")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="network file to write")
    parser.add_argument("--count", type=int, default=80, metavar="N", help="of photographs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of photographs (default: %(default)s)")
    parser.set_defaults(run=_int8)


def _add_export(exporter: argparse.ArgumentParser) -> None:
    exporter.add_argument("weights", help="shipped network or .safetensors file")
    exporter.add_argument("--output", type=Path, help="file to write (default: the network's name, .pth, here)")
    exporter.add_argument(
        "--onnx",
        type=Path,
        metavar="FILE",
        help=f"write backbone and IoU maps as an ONNX file instead, opset {OPSET}, batch 1; see docs/jetson.md",
    )
    exporter.add_argument(
        "--crop-size",
        type=int,
        default=TrackerConfig().crop_size,
        metavar="PX",
        help="of the ONNX file's input, TrackerConfig.crop_size (default: %(default)s)",
    )
    exporter.set_defaults(run=_export)


def _import(arguments: argparse.Namespace) -> None:
    output = arguments.output or Path(f"{str(arguments.checkpoint).removesuffix('.pth')}.safetensors")
    official.import_checkpoint(arguments.checkpoint, output)
    print(f"written: {output}; use it as --weights {output}")


def _int8(arguments: argparse.Namespace) -> None:
    found = find_images(arguments.images)
    if not found or arguments.count < 1:
        raise ValueError(
            f"{arguments.images} holds {len(found)} images, and --count is {arguments.count}; expected one or more"
        )
    chosen = np.random.default_rng(arguments.seed).permutation(len(found))[: arguments.count]
    network = weights.load(arguments.weights)
    size = TrackerConfig().crop_size
    crops = (middle_square(read_image(found[i]), size) for i in tqdm(sorted(chosen), unit="image", disable=None))
    ranges = measure_ranges(network.backbone, crops, arguments.seed)
    weights.save(arguments.output, network, {**network.metadata, HEADER_KEY: to_json(ranges)})
    print(f"written: {arguments.output}, with the ranges of {len(ranges)} convolutions from {len(chosen)} images")


def middle_square(image: np.ndarray, size: int) -> Tensor:
    """The largest square in the middle of an image (H, W, 3) uint8, as a crop (1, 3, size, size), float in 0..255."""
    height, width = image.shape[:2]
    side = min(height, width)
    region = (width - side) // 2, (height - side) // 2, side
    return sample_crop(torch.from_numpy(np.ascontiguousarray(image)), region, size)[None]


def _export(arguments: argparse.Namespace) -> None:
    if arguments.onnx is not None:
        _export_onnx(arguments)
        return
    output = arguments.output or Path(f"{Path(arguments.weights).stem}.pth")
    filled = official.export_checkpoint(arguments.weights, output)
    print(f"written: {output}")
    if filled:
        print(f"{len(filled)} tensors that the tracker does not use are zeros: {filled[0]} to {filled[-1]}")


def _export_onnx(arguments: argparse.Namespace) -> None:
    if arguments.output is not None:
        raise ValueError("--output is the file of the authors' layout, and --onnx that of ONNX; give one of them")
    size = TrackerConfig(crop_size=arguments.crop_size).crop_size
    export_onnx(weights.load(arguments.weights), arguments.onnx, size)
    print(f"written: {arguments.onnx}; opset {OPSET}, input {INPUT} 1x3x{size}x{size} float32, RGB in 0..255")
    print(f"outputs: {', '.join(OUTPUTS)}")


def _info(arguments: argparse.Namespace) -> None:
    given = Path(arguments.weights)
    if given.suffix in ("", ".safetensors"):
        _describe_network(weights.find(given))
    else:
        _describe_checkpoint(given)


def _describe_network(path: Path) -> None:
    network = weights.load(path)
    for part in ("backbone", "iou_net"):
        count = sum(p.numel() for p in getattr(network, part).parameters())
        print(f"{part:10s} {count / 1e6:.2f} million parameters")
    unused = weights.load_unused(path)
    if unused:
        count = sum(tensor.numel() for tensor in unused.values())
        print(f"unused     {count / 1e6:.2f} million parameters, kept for atom-weights export")
    metadata = {key: value for key, value in network.metadata.items() if key not in (official.HEADER_KEY, HEADER_KEY)}
    if HEADER_KEY in network.metadata:
        metadata["int8"] = f"activation ranges of {len(from_json(network.metadata[HEADER_KEY]))} convolutions"
    for key, value in {"file": path, "sha256": network.sha256, **metadata}.items():
        print(f"{key:10s} {value}")


def _describe_checkpoint(path: Path) -> None:
    file = read_torch_file(path)
    print(f"file       {path}")
    print(f"sha256     {hashlib.sha256(path.read_bytes()).hexdigest()}")
    print(f"container  {file.container} of torch.save")
    print(f"keys       {weights.listing(file.content)}")
    print(
        f"foreign    {weights.listing(file.foreign_names) or 'none'} (classes and functions; not imported, not called)"
    )
    records = official.net_records(file)
    count = sum(math.prod(record.shape) for record in records.values())
    print(f"net        {len(records)} tensors, {count / 1e6:.2f} million numbers")
    for group, members in _groups(records).items():
        largest = max(members, key=lambda name: math.prod(members[name].shape))
        print(f"  {group:30s} {len(members):3d} tensors, the largest {largest} {members[largest].shape}")
    try:
        official.read_records(file)
        print("layout     as expected: atom-weights import reads it")
    except ValueError as error:
        print(f"layout     other than expected: {error}")


def _groups(records: Mapping[str, TensorRecord]) -> dict[str, dict[str, TensorRecord]]:
    """The tensors by the first two parts of their names."""
    groups: dict[str, dict[str, TensorRecord]] = {}
    for name, record in records.items():
        group = ".".join(name.split(".")[:2])
        groups.setdefault(group, {})[name] = record
    return groups


if __name__ == "__main__":
    sys.exit(main())
