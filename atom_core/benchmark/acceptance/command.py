# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-bench accept`: the acceptance test of a device, in one report that can be sent back."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch

from atom_core.arguments import add_set, add_weights, at_least
from atom_core.benchmark.acceptance.marked_tests import run_marked_tests
from atom_core.benchmark.acceptance.modes import PRECISIONS, Settings
from atom_core.benchmark.acceptance.report import JSON_FILE, PAGE_FILE, count, has_passed, write_report
from atom_core.benchmark.acceptance.sheet import Line, Work, run_isolated
from atom_core.benchmark.acceptance.speed import time_modes
from atom_core.benchmark.acceptance.tracking import track_modes, track_reference
from atom_core.benchmark.acceptance.versions import check_versions
from atom_core.config import TrackerConfig
from atom_core.evaluation.contenders import change_config
from atom_core.evaluation.store import describe_machine
from atom_core.report_errors import report_errors

PARTS = ("versions", "tests", "tracking", "speed")


class Part(NamedTuple):
    """One process."""

    name: str
    work: Work
    arguments: tuple[Any, ...]


def main(argv: list[str]) -> int:
    """Runs the command; the exit status is 0 if everything passed, 1 if something failed, 2 for wrong usage."""
    arguments = _parser().parse_args(argv)
    lines: list[Line] = []
    status = report_errors("atom-bench accept", lambda: lines.extend(_run(arguments, argv)))
    return status or int(not has_passed(lines))


def _run(arguments: argparse.Namespace, argv: list[str]) -> list[Line]:
    settings = Settings(arguments.weights, arguments.device, change_config(TrackerConfig(), arguments.set))
    arguments.output.mkdir(parents=True, exist_ok=True)
    circumstances = {
        "run": {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["atom-bench", "accept", *argv]),
        },
        "machine": _describe_machine(),
        "settings": {**asdict(settings), "config": _changes(settings.config)},
    }
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="atom_accept_") as name:
        for part in plan(arguments, settings, Path(name)):
            lines += run_isolated(part.name, part.work, part.arguments, Path(name), arguments.minutes * 60)
            write_report(arguments.output, circumstances, lines)  # the lines so far, in case this program is killed
    print(f"{count(lines)}; written: {arguments.output / JSON_FILE}, {arguments.output / PAGE_FILE}")
    return lines


def plan(arguments: argparse.Namespace, settings: Settings, folder: Path) -> list[Part]:
    """The requested parts, in order."""
    sequences = arguments.sequences and arguments.sequences.absolute()
    seconds, reference = arguments.minutes * 60 - 10, folder / "reference.json"
    found = {
        "versions": [Part("versions", check_versions, (settings.device,))],
        "tests": [Part("tests", run_marked_tests, (settings.device, folder, seconds, arguments.select))],
        "tracking": [
            Part("tracking on the CPU", track_reference, (settings, sequences, arguments.frames, reference)),
            *(
                Part(f"tracking {kind}", track_modes, (settings, kind, sequences, arguments.frames, reference))
                for kind in arguments.precisions
            ),
        ],
        "speed": [
            Part(f"speed {kind}", time_modes, (settings, kind, arguments.samples)) for kind in arguments.precisions
        ],
    }
    return [part for name in PARTS if name in arguments.parts for part in found[name]]


def _describe_machine() -> dict[str, Any]:
    try:
        return describe_machine(torch.get_num_threads())
    except RuntimeError as error:  # a broken driver belongs in the report
        return {"error": str(error)}


def _changes(config: TrackerConfig) -> str:
    defaults = asdict(TrackerConfig())
    changed = [f"{key}={value}" for key, value in asdict(config).items() if value != defaults[key]]
    return ", ".join(changed) or "all as by default"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atom-bench accept",
        description="Checks that the tracker's results on a device match the CPU's, and its speed: versions, the tests "
        "marked gpu, sequences in each precision, eager and captured, times and the profiler's figures. Whatever fails "
        "is a line of the report.",
        epilog="The exit status is 0 if all has passed. See docs/benchmarks.md.",
    )
    parser.add_argument("sequences", type=Path, nargs="?", metavar="FOLDER", help="to track (default: the street clip)")
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:<index> or cpu")
    parser.add_argument(
        "--output", type=Path, default=Path("accept_output"), metavar="DIR", help="(default: %(default)s)"
    )
    add_weights(parser)
    add_set(parser)
    parser.add_argument("--frames", type=at_least(1), metavar="N", help="of each sequence (default: all)")
    parser.add_argument(
        "--samples", type=at_least(1), default=100, metavar="N", help="frames timed of each kind (%(default)s)"
    )
    parser.add_argument(
        "--minutes", type=at_least(1), default=30, metavar="N", help="for each part (default: %(default)s)"
    )
    _add_choice(parser, "--parts", PARTS, "what to do")
    _add_choice(parser, "--precisions", PRECISIONS, "of the networks")
    parser.add_argument(
        "--select", default="", metavar="EXPRESSION", help="tests to run, as pytest's -k (default: all)"
    )
    return parser


def _add_choice(parser: argparse.ArgumentParser, option: str, choices: Sequence[str], text: str) -> None:
    def parse(given: str) -> list[str]:
        unknown = sorted(set(given.split(",")) - set(choices))
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; expected some of {','.join(choices)}")
        return given.split(",")

    parser.add_argument(
        option, type=parse, default=list(choices), metavar="NAME,...", help=f"{text} (default: {','.join(choices)})"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
