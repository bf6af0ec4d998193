# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The node's benchmark as it is run, with small images and for a few seconds; its times are not judged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from robot import TIMEOUT

from atom_ros.benchmark.command import main, scene, target_box

SERVICES = {"set_target", "get_parameters", "set_parameters", "get_state", "remove_target", "clear_target"} | {
    "list_targets",
    "pause",
}


@pytest.mark.parametrize("index", [0, 15, 30])
def test_the_target_is_where_the_box_says(index: int) -> None:
    x, y, side, _ = target_box(index, 160, 120)
    top, left, side = round(y + 0.5), round(x + 0.5), round(side)
    other = scene((index + 20) % 60, 160, 120)  # the target is elsewhere in it
    changed = np.any(scene(index, 160, 120) != other, axis=2)
    inside = changed[top : top + side, left : left + side]
    assert inside.mean() > 0.9
    assert changed.sum() <= 2 * side * side, "nothing but the two places of the target"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--size", "640*480", "'640*480'; expected WIDTHxHEIGHT such as 640x480"),
        ("--size", "0x480", "'0x480'; expected WIDTHxHEIGHT"),
        ("--profiles", "/nowhere/fastdds.xml", "'/nowhere/fastdds.xml' is not a file"),
        ("--phases", "parked", "choose from"),
    ],
)
def test_wrong_arguments_are_named(capsys: pytest.CaptureFixture, option: str, value: str, message: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([option, value])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


# Prints the sizes of the shared memory that this process has mapped from Fast DDS, in bytes.
MAPPED = """
import re
import rclpy

rclpy.init()
node = rclpy.create_node("mapped")
for line in open("/proc/self/maps"):
    found = re.match(r"(\\w+)-(\\w+) .*/dev/shm/fastrtps_[0-9a-f]+$", line)
    if found:
        print(int(found[2], 16) - int(found[1], 16))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory is looked up in /proc")
def test_the_shipped_profiles_enlarge_the_shared_memory() -> None:
    profiles = Path(__file__).resolve().parents[3] / "config" / "fastdds.xml"
    environment = os.environ | {"FASTRTPS_DEFAULT_PROFILES_FILE": str(profiles)}
    run = subprocess.run(
        [sys.executable, "-c", MAPPED], env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    assert "Error" not in run.stderr, run.stderr
    largest = max(map(int, run.stdout.split()))
    assert largest >= 3 * 1920 * 1080 * 3, "three images of 1080p in colour"
    assert 2 * largest < 64_000_000, "two processes in the shared memory that a container has"


def test_every_phase_accounts_for_every_image(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    command = [sys.executable, "-m", "atom_ros.benchmark", "--size", "160x120", "--fps", "25", "--seconds", "2"]
    command += ["--phases", "services", "delay", "--device", "cpu", "--output", str(output)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=2 * TIMEOUT, check=False)
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
