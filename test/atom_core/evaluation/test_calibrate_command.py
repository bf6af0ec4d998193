# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.confidence import Calibration, fit
from atom_core.evaluation import command
from atom_core.networks import weights

RIGHT, WRONG = [10.0, 10.0, 20.0, 20.0], [30.0, 30.0, 20.0, 20.0]
SCORES = [0.9, 0.8, 0.3, 0.6, 0.4, 0.2]
IOUS = [0.8, 0.9, 0.4, 0.7, 0.9, 0.5]
BOXES = [RIGHT, RIGHT, WRONG, RIGHT, RIGHT, WRONG]
STATES = ["TRACKING", "UNCERTAIN", "TRACKING", "TRACKING", "TRACKING", "LOST"]
ABSENT = 3  # of these frames: whatever is claimed there is wrong


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sequences of seven frames, and what one tracker said on them."""
    for name in ("one", "two"):
        (tmp_path / "videos" / name / "img").mkdir(parents=True)
        for i in range(7):
            cv2.imwrite(str(tmp_path / "videos" / name / "img" / f"{i}.png"), np.zeros((60, 80, 3), np.uint8))
        lines = ["nan,nan,nan,nan" if i - 1 == ABSENT else "10,10,20,20" for i in range(7)]
        (tmp_path / "videos" / name / "groundtruth_rect.txt").write_text("\n".join(lines))
        write_run(tmp_path / "results", "default", name)
    return tmp_path


def write_run(results: Path, tracker: str, sequence: str) -> None:
    frames = {
        "box": [RIGHT, *BOXES],
        "score": [None, *SCORES],
        "iou": [None, *IOUS],
        "state": ["GIVEN", *STATES],
        "seconds": [0.1] * 7,
    }
    path = results / "runs" / tracker / "seed0" / f"{sequence}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tracker": tracker, "sequence": sequence, "seed": 0, "settings": {}, "frames": frames}))


def calibrate(folder: Path, network: Path) -> int:
    options = {"results": folder / "results", "network": network, "output": folder / "calibrated.safetensors"}
    named = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return command.main(["calibrate", str(folder / "videos"), *named])


def test_the_network_is_written_with_the_calibration_of_its_claims(folder, network_file, capsys) -> None:
    assert calibrate(folder, network_file) == 0
    correct = np.array([True, True, False, False, True])  # the last frame is no claim
    expected = fit(np.array(SCORES[:5] * 2), np.array(IOUS[:5] * 2), np.tile(correct, 2))
    before, after = weights.load(network_file), weights.load(folder / "calibrated.safetensors")
    assert before.calibration is None
    found = after.calibration
    assert isinstance(found, Calibration)
    assert (found.intercept, found.score, found.iou) == pytest.approx(
        (expected.intercept, expected.score, expected.iou), rel=1e-6
    )
    for name, tensor in before.modules.state_dict().items():
        assert tensor.equal(after.modules.state_dict()[name])
    assert "2 runs, 10 frames with a claim, 0.600 of them right" in capsys.readouterr().out


def test_wrong_use_is_named(folder, network_file, capsys) -> None:
    write_run(folder / "results", "KCF", "one")
    assert calibrate(folder, network_file) == 2
    assert "holds results of KCF, default; expected one tracker" in capsys.readouterr().err
