# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Endurance test: `python -m atom_ros.benchmark.soak 60` runs a camera, the node and a listener for an hour.

A line every ten seconds reports memory, delays (from an image's publication to its Track) and drops; the last
lines report whether the memory grew. Every service is called before each line. The test ends early, with status 1, if
the node's process ends, sends nothing for a minute or leaves a request without an answer.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from atom_core.arguments import image_size
from atom_ros.benchmark.command import (
    Listener,
    add_node_arguments,
    call_services,
    running_camera,
    running_node,
    target_box,
)
from atom_ros.benchmark.figures import Spread
from atom_ros.gpu import process_megabytes
from atom_tracker.msg import Track

_PATIENCE = 60.0  # s without a Track
_SPARE = 300.0  # s that the camera runs longer than the measurement: lines may be late
_SEEN = (Track.TRACKING, Track.UNCERTAIN)


@dataclass(frozen=True)
class Line:
    """The figures since the previous line."""

    minutes: float  # since the start
    memory: float  # MB of the node's process in RAM, at the end of the interval
    tracks: int
    delay_median: float  # ms; NaN without a Track
    delay_p95: float
    delay_max: float
    received: int  # images, by the node's own count
    dropped: int
    failed: int
    seen: bool  # whether the target is seen before the line's requests
    requests: int = 0  # all of them answered
    answer_max: float = math.nan  # ms, the slowest answer

    def __str__(self) -> str:
        return (
            f"{self.minutes:7.2f} min  {self.memory:7.1f} MB  {self.tracks:5d} tracks  delay {self.delay_median:.1f} "
            f"ms median, {self.delay_p95:.1f} p95, {self.delay_max:.1f} max  {self.received} received, {self.dropped} "
            f"dropped, {self.failed} failed; {self.requests} requests, {self.answer_max:.1f} ms max"
            f"{'' if self.seen else '  target not seen'}"
        )


def growth(lines: Sequence[Line]) -> float:
    """Growth in MB from the second to the last fifth of the lines, by their medians; the first fifth is warm-up.

    NaN for fewer than five lines.
    """
    fifth = len(lines) // 5
    if fifth == 0:
        return math.nan
    memory = [line.memory for line in lines]
    return statistics.median(memory[-fifth:]) - statistics.median(memory[fifth : 2 * fifth])


def slope(lines: Sequence[Line]) -> float:
    """MB a minute of the line fitted to the memory after the first fifth; NaN for fewer than two lines there."""
    rest = lines[len(lines) // 5 :]
    if len(rest) < 2:
        return math.nan
    return float(np.polyfit([line.minutes for line in rest], [line.memory for line in rest], 1)[0])


def main(argv: list[str] | None = None) -> int:
    """Runs, prints and returns the exit status: 1 if the memory grew by more than `--growth`, or nothing came."""
    arguments = _parse_arguments(argv)
    try:
        with running_node({"weights": arguments.weights, "device": arguments.device}) as (tracker, listener):
            lines = _soak(listener, tracker.pid, arguments)
    except (RuntimeError, TimeoutError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    if arguments.csv:
        _write(arguments.csv, lines)
    grown = growth(lines)
    names = ("received", "dropped", "failed", "requests")
    total = {name: sum(getattr(line, name) for line in lines) for name in names}
    print(
        f"{lines[-1].minutes:.1f} min: {', '.join(f'{count} {name}' for name, count in total.items())}, all of them "
        f"answered, in {max(line.answer_max for line in lines):.0f} ms at most; the target was "
        f"seen at the end of {sum(line.seen for line in lines)} of {len(lines)} lines; memory {slope(lines):+.2f} MB a "
        f"minute after the first fifth, {grown:+.1f} MB in all ({arguments.growth:g} MB are allowed)"
    )
    return int(grown > arguments.growth)


def _soak(listener: Listener, pid: int, arguments: argparse.Namespace) -> list[Line]:
    """Runs the camera; prints the lines as they come and returns them."""
    images = math.ceil(arguments.fps * (60 * arguments.minutes + _SPARE))
    lines: list[Line] = []
    with running_camera(arguments.size, arguments.fps, images, "reliable") as camera:
        listener.wait_until(lambda: listener.newest is not None and bool(listener.counts), "the first Track messages")
        listener.set_target(target_box(0, *arguments.size))
        camera.seen.set()
        camera.go.set()
        listener.clear()
        start, counts = time.monotonic(), dict(listener.counts)
        while (left := start + 60 * arguments.minutes - time.monotonic()) > 0:
            time.sleep(min(arguments.every, left))
            listener.wait_until(_has_news(listener), "the end")
            memory = process_megabytes(pid)
            seen = listener.newest is not None and listener.newest.status in _SEEN
            answers = call_services(listener, arguments.size)
            now = dict(listener.counts)
            minutes = (time.monotonic() - start) / 60
            lines.append(_line(listener, minutes, memory, counts, now, seen, answers))
            counts = now
            print(lines[-1], flush=True)
    return lines


def _has_news(listener: Listener) -> Callable[[], bool]:
    """Condition for `wait_until`: Tracks arrive."""

    def condition() -> bool:
        if time.monotonic() - listener.last_arrival > _PATIENCE:
            raise RuntimeError(f"no Track came for {_PATIENCE:g} s")
        return True

    return condition


def _line(
    listener: Listener,
    minutes: float,
    memory: float,
    before: dict[str, int],
    now: dict[str, int],
    seen: bool,
    answers: dict[str, list[float]],
) -> Line:
    samples = list(listener.samples)
    listener.clear()
    delays = [sample.delay_ms for sample in samples] or [math.nan]
    spread = Spread.of(delays)
    return Line(
        minutes,
        memory,
        len(samples),
        spread.median,
        spread.p95,
        spread.max,
        received=now["received"] - before["received"],
        dropped=now["dropped"] - before["dropped"],
        failed=now["failed"] - before["failed"],
        seen=seen,
        requests=sum(map(len, answers.values())),
        answer_max=max(max(times) for times in answers.values()),
    )


def _write(path: Path, lines: Sequence[Line]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Line)])
        writer.writeheader()
        writer.writerows(asdict(line) for line in lines)
    print(f"written: {path}")


def _size(text: str) -> tuple[int, int]:
    size = image_size(text)
    if min(size) < 16:
        raise argparse.ArgumentTypeError(f"'{text}' is too small to show a target; expected 16 px a side or more")
    return size


def _positive(text: str) -> float:
    number = float(text)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError("not above 0")
    return number


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minutes", type=_positive, nargs="?", default=10.0, help="how long (%(default)s)")
    parser.add_argument("--size", type=_size, default=(640, 480), help="of the images, WIDTHxHEIGHT (640x480)")
    parser.add_argument("--fps", type=_positive, default=30.0, help="images a second (%(default)s)")
    parser.add_argument("--every", type=_positive, default=10.0, help="seconds from line to line (%(default)s)")
    parser.add_argument("--growth", type=float, default=20.0, help="MB that the process may grow by (%(default)s)")
    add_node_arguments(parser)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="file for the lines")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
