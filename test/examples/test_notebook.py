# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The notebook's cells run, and it follows the target."""

import json
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "follow_a_target.ipynb"


def cells() -> list[dict]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def test_it_is_kept_without_outputs():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells())


def test_its_cells_follow_the_target(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    matplotlib.use("Agg")
    names: dict = {}
    for cell in cells():
        source = "".join(cell["source"]).replace("FRAMES = 150", "FRAMES = 12")
        exec(compile(source, str(NOTEBOOK), "exec"), names)
    results = names["results"]
    assert [result.state.name for result in results] == ["TRACKING"] * 11
    reference = np.loadtxt(ROOT / "demo" / "street" / "groundtruth_rect.txt", delimiter=",")[1:12]
    found = np.array([result.box for result in results])
    assert found[:, :2] + found[:, 2:] / 2 == pytest.approx(reference[:, :2] + reference[:, 2:] / 2, abs=8)
    assert len(plt.get_fignums()) == 2
    plt.close("all")
