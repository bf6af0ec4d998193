# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The figures as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from atom_core.benchmark.timing import REST

Tree = dict[str, Any]
Place = tuple[str, str]  # image size, kind of frame
TIMES = {"median_ms": "median ms", "p95_ms": "p95 ms", "mean_ms": "mean ms"}
COUNTS = {"operations": "operations", "host_reads": "host reads", "uploads": "uploads"}


def table(results: Tree) -> str:
    """The results of a run: times and counts of each kind of frame, its stages, memory."""
    tracker, machine = results["tracker"], results["machine"]
    lines = [
        f"{tracker['network']} on {tracker['device']}, {tracker['precision']}, engine {tracker['engine']}, "
        f"{tracker['execution']}, "
        f"{machine['cpu_threads']} threads of {machine['cpu_cores']} cores, {machine['cpu']}; GPU {machine['gpu']}",
        describe_run(results),
    ]
    for size, of_size in results["sizes"].items():
        lines += ["", *grid(_frames(size, of_size)), "", *grid(_stages(of_size["frames"])), *_remarks(of_size)]
    if len(results["sizes"]) > 1:
        lines += ["", *grid(_by_size(results))]
    lines += ["", *_memory(results)]
    return "\n".join(lines)


def describe_run(results: Tree) -> str:
    """The date, the load of other programs and the command line."""
    run = results["run"]
    return f"{run['date']}, load {run['load_average']:.1f}, {run['command']}"


def rows(results: Tree) -> Iterator[tuple[Place, Tree]]:
    """The figures of each kind of frame, including those of baseline trackers."""
    for size, of_size in results["sizes"].items():
        for kind, figures in of_size["frames"].items():
            yield (size, kind), figures
        for name, baseline in of_size["baselines"].items():
            for kind, figures in baseline["frames"].items():
                yield (size, f"{name} {kind}"), figures


def _frames(size: str, of_size: Tree) -> Iterator[list[str]]:
    yield [size, "frames", *TIMES.values(), *COUNTS.values()]
    for (_, kind), figures in rows({"sizes": {size: of_size}}):
        time, counts = figures["time"] or {}, figures.get("counts") or {}
        times = [f"{time[key]:.2f}" if time else "-" for key in TIMES]
        yield [kind, str(time.get("count", 0)), *times, *(str(counts.get(key, "-")) for key in COUNTS)]


def _stages(frames: Tree) -> Iterator[list[str]]:
    by_kind = {kind: figures["stages"] for kind, figures in frames.items() if "stages" in figures}
    yield ["stages, mean ms", *by_kind]
    for name in stage_names(by_kind.values()):
        yield [name, *(f"{stages[name]['mean_ms']:.2f}" if name in stages else "-" for stages in by_kind.values())]


def stage_names(groups: Iterable[Tree]) -> list[str]:
    """The names of all stages in the order of their first occurrence, the rest last."""
    names = dict.fromkeys(name for stages in groups for name in stages)
    return [name for name in names if name != REST] + [name for name in names if name == REST]


def _by_size(results: Tree) -> Iterator[list[str]]:
    """Whether a frame's time depends on the image's size."""
    found = {place: figures["time"] for place, figures in rows(results)}
    kinds = list(dict.fromkeys(kind for _, kind in found))
    yield ["median ms", *kinds]
    for size in results["sizes"]:
        yield [size, *(f"{time['median_ms']:.2f}" if (time := found[size, kind]) else "-" for kind in kinds)]


def _remarks(of_size: Tree) -> Iterator[str]:
    for kind, figures in of_size["frames"].items():
        if figures.get("forced"):
            count = figures["time"]["count"]
            yield f"{kind}: {figures['forced']} of {count} frames are of this kind through changed thresholds"
    video = of_size["frames"]["video"]
    for name, states in (("warm-up", of_size["warm_up"]), ("video", video["states"])):
        yield f"{name}: {', '.join(f'{count} {state}' for state, count in states.items()) or 'no frames'}"
    if video["memory"]:
        first, last = video["memory"][0], video["memory"][-1]
        for key in (key for key in first if key.endswith("_mb") and first[key] is not None):
            yield f"video, {key}: {first[key]:.1f} at frame {first['frame']}, {last[key]:.1f} at frame {last['frame']}"


def _memory(results: Tree) -> Iterator[str]:
    for name, held in results["memory"].items():
        yield f"{name}: {_join(held)}"
    for size, of_size in results["sizes"].items():
        yield f"{size}: {_join(of_size['memory'])}"


def _join(held: Tree) -> str:
    return ", ".join(f"{key} {value:.1f}" for key, value in held.items() if value is not None)


def grid(lines: Iterable[list[str]]) -> list[str]:
    """Lines of cells with aligned columns: the first left-aligned, the others right-aligned."""
    lines = list(lines)
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
