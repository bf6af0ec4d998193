# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

from atom_core.evaluation import compare
from atom_core.evaluation.summary import mean, spread


def entry(rows: dict[str, list[float]]) -> dict:
    """A tracker's entry: AUC of each sequence with seeds 0, 1, ..."""
    sequences = {}
    for name, values in rows.items():
        runs = {str(seed): {"auc": value} for seed, value in enumerate(values)}
        sequences[name] = {"figures": mean(runs.values()), "spread": spread(runs.values()), "runs": runs}
    seeds = len(next(iter(rows.values())))
    means = [{"auc": float(np.mean([values[seed] for values in rows.values()]))} for seed in range(seeds)]
    return {"mean": mean(means), "spread": spread(means), "seeds": list(range(seeds)), "sequences": sequences}


def write(path, trackers: dict) -> str:
    path.mkdir()
    (path / "results.json").write_text(json.dumps({"trackers": trackers}))
    return str(path)


def test_differences_have_the_standard_error_of_both():
    first, second = entry({"goat": [0.5, 0.7], "boat": [0.8, 0.8]}), entry({"goat": [0.6, 0.6], "boat": [0.9, 0.9]})
    goat, boat, total = compare.differences(first, second, "auc")
    assert (goat.name, boat.name, total.name) == ("goat", "boat", "mean")
    assert goat.second - goat.first == pytest.approx(0)
    # deviations 0.2 / sqrt(2) and 0, each of two runs: sqrt(0.02 / 2)
    assert goat.error == pytest.approx(0.1)
    assert not goat.is_clear
    assert boat.is_clear
    # seed means 0.65, 0.75 and 0.75, 0.75
    assert total.second - total.first == pytest.approx(0.05)
    assert total.error == pytest.approx(np.sqrt(0.005 / 2))


def test_the_command_prints_each_sequence(tmp_path, capsys):
    first = write(tmp_path / "a", {"old": entry({"goat": [0.5], "boat": [0.25]})})
    second = write(tmp_path / "b", {"new": entry({"goat": [0.75], "boat": [0.25]})})
    assert compare.main([first, second]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["auc:", "old", "->", "new"]
    assert lines[1:4] == [
        ["goat", "0.500", "0.750", "+0.250"],
        ["boat", "0.250", "0.250", "+0.000"],
        ["mean", "0.375", "0.500", "+0.125"],
    ]


@pytest.mark.parametrize(
    "trackers, message",
    [
        ({"x": entry({"goat": [0.5]}), "y": entry({"goat": [0.5]})}, "no tracker is in both: a, b in the first, x, y"),
        ({"a": entry({"boat": [0.5]}), "y": entry({"boat": [0.5]})}, "the sequences differ: boat, goat"),
    ],
)
def test_what_cannot_be_compared_is_told(tmp_path, capsys, trackers, message):
    first = write(tmp_path / "a", {"a": entry({"goat": [0.5]}), "b": entry({"goat": [0.5]})})
    assert compare.main([first, write(tmp_path / "b", trackers)]) == 2
    assert message in capsys.readouterr().err


def test_a_file_without_results_is_named(tmp_path, capsys):
    (tmp_path / "results.json").write_text("{}")
    assert compare.main([str(tmp_path), str(tmp_path)]) == 2
    assert "results.json holds no results of atom-eval" in capsys.readouterr().err
