# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from atom_core import cli


def test_train_names_a_missing_folder(tmp_path, capsys) -> None:
    missing = tmp_path / "nowhere"
    arguments = ["iou", "--data", str(missing), "--validation", str(missing), "--output", str(tmp_path / "out")]
    assert cli.train_main(arguments) == 2
    assert "nowhere" in capsys.readouterr().err
