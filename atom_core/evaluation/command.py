# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-eval`: trackers on a folder of sequences, figures as a table and as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import fnmatch
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import torch
from tqdm import tqdm

from atom_core.config import TrackerConfig
from atom_core.evaluation import runner
from atom_core.evaluation.baselines import OPENCV_TRACKERS, IdentityTracker, OpenCVTracker
from atom_core.evaluation.sequences import Sequence, read_sequences
from atom_core.tracker import AtomTracker

_NAMES = ("ours", *OPENCV_TRACKERS, "identity")


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.threads:
            torch.set_num_threads(arguments.threads)
            cv2.setNumThreads(arguments.threads)
        config = parse_config(arguments.set, vot=arguments.vot)
        sequences = _select(read_sequences(arguments.folder), arguments.sequences)
        trackers = {name: _make(name, arguments, config) for name in arguments.trackers}
    except (ValueError, FileNotFoundError) as error:  # wrong arguments or folders: the message says what to mend
        print(f"atom-eval: {error}", file=sys.stderr)
        return 2
    runs = _run_all(trackers, sequences)
    result = runner.report(runs, sequences, arguments.lost_is_miss)
    print(runner.table(result))
    if arguments.output:
        _write(arguments.output, {"settings": _settings(arguments, config, trackers), "trackers": result})
    return 0


def parse_config(assignments: list[str], vot: bool = False) -> TrackerConfig:
    """A configuration changed by `KEY=VALUE` strings.

    Args:
        assignments: fields of TrackerConfig and their values, e.g. `["memory_size=100", "use_hann_window=true"]`.
        vot: start from the VOT settings.

    Raises:
        ValueError: if an assignment has no `=`, or its field is unknown, or its value is not of the field's type or
            outside its range.
    """
    base = TrackerConfig.vot() if vot else TrackerConfig()
    changes = dict(_parse_assignment(text, base) for text in assignments)
    return dataclasses.replace(base, **changes)


def _parse_assignment(text: str, base: TrackerConfig) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: expected KEY=VALUE")
    fields = [field.name for field in dataclasses.fields(base)]
    if key not in fields:
        close = difflib.get_close_matches(key, fields, n=3) or fields
        raise ValueError(f"--set {text}: TrackerConfig has no field '{key}'; did you mean {', '.join(close)}?")
    expected = type(getattr(base, key))
    parse: Callable[[str], Any] = {"true": True, "false": False}.__getitem__ if expected is bool else expected
    try:
        return key, parse(value)
    except (ValueError, KeyError) as error:
        raise ValueError(f"--set {text}: '{value}' is not a value of type {expected.__name__}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atom-eval",
        description="One-pass evaluation (OTB protocol) on sequences: folders with groundtruth_rect.txt and img/ "
        "or a video.",
    )
    parser.add_argument("folder", type=Path, help="a sequence, or a folder of sequences")
    parser.add_argument("--sequences", metavar="PATTERN", help="only sequences whose name matches, e.g. 'uav*'")
    parser.add_argument(
        "--trackers",
        type=_tracker_names,
        default=["ours"],
        metavar="NAME,...",
        help=f"of {', '.join(_NAMES)} (default: ours)",
    )
    parser.add_argument("--weights", default="default", help="name or file of our tracker's weights")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:<index>")
    parser.add_argument("--threads", type=int, help="CPU threads to use")
    parser.add_argument("--vot", action="store_true", help="start from the settings for the VOT challenge")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a TrackerConfig field")
    parser.add_argument("--lost-is-miss", action="store_true", help="frames reported LOST count as overlap 0")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write results.json here")
    return parser


def _tracker_names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in _NAMES]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; expected names of {', '.join(_NAMES)}")
    return names


def _select(sequences: list[Sequence], pattern: str | None) -> list[Sequence]:
    chosen = [sequence for sequence in sequences if pattern is None or fnmatch.fnmatch(sequence.name, pattern)]
    if not chosen:
        known = ", ".join(sequence.name for sequence in sequences)
        raise ValueError(f"--sequences {pattern}: matches none of {known}")
    return chosen


def _make(name: str, arguments: argparse.Namespace, config: TrackerConfig) -> runner.Tracker:
    if name == "identity":
        return IdentityTracker()
    if name in OPENCV_TRACKERS:
        return OpenCVTracker(name)
    return AtomTracker.from_pretrained(arguments.weights, device=arguments.device, config=config)


def _run_all(trackers: dict[str, runner.Tracker], sequences: list[Sequence]) -> list[runner.Run]:
    frames = len(trackers) * sum(len(sequence) for sequence in sequences)
    with tqdm(total=frames, unit="frame", disable=None) as progress:
        runs = []
        for name, tracker in trackers.items():
            for sequence in sequences:
                progress.set_description(f"{name} {sequence.name}")
                runs.append(runner.run_sequence(name, tracker, sequence, progress.update))
    return runs


def _settings(
    arguments: argparse.Namespace, config: TrackerConfig, trackers: dict[str, runner.Tracker]
) -> dict[str, Any]:
    """What one must know to repeat the figures."""
    settings = {
        "lost_is_miss": arguments.lost_is_miss,
        "cpu_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
    }
    if "ours" in trackers:
        ours = trackers["ours"]
        settings |= {
            "config": dataclasses.asdict(config),
            "device": str(ours.device),
            "network": ours.network_name,
            "weights_sha256": ours.weights_sha256,
        }
    return settings


def _write(folder: Path, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    path.write_text(json.dumps(content, indent=1))
    print(f"Written: {path}")


if __name__ == "__main__":
    sys.exit(main())
