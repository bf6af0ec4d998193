# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json

import cv2
import numpy as np
import pytest

from atom_core.config import TrackerConfig
from atom_core.evaluation.command import main, parse_config


@pytest.fixture
def sequences(tmp_path):
    """Two sequences of two blank frames: one target stays, one leaves its place."""
    for name, boxes in (("stays", "1,2,8,8\n1,2,8,8\n"), ("leaves", "1,2,8,8\n9,2,8,8\n")):
        (tmp_path / name / "img").mkdir(parents=True)
        for index in range(2):
            cv2.imwrite(str(tmp_path / name / "img" / f"{index}.png"), np.zeros((16, 20, 3), np.uint8))
        (tmp_path / name / "groundtruth_rect.txt").write_text(boxes)
    return tmp_path


def test_writes_figures_and_prints_a_table(sequences, tmp_path, capsys):
    output = tmp_path / "output"
    assert main([str(sequences), "--trackers", "identity", "--output", str(output)]) == 0
    result = json.loads((output / "results.json").read_text())
    figures = {name: entry["figures"] for name, entry in result["trackers"]["identity"]["sequences"].items()}
    assert figures["stays"]["mean_overlap"] == 1.0
    assert figures["leaves"]["mean_overlap"] == 0.5
    assert result["trackers"]["identity"]["mean"]["mean_overlap"] == 0.75
    assert result["settings"]["lost_is_miss"] is False
    assert "identity   mean" in capsys.readouterr().out


def test_sequences_are_chosen_by_pattern(sequences, tmp_path):
    output = tmp_path / "output"
    assert main([str(sequences), "--trackers", "identity", "--sequences", "st*", "--output", str(output)]) == 0
    assert list(json.loads((output / "results.json").read_text())["trackers"]["identity"]["sequences"]) == ["stays"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--sequences", "x*"], r"--sequences x*: matches none of leaves, stays"),
        (["--set", "memory_sise=9"], "did you mean memory_size"),
    ],
)
def test_mistakes_are_told_and_end_with_status_2(sequences, arguments, message, capsys):
    assert main([str(sequences), "--trackers", "identity", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_sequences_is_named(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere"), "--trackers", "identity"]) == 2
    assert "nowhere: no sequence here" in capsys.readouterr().err


def test_unknown_tracker_is_refused(sequences, capsys):
    with pytest.raises(SystemExit) as raised:
        main([str(sequences), "--trackers", "identity,goturn"])
    assert raised.value.code == 2
    assert "unknown: goturn; expected names of ours, kcf, csrt, mil, identity" in capsys.readouterr().err


def test_config_from_assignments_takes_each_field_s_type():
    config = parse_config(["memory_size=100", "learning_rate=0.02", "use_hann_window=true"])
    assert config == TrackerConfig(memory_size=100, learning_rate=0.02, use_hann_window=True)
    assert parse_config(["seed=3"], vot=True) == TrackerConfig.vot(seed=3)


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("memory_size", "expected KEY=VALUE"),
        ("memory_size=many", "'many' is not a value of type int"),
        ("use_hann_window=1", "'1' is not a value of type bool"),
        ("learning_rate=2", r"expected a value in \[0.0, 1.0\]"),
    ],
)
def test_wrong_assignments_are_refused(assignment, message):
    with pytest.raises(ValueError, match=message):
        parse_config([assignment])
