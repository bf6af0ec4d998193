# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json

import cv2
import numpy as np
import pytest

from atom_core.evaluation import command


@pytest.fixture
def stills(tmp_path):
    (tmp_path / "set" / "images").mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "set" / "images" / "a.png"), image)
    (tmp_path / "set" / "boxes.json").write_text(json.dumps({"a.png": [[40, 30, 40, 30]]}))
    return tmp_path


def test_table_and_json(stills, network_file, capsys, tmp_path):
    output = tmp_path / "out" / "figures.json"
    options = ["--targets", "1", "--kinds", "whole,part", "--all-images", "--set", "crop_size=96"]
    arguments = ["fixed-point", str(stills), "--networks", str(network_file), *options, "--output", str(output)]
    status = command.main(arguments)
    assert status == 0
    table = capsys.readouterr().out
    results = json.loads(output.read_text())["networks"][str(network_file)]["figures"]
    assert results["same"]["all"]["targets"] == results["changed"]["all"]["targets"] == 2
    assert f"{results['same']['whole']['iou_8']:.3f}" in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--targets", "0"], "--targets 0"), (["--networks", "nobody"], "nobody"), ([], "no usable target")],
)
def test_wrong_use_is_named(stills, arguments, message, capsys):
    assert command.main(["fixed-point", str(stills), *arguments]) == 2  # a.png is not held back
    assert message in capsys.readouterr().err
