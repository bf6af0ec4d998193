# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import time

import pytest

from atom_core.benchmark.command import main
from atom_core.benchmark.contest import Spent, Times, compete, spent, table
from atom_core.benchmark.scene import DrawnScene
from atom_core.evaluation.baselines import IdentityTracker


class NotingTracker(IdentityTracker):
    """Notes whose turn it is."""

    def __init__(self, name, turns):
        self.name, self.turns = name, turns

    def initialize(self, image, box):
        self.turns.append(self.name.upper())
        super().initialize(image, box)

    def track(self, image):
        self.turns.append(self.name)
        return super().track(image)


def test_every_tracker_has_its_turn_in_each_round():
    turns = []
    trackers = {name: NotingTracker(name, turns) for name in "ab"}
    times = compete(trackers, DrawnScene(96, 80), rounds=2, frames=3, warm_up=1)
    assert "".join(turns) == "AB" + "AB" * 2 + "ab" + "aaabbb" * 2
    assert [(one.name, len(one.initialize), [len(frames) for frames in one.frames]) for one in times] == [
        ("a", 2, [3, 3]),
        ("b", 2, [3, 3]),
    ]


def test_ratios_are_medians_of_those_within_a_round():
    def times(name, processor):
        return Times(name, [Spent(0.5, p) for p in processor], [[Spent(0.001, p), Spent(0.003, p)] for p in processor])

    # The second round is five times as slow for both: b takes 0.5, 0.5 and 0.25 of a.
    lines = table([times("a", (0.04, 0.2, 0.04)), times("b", (0.02, 0.1, 0.01))]).splitlines()
    assert lines[1].split() == ["a", "2.00", "3.00", "40.00", "1.00", "500.00", "40.00", "1.00"]
    assert lines[2].split() == ["b", "2.00", "3.00", "20.00", "0.50", "500.00", "20.00", "0.50"]


def test_waiting_takes_no_processor_time():
    _, taken = spent(lambda: time.sleep(0.1))
    assert taken.clock >= 0.1 and taken.processor < 0.05


def test_the_command_prints_and_writes_all(tmp_path, capsys):
    few = ["--size", "96x80", "--rounds", "1", "--frames", "2", "--warm-up", "0", "--threads", "1"]
    assert main(["contest", "--trackers", "float32,mil", *few, "--output", str(tmp_path / "a.json")]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["tracker", "float32", "mil"]
    results = json.loads((tmp_path / "a.json").read_text())
    assert [one["name"] for one in results["trackers"]] == ["float32", "mil"]


@pytest.mark.parametrize("name", ["kfc", ""])
def test_an_unknown_tracker_is_named(name, capsys):
    assert main(["contest", "--trackers", f"float32,{name}"]) != 0
    assert f"unknown tracker '{name}'; expected some of auto, float32" in capsys.readouterr().err
