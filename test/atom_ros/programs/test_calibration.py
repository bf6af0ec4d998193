# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import pytest
from calibration_example import CALIBRATION

from atom_ros.programs.calibration import read_calibration


def test_calibration(tmp_path: Path) -> None:
    (tmp_path / "webcam.yaml").write_text(CALIBRATION)
    info = read_calibration(tmp_path / "webcam.yaml")
    assert (info.width, info.height, info.distortion_model) == (64, 48, "plumb_bob")
    assert info.k.tolist() == [70, 0, 31.5, 0, 71, 23.5, 0, 0, 1]
    assert info.d.tolist() == [0.1, -0.2, 0, 0, 0]
    assert info.r.tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert info.p.tolist() == [68, 0, 31, 0, 0, 69, 23, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no calibration"),
        ("a: [", "is no YAML file"),
        (CALIBRATION.replace("camera_matrix", "matrix"), "has no entry 'camera_matrix'"),
        (CALIBRATION.replace("[70, ", "["), "camera_matrix has 8 numbers; expected 9"),
        (CALIBRATION.replace("31.5", "x"), "could not convert"),
        (CALIBRATION.replace("image_width: 64", "image_width: -64"), "image_width is -64; expected 1 to 65536"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "webcam.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_calibration(tmp_path / "webcam.yaml")
    assert "webcam.yaml" in str(error.value)
