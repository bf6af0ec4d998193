# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The node's benchmark as it is run, with small images and for a few seconds; its times are not judged."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from robot import TIMEOUT

from atom_ros.benchmark import scene, target_box

SERVICES = {"set_target", "get_parameters", "set_parameters", "get_state", "remove_target", "clear_target"}


@pytest.mark.parametrize("index", [0, 15, 30])
def test_the_target_is_where_the_box_says(index: int) -> None:
    x, y, side, _ = target_box(index, 160, 120)
    top, left, side = round(y + 0.5), round(x + 0.5), round(side)
    other = scene((index + 20) % 60, 160, 120)  # the target is elsewhere in it
    changed = np.any(scene(index, 160, 120) != other, axis=2)
    inside = changed[top : top + side, left : left + side]
    assert inside.mean() > 0.9
    assert changed.sum() <= 2 * side * side, "nothing but the two places of the target"


def test_every_phase_accounts_for_every_image(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    command = [sys.executable, "-m", "atom_ros.benchmark", "--size", "160x120", "--fps", "25", "--seconds", "2"]
    command += ["--phases", "services", "delay", "--device", "cpu", "--output", str(output)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert run.returncode == 0, run.stderr
    results = json.loads(output.read_text())
    assert results["machine"]["cpu_cores"] >= 1
    for figures in results["phases"].values():
        assert figures["published"] == 50
        fates = ("lost", "processed", "dropped", "failed", "duplicates", "out of order")
        assert sum(figures[fate] for fate in fates) == 50
        assert 0 < figures["tracks"] <= figures["processed"]
        assert figures["overhead_ms"]["max"] > 0
    assert results["phases"]["services"]["services_ms"].keys() == SERVICES
    delay = results["phases"]["delay"]
    assert sum(minute["delay_ms"]["count"] for minute in delay["minutes"]) == delay["tracks"]
    assert delay["processing_ms"]["median"] > 0, "the target is followed"
    assert "160x120 25 Hz auto delay: 50 images published" in run.stdout
