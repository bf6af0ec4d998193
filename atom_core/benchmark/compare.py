# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-bench compare`: the change of each figure from one result to another."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atom_core.benchmark.report import COUNTS, TIMES, Tree, describe_run, grid, rows, stage_names
from atom_core.report_errors import report_errors

FORMAT = "atom-bench 1"
_CIRCUMSTANCES = ("tracker", "machine", "plan")  # what the figures depend on


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="atom-bench compare", description="Prints each figure before -> after, and the speed-up."
    )
    parser.add_argument("before", type=Path, help="JSON file that atom-bench wrote")
    parser.add_argument("after", type=Path, help="JSON file that atom-bench wrote")
    arguments = parser.parse_args(argv)
    return report_errors("atom-bench compare", lambda: print(compare(read(arguments.before), read(arguments.after))))


def read(path: Path) -> Tree:
    """A file that atom-bench wrote.

    Raises:
        ValueError: if it is not such a file.
        OSError: if it cannot be read.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} holds no results of atom-bench: {error}") from error
    found = results.get("format") if isinstance(results, dict) else None
    if found != FORMAT:
        raise ValueError(f"{path} holds no results of this atom-bench: its format is {found!r}, not {FORMAT!r}")
    return results


def compare(before: Tree, after: Tree) -> str:
    """The common figures as text, after the differences of the circumstances.

    Raises:
        ValueError: if they have no image size in common.
    """
    one, other = dict(rows(before)), dict(rows(after))
    common = {place: (one[place], other[place]) for place in one if place in other}
    if not common:
        sizes = (", ".join(results["sizes"]) for results in (before, after))
        raise ValueError("no image size is in both: {} before, {} after".format(*sizes))
    differing = [line for part in _CIRCUMSTANCES for line in _differences(before[part], after[part], part)]
    lines = [f"before: {describe_run(before)}", f"after: {describe_run(after)}"]
    lines += ["other circumstances:", *(f"  {line}" for line in differing)] if differing else []
    for size in dict.fromkeys(size for size, _ in common):
        of_size = {kind: pair for (s, kind), pair in common.items() if s == size}
        lines += ["", *grid(_frames(size, of_size)), "", *grid(_stages(of_size))]
    return "\n".join([*lines, "", *_memory(before, after)])


def _frames(size: str, pairs: dict[str, tuple[Tree, Tree]]) -> Iterator[list[str]]:
    yield [size, *TIMES.values(), *COUNTS.values()]
    for kind, (one, other) in pairs.items():
        times = (_change(one["time"], other["time"], key) for key in TIMES)
        counts = (_arrow(_get(one.get("counts"), key), _get(other.get("counts"), key), "d") for key in COUNTS)
        yield [kind, *times, *counts]


def _stages(pairs: dict[str, tuple[Tree, Tree]]) -> Iterator[list[str]]:
    staged = {
        kind: (one["stages"], other["stages"])
        for kind, (one, other) in pairs.items()
        if "stages" in one and "stages" in other
    }
    yield ["stages, mean ms", *staged]
    for name in stage_names(stages for pair in staged.values() for stages in pair):
        times = ([_get(stages.get(name), "mean_ms") for stages in pair] for pair in staged.values())
        yield [name, *(_arrow(before, after, ".2f") for before, after in times)]


def _memory(before: Tree, after: Tree) -> Iterator[str]:
    for name, held in before["memory"].items():
        yield f"{name}: {_memory_change(held, after['memory'][name])}"
    for size, of_size in before["sizes"].items():
        if size in after["sizes"]:
            yield f"{size}: {_memory_change(of_size['memory'], after['sizes'][size]['memory'])}"


def _memory_change(one: Tree, other: Tree) -> str:
    return ", ".join(f"{key} {_arrow(value, other.get(key), '.1f')}" for key, value in one.items())


def _change(one: Tree | None, other: Tree | None, key: str) -> str:
    first, second = _get(one, key), _get(other, key)
    faster = f" ({first / second:.2f}x)" if first and second else ""
    return _arrow(first, second, ".2f") + faster


def _arrow(one: float | None, other: float | None, form: str) -> str:
    first, second = ("-" if value is None else format(value, form) for value in (one, other))
    return first if first == second else f"{first} -> {second}"


def _get(tree: Tree | None, key: str) -> Any:
    return None if tree is None else tree.get(key)


def _differences(one: Any, other: Any, place: str) -> Iterator[str]:
    """A line for each value that differs between two trees."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            yield from _differences(one.get(key), other.get(key), f"{place}.{key}")
    elif one != other:
        yield f"{place}: {one} -> {other}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
