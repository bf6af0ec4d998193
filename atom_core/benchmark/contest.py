# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`atom-bench contest`: several trackers on the same drawn video in one run, in alternating blocks.

Other programs slow a machine down for seconds or minutes. Here each tracker has a turn in every such phase, and its
time is compared with that of the first one in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch

from atom_core.arguments import at_least, image_size
from atom_core.benchmark.report import grid
from atom_core.benchmark.scene import DrawnScene
from atom_core.benchmark.session import TrackedScene
from atom_core.config import TrackerConfig
from atom_core.evaluation.baselines import OPENCV_TRACKERS, OpenCVTracker
from atom_core.evaluation.runner import Tracker
from atom_core.evaluation.store import describe_machine, write_whole
from atom_core.networks import weights
from atom_core.networks.prepared import PRECISIONS
from atom_core.report_errors import report_errors
from atom_core.tracker import AtomTracker

Result = TypeVar("Result")


class Spent(NamedTuple):
    """Seconds that something took."""

    clock: float
    processor: float  # of all threads of this process


@dataclass(frozen=True)
class Times:
    """What one tracker took: a list for each round.

    Attributes:
        name: of the tracker.
        initialize: of each round, learning the first frame.
        frames: of each round, its frames.
    """

    name: str
    initialize: list[Spent]
    frames: list[list[Spent]]


def spent(run: Callable[[], Result]) -> tuple[Result, Spent]:
    """Runs; what it took."""
    clock, processor = time.perf_counter(), time.process_time()
    result = run()
    return result, Spent(time.perf_counter() - clock, time.process_time() - processor)


def compete(trackers: dict[str, Tracker], scene: DrawnScene, rounds: int, frames: int, warm_up: int) -> list[Times]:
    """In each round, every tracker learns the first frame; then, in as many rounds, every one follows `frames`.

    Args:
        trackers: by name.
        scene: that all of them see from its beginning.
        rounds: how many, of each sort.
        frames: of a round.
        warm_up: frames of each tracker before the rounds, which do not count.
    """
    videos = {name: TrackedScene(tracker, scene) for name, tracker in trackers.items()}
    times = {name: Times(name, [], []) for name in trackers}
    for video in videos.values():
        video.initialize(1, spent)  # the first one is slower
    for _ in range(rounds):
        for name, video in videos.items():
            times[name].initialize.extend(video.initialize(1, spent))
    for video in videos.values():
        list(video.follow(warm_up, spent))
    for _ in range(rounds):
        for name, video in videos.items():
            times[name].frames.append([taken for _, taken in video.follow(frames, spent)])
    return list(times.values())


def table(times: Sequence[Times]) -> str:
    """A line for each tracker; ratios are of processor time to that of the first tracker, medians over the rounds."""
    head = ["tracker", "median ms", "p95 ms", "processor ms", "ratio", "initialize ms", "processor ms", "ratio"]
    return "\n".join(grid([head, *(_line(one, times[0]) for one in times)]))


def _line(one: Times, first: Times) -> list[str]:
    median, p95 = np.percentile([taken.clock for frames in one.frames for taken in frames], (50, 95)) * 1e3
    mine, theirs = ([_mean(frames) for frames in times.frames] for times in (one, first))
    learned, theirs_learned = ([taken.processor for taken in times.initialize] for times in (one, first))
    figures = [median, p95, statistics.median(mine) * 1e3, _ratio(mine, theirs)]
    figures += [statistics.median(taken.clock for taken in one.initialize) * 1e3]
    figures += [statistics.median(learned) * 1e3, _ratio(learned, theirs_learned)]
    return [one.name, *(f"{figure:.2f}" for figure in figures)]


def _mean(frames: Sequence[Spent]) -> float:
    return statistics.fmean(taken.processor for taken in frames)


def _ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))


def build(name: str, network: weights.Network) -> Tracker:
    """The tracker of a name: ours in a precision, on the CPU, or one of OpenCV's.

    Raises:
        ValueError: if the name is unknown, or the installed OpenCV lacks the tracker.
    """
    if name in PRECISIONS:
        return AtomTracker(network, torch.device("cpu"), TrackerConfig(), name)
    if name in OPENCV_TRACKERS:
        return OpenCVTracker(name)
    known = ", ".join((*PRECISIONS, *OPENCV_TRACKERS))
    raise ValueError(f"unknown tracker '{name}'; expected some of {known}")


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit status."""
    arguments = _parse(argv)
    return report_errors("atom-bench contest", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    threads = arguments.threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    network = weights.load(arguments.weights)
    trackers = {name: build(name, network) for name in arguments.trackers.split(",")}
    scene = DrawnScene(*arguments.size)
    load = os.getloadavg()[0]  # before the work: that of other programs
    times = compete(trackers, scene, arguments.rounds, arguments.frames, arguments.warm_up)
    machine = describe_machine(threads)
    print(f"{network.name}, {threads} threads of {machine['cpu_cores']} cores, {machine['cpu']}, load {load:.1f}")
    print(table(times))
    if arguments.output:
        results: dict[str, Any] = {"network": network.name, "machine": machine, "load_average": load}
        results["trackers"] = [asdict(one) for one in times]
        write_whole(arguments.output, json.dumps(results, indent=1, allow_nan=False))


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="atom-bench contest",
        description="Times trackers on the same drawn video in one run: in each round, every one has its turn.",
    )
    parser.add_argument(
        "--trackers",
        default="float32,auto,kcf,csrt",
        metavar="NAME,...",
        help=f"ours by precision ({', '.join(PRECISIONS)}), OpenCV's {', '.join(OPENCV_TRACKERS)}; ratios are to the "
        "first (default: float32,auto,kcf,csrt)",
    )
    parser.add_argument("--weights", default="default", help="of ours: shipped network or .safetensors file")
    parser.add_argument("--threads", type=at_least(1), metavar="N", help="CPU threads (default: all)")
    parser.add_argument("--size", type=image_size, default=(640, 480), metavar="WxH", help="default: 640x480")
    parser.add_argument("--rounds", type=at_least(1), default=10, metavar="N", help="default: 10")
    parser.add_argument("--frames", type=at_least(1), default=20, metavar="N", help="of a round (default: 20)")
    parser.add_argument("--warm-up", type=at_least(0), default=20, metavar="N", help="frames before (default: 20)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON file to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
