# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-eval fixed-point`: measures on still images whether networks keep a given box in place."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from atom_core.arguments import add_set
from atom_core.config import TrackerConfig
from atom_core.data.held_back import held_back
from atom_core.evaluation.contenders import change_config
from atom_core.evaluation.fixed_point import Outcome, summarize, track_with_predictor, track_with_tracker
from atom_core.evaluation.still_targets import KINDS, StillTarget, find_targets
from atom_core.evaluation.store import write_whole
from atom_core.networks import weights
from atom_core.report_errors import report_errors
from atom_core.tracker import AtomTracker, choose_device

_COLUMNS = (
    ("iou_1", "IoU@1"),
    ("worst_1", "worst@1"),
    ("iou_8", "IoU@8"),
    ("worst_8", "worst@8"),
    ("sides_off_8", "sides off"),
    ("size_8", "size@8"),
)


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit status."""
    arguments = _parser().parse_args(argv)

    def run() -> None:
        results = _run(arguments)
        print(_table(results["networks"]))
        if arguments.output:
            write_whole(arguments.output, json.dumps(results, indent=1, allow_nan=False))
            print(f"Written: {arguments.output}")

    return report_errors("atom-eval fixed-point", run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atom-eval fixed-point",
        description="Learns targets in still images and tracks them in the same image, and in a changed copy, 8 times.",
    )
    parser.add_argument("stills", type=Path, nargs="+", help="folders of still images with boxes.json")
    parser.add_argument(
        "--networks",
        type=lambda text: text.split(","),
        default=["default"],
        metavar="NAME,...",
        help="shipped networks or .safetensors files (default: default)",
    )
    parser.add_argument(
        "--with",
        dest="whole",
        choices=("predictor", "tracker"),
        default="predictor",
        help="the IoU predictor alone (default), or the whole tracker, some 20 times slower",
    )
    parser.add_argument("--targets", type=int, default=40, metavar="N", help="of each kind (default: 40)")
    parser.add_argument(
        "--kinds", type=lambda text: text.split(","), default=KINDS, metavar="KIND,...", help=f"of {', '.join(KINDS)}"
    )
    parser.add_argument("--all-images", action="store_true", help="also images that networks were trained on")
    parser.add_argument("--device", default="cpu", help="auto, cpu (default), cuda or cuda:<index>")
    add_set(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the figures as JSON")
    return parser


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.targets < 1:
        raise ValueError(f"--targets {arguments.targets}; expected 1 or more")
    config = change_config(TrackerConfig(), arguments.set)
    device = choose_device(arguments.device)
    networks = {name: weights.load(name) for name in arguments.networks}
    choose = (lambda path: True) if arguments.all_images else held_back
    targets = find_targets(arguments.stills, arguments.targets, arguments.kinds, choose)
    results = {}
    for name, network in networks.items():
        outcomes = _measure(name, network, targets, config, device, arguments.whole)
        results[name] = {"weights_sha256": network.sha256, "figures": summarize(outcomes)}
    settings = {key: str(value) for key, value in vars(arguments).items() if key not in ("networks", "output")}
    return {"settings": settings, "networks": results}


def _measure(
    name: str,
    network: weights.Network,
    targets: Sequence[StillTarget],
    config: TrackerConfig,
    device: torch.device,
    whole: str,
) -> list[Outcome]:
    with tqdm(total=len(targets), desc=name, unit="target", disable=None) as progress:
        if whole == "tracker":
            return track_with_tracker(AtomTracker(network, device, config), targets, progress.update)
        return track_with_predictor(network, targets, config, device, progress.update)


def _table(networks: dict[str, Any]) -> str:
    """Figures as text, a line for each network, copy and group; means with their standard error over the targets."""
    lines = [["network", "image", "targets", "number", *(heading for _, heading in _COLUMNS)]]
    for name, entry in networks.items():
        for image, groups in entry["figures"].items():
            for group, figures in groups.items():
                cells = [_cell(figures, key) for key, _ in _COLUMNS]
                lines.append([name, image, group, str(figures["targets"]), *cells])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    text = ["  ".join(_aligned(line, widths)) for line in lines]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def _cell(figures: dict[str, Any], key: str) -> str:
    error = figures.get(f"{key}_error")
    return f"{figures[key]:.3f}" + ("" if error is None else f"±{error:.3f}")


def _aligned(line: list[str], widths: list[int]) -> list[str]:
    pairs = zip(line, widths, strict=True)
    return [cell.ljust(width) if index < 3 else cell.rjust(width) for index, (cell, width) in enumerate(pairs)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
