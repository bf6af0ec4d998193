# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest

from atom_core.data.sequences import read_sequences
from atom_core.evaluation.clips_command import main


def test_it_writes_clips_that_can_be_evaluated(stills, tmp_path) -> None:
    output = tmp_path / "clips"
    assert main([str(stills), "--clips", "short", "--count", "1", "--output", str(output)]) == 0
    (clip,) = read_sequences(output)
    first = next(iter(clip.frames))
    x, y, width, height = clip.boxes[0]
    assert len(clip) > 10 and first.ndim == 3
    assert 0 <= x + width / 2 <= first.shape[1] and 0 <= y + height / 2 <= first.shape[0]


def test_a_folder_without_images_is_named(tmp_path, capsys) -> None:
    assert main([str(tmp_path / "none"), "--output", str(tmp_path / "clips")]) == 2
    assert "none" in capsys.readouterr().err and not (tmp_path / "clips").exists()


def test_the_output_must_be_named(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path)])
    assert "--output" in capsys.readouterr().err
