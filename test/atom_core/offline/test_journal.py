# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import os
import pickle
from pathlib import Path

import pytest
import torch

from atom_core.long_term.search import Hypothesis, Search
from atom_core.offline.journal import Journal, load_state
from atom_core.offline.results import FrameResult

CPU = torch.device("cpu")
OPTIONS = {"the recording": "a.mp4", "--weights": "123"}


def begin(folder: Path, options: dict[str, str] = OPTIONS) -> Journal:
    return Journal(folder, options, interval=1e9, device=CPU)


def test_results_after_the_last_saved_state_are_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    journal = begin(folder)
    for index in range(3):
        journal.append(FrameResult(index, None), dict)
        if index == 1:
            journal.save({1: None})
    journal.close(keep=True)
    again = begin(folder)
    assert [result.index for result in again.results] == [0, 1]
    assert again.state == {1: None}
    again.close(keep=False)
    assert not folder.exists()


def test_other_options_are_named(tmp_path: Path) -> None:
    begin(tmp_path / "journal").close(keep=True)
    with pytest.raises(ValueError, match=r"--weights 123, and now it is 456.*--overwrite"):
        begin(tmp_path / "journal", OPTIONS | {"--weights": "456"})


def test_the_state_of_a_lost_target_comes_back(tmp_path: Path) -> None:
    search = Search((1.0, 2.0, 3.0, 4.0), missed=7, tiles=3, hypothesis=Hypothesis((5.0, 6.0, 7.0, 8.0), frames=1))
    torch.save({"search": search}, tmp_path / "checkpoint.pt")
    assert load_state(tmp_path / "checkpoint.pt", CPU) == {"search": search}


class Harmful:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("was_run",)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut off", pickle.dumps(Harmful())])
def test_a_damaged_or_hostile_state_is_refused(tmp_path: Path, monkeypatch, content: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint\.pt cannot be read"):
        load_state(path, CPU)
    torch.save(Harmful(), path)
    with pytest.raises(ValueError, match="which is no part of a tracker's state"):
        load_state(path, CPU)
    assert not (tmp_path / "was_run").exists()
