# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The notebook runs in a kernel of its own, as Jupyter runs it, and follows the target."""

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

nbformat = pytest.importorskip("nbformat", reason="pip install -r requirements/dev.txt")
nbclient = pytest.importorskip("nbclient", reason="pip install -r requirements/dev.txt")
pytest.importorskip("ipykernel", reason="pip install -r requirements/dev.txt")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "follow_a_target.ipynb"
BEFORE_THE_SIGN = slice(0, 42)  # results in which the whole target is in view
# What the test wants to know and the notebook does not print.
LAST_CELL = "import json; print(json.dumps([[result.state.name, *result.box] for result in results]))"


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code_cells(notebook))


@pytest.fixture(scope="module")
def executed() -> nbformat.NotebookNode:
    """The notebook with its outputs, run in its own folder, as Jupyter does."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(LAST_CELL))
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    return nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()


def test_it_follows_the_target(executed: nbformat.NotebookNode):
    rows = json.loads(code_cells(executed)[-1].outputs[0].text)
    states, found = [row[0] for row in rows], np.array([row[1:] for row in rows])
    assert states[BEFORE_THE_SIGN] == ["TRACKING"] * 42
    reference = np.loadtxt(ROOT / "demo" / "street" / "groundtruth_rect.txt", delimiter=",")[1:]
    centres = [boxes[BEFORE_THE_SIGN, :2] + boxes[BEFORE_THE_SIGN, 2:] / 2 for boxes in (found, reference)]
    assert np.abs(centres[0] - centres[1]).max() < 38 / 2, "half the width of the target"
    seen = sum(state in ("TRACKING", "UNCERTAIN") for state in states)
    told = code_cells(executed)[1].outputs[0].text
    assert told == f"{len(rows)} images followed, {seen} with the target in view\n"
    assert seen > 0.8 * len(rows) > 80


def test_it_shows_pictures_and_the_confidence(executed: nbformat.NotebookNode):
    pictures = [
        cv2.imdecode(np.frombuffer(base64.b64decode(output.data["image/png"]), np.uint8), cv2.IMREAD_COLOR)
        for cell in code_cells(executed)
        for output in cell.outputs
        if output.output_type == "display_data"
    ]
    assert len(pictures) == 2
    lime = (pictures[0] == (0, 255, 0)).all(axis=2)
    assert lime.sum() > 100, "boxes of a TRACKING target"
    assert all(picture.shape[1] > 800 and np.ptp(picture) == 255 for picture in pictures)
