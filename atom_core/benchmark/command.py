# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-bench`: the tracker's times, counts and memory, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import torch

from atom_core.arguments import add_set, add_weights, at_least, image_size
from atom_core.benchmark import compare, contest, report
from atom_core.benchmark.acceptance import command as acceptance
from atom_core.benchmark.measure import Plan, TrackerSettings, build_two, frames_to_fill, measure, measure_baseline
from atom_core.benchmark.scene import DrawnScene
from atom_core.config import TrackerConfig
from atom_core.evaluation.baselines import OPENCV_TRACKERS, OpenCVTracker
from atom_core.evaluation.contenders import change_config
from atom_core.evaluation.store import describe_machine, write_whole
from atom_core.report_errors import report_errors
from atom_core.tracker import AtomTracker, choose_device


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["compare"]:
        return compare.main(argv[1:])
    if argv[:1] == ["accept"]:
        return acceptance.main(argv[1:])
    if argv[:1] == ["contest"]:
        return contest.main(argv[1:])
    arguments = _parser().parse_args(argv)
    return report_errors("atom-bench", lambda: _run(arguments, argv))


def _run(arguments: argparse.Namespace, argv: list[str]) -> None:
    threads = arguments.threads or torch.get_num_threads()
    torch.set_num_threads(threads)  # an engine that compiles the backbone uses it, too
    cv2.setNumThreads(threads)
    scenes = {f"{width}x{height}": DrawnScene(width, height) for width, height in arguments.sizes}
    baselines = {name: OpenCVTracker(name) for name in arguments.baselines}
    settings = _settings(arguments)
    plan = _plan(arguments, settings.config)
    results = _describe(settings, plan, argv)  # before measuring: the load is that of other programs
    tracker, built = _build_two(settings, next(iter(scenes.values())))
    results["tracker"] |= built["tracker"]
    results["memory"] = built["memory"]
    results["sizes"] = {}
    for size, scene in scenes.items():
        others = {name: measure_baseline(baseline, scene, plan) for name, baseline in baselines.items()}
        results["sizes"][size] = {**measure(tracker, scene, plan), "baselines": others}
    print(report.table(results))
    if arguments.output:
        write_whole(arguments.output, json.dumps(results, indent=1, allow_nan=False))
        print(f"written: {arguments.output}")


def _settings(arguments: argparse.Namespace) -> TrackerSettings:
    config = change_config(TrackerConfig(), arguments.set)
    device = choose_device(arguments.device)
    return TrackerSettings(arguments.weights, device, arguments.precision, arguments.engine, arguments.capture, config)


def _plan(arguments: argparse.Namespace, config: TrackerConfig) -> Plan:
    warm_up = frames_to_fill(config) if arguments.warm_up is None else arguments.warm_up
    return Plan(warm_up, arguments.frames, arguments.samples, arguments.initializations)


def _describe(settings: TrackerSettings, plan: Plan, argv: list[str]) -> dict[str, Any]:
    """Everything that the figures depend on."""
    return {
        "format": compare.FORMAT,
        "run": {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["atom-bench", *argv]),
            "load_average": os.getloadavg()[0],  # over the last minute; near 0 on an idle machine
        },
        "machine": describe_machine(torch.get_num_threads()),
        "tracker": {**asdict(settings), "device": str(settings.device)},
        "plan": asdict(plan),
    }


def _build_two(settings: TrackerSettings, scene: DrawnScene) -> tuple[AtomTracker, dict[str, Any]]:
    try:
        return build_two(settings, scene)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"--engine {settings.engine}: {error.name} is not installed; pip install {error.name}, or --engine auto"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atom-bench",
        description="Times the tracker on a drawn video: the first frame, and later ones of each kind, whole and stage "
        "by stage. Counts operations and waits, and measures memory.",
        epilog="atom-bench compare A.json B.json: the change of each figure; atom-bench contest: beside other "
        "precisions and OpenCV's trackers; atom-bench accept: the acceptance test of a GPU. See docs/benchmarks.md.",
    )
    add_weights(parser)
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:<index>")
    parser.add_argument("--precision", default="float32", help="float32 (default), bfloat16, float16, int8 or auto")
    parser.add_argument("--engine", default="auto", help="auto (default), openvino, torch or an .onnx file")
    parser.add_argument("--capture", default="auto", help="of the frame step: auto, graph (CUDA), inductor or off")
    parser.add_argument("--threads", type=at_least(1), metavar="N", help="CPU threads (default: all)")
    parser.add_argument(
        "--sizes", type=_sizes, default=[(480, 360)], metavar="WxH,...", help="of the images (default: 480x360)"
    )
    add_set(parser)
    parser.add_argument(
        "--frames", type=at_least(1), default=100, metavar="N", help="of the video tracked as it comes (default: 100)"
    )
    parser.add_argument(
        "--samples", type=at_least(1), default=30, metavar="N", help="frames of each kind (default: 30)"
    )
    parser.add_argument(
        "--initializations",
        type=at_least(1),
        default=5,
        metavar="N",
        help="times to learn the first frame (%(default)s)",
    )
    parser.add_argument(
        "--warm-up", type=at_least(0), metavar="N", help="frames before (default: until the sample memory is full)"
    )
    parser.add_argument(
        "--baselines",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,...",
        help=f"OpenCV's trackers to time as well: {', '.join(OPENCV_TRACKERS)}",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON file to write")
    return parser


def _sizes(text: str) -> list[tuple[int, int]]:
    return [image_size(size) for size in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
