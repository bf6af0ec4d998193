# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-eval compare`: the differences between two results by sequence, and which are clear."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atom_core.evaluation.summary import ACCURACY, CONFIDENCE, STATES
from atom_core.report_errors import report_errors


@dataclass(frozen=True)
class Difference:
    """A figure of the second result minus that of the first.

    Attributes:
        name: of the sequence, or `mean`.
        first: the figure in the first result.
        second: the figure in the second result.
        error: standard error of the difference, from the spreads over the seeds; None with a single seed.
    """

    name: str
    first: float
    second: float
    error: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the difference exceeds two standard errors."""
        return self.error is not None and abs(self.second - self.first) > 2 * self.error


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="atom-eval compare", description="Prints the differences between two results, second minus first."
    )
    parser.add_argument("first", type=Path, help="results.json, or the folder that holds it")
    parser.add_argument("second", type=Path, help="results.json, or the folder that holds it")
    parser.add_argument(
        "--figure",
        choices=[c.key for c in (*ACCURACY, *STATES, *CONFIDENCE)],
        default="auc",
        help="to compare (default: auc)",
    )
    arguments = parser.parse_args(argv)
    return report_errors(
        "atom-eval compare",
        lambda: print(_compare(_read(arguments.first), _read(arguments.second), arguments.figure)),
    )


def _read(path: Path) -> dict[str, Any]:
    """The trackers of a result."""
    path = path / "results.json" if path.is_dir() else path
    try:
        return json.loads(path.read_text(encoding="utf-8"))["trackers"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no results of atom-eval: {error!r}") from error


def _compare(first: dict[str, Any], second: dict[str, Any], figure: str) -> str:
    lines = []
    for one, other in _pairs(first, second):
        lines.append(f"{figure}: {one}" + (f" -> {other}" if other != one else ""))
        found = list(differences(first[one], second[other], figure))
        if not found:
            raise ValueError(f"neither the mean nor any sequence has the figure '{figure}' in both results")
        width = max(len(difference.name) for difference in found)
        for d in found:
            error = "" if d.error is None else f"  ±{d.error:.3f}{'  *' if d.is_clear else ''}"
            lines.append(f"  {d.name:<{width}}  {d.first:.3f}  {d.second:.3f}  {d.second - d.first:+.3f}{error}")
    return "\n".join([*lines, "± standard error over the seeds; * more than two standard errors"])


def _pairs(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str]]:
    """Trackers of the same name; if each result has only one, those two."""
    if len(first) == len(second) == 1:
        return [(next(iter(first)), next(iter(second)))]
    common = [(name, name) for name in first if name in second]
    if not common:
        raise ValueError(f"no tracker is in both: {', '.join(first)} in the first, {', '.join(second)} in the second")
    return common


def differences(first: dict[str, Any], second: dict[str, Any], figure: str) -> Iterator[Difference]:
    """The differences of two trackers' entries in `results.json`: of the sequences in both, then of the mean.

    Raises:
        ValueError: if the results are for different sequences.
    """
    if first["sequences"].keys() != second["sequences"].keys():
        apart = sorted(first["sequences"].keys() ^ second["sequences"].keys())
        raise ValueError(f"the sequences differ: {', '.join(apart)} in one result only; their means cannot be compared")
    rows = [(name, of, second["sequences"][name]) for name, of in first["sequences"].items()]
    for name, one, other in rows:
        counts = len(one["runs"]), len(other["runs"])
        yield from _difference(name, one["figures"], other["figures"], (one["spread"], other["spread"]), counts, figure)
    counts = len(first["seeds"]), len(second["seeds"])
    yield from _difference("mean", first["mean"], second["mean"], (first["spread"], second["spread"]), counts, figure)


def _difference(
    name: str,
    first: dict[str, Any],
    second: dict[str, Any],
    spreads: tuple[dict[str, Any], dict[str, Any]],
    counts: tuple[int, int],
    figure: str,
) -> Iterator[Difference]:
    """The difference; None if a figure is not defined."""
    if first.get(figure) is None or second.get(figure) is None:  # older results lack some
        return
    deviations = [deviation for spread in spreads if (deviation := spread.get(figure)) is not None]
    error = None
    if len(deviations) == len(counts):
        error = math.sqrt(sum(d**2 / count for d, count in zip(deviations, counts, strict=True)))
    yield Difference(name, first[figure], second[figure], error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
