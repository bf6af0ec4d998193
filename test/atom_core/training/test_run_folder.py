# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import logging
import sys

import pytest
import torch

from atom_core.training.run_folder import RunFolder

SETTINGS = {"epochs": 3, "sigmas": (0.1, 0.2)}


@pytest.fixture
def folder(tmp_path):
    """A run that saved its first record, and logged a second one since."""
    folder = RunFolder(tmp_path / "run", SETTINGS)
    assert folder.resume() is None
    folder.log({"epoch": 0}, step=10)
    folder.save({"weights": torch.arange(3)})
    folder.log({"epoch": 1}, step=20)
    return folder


def log_of(folder):
    return [json.loads(line) for line in (folder.path / "log.jsonl").read_text().splitlines()]


def test_begins_with_settings_and_an_empty_log(tmp_path):
    folder = RunFolder(tmp_path / "new" / "run", SETTINGS)
    assert folder.resume() is None
    assert json.loads((folder.path / "settings.json").read_text()) == {"epochs": 3, "sigmas": [0.1, 0.2]}
    assert log_of(folder) == []


def test_log_has_a_line_for_each_record(folder):
    assert log_of(folder) == [{"epoch": 0}, {"epoch": 1}]


def test_resumes_from_the_checkpoint_alone(folder):
    (folder.path / "settings.json").unlink()
    again = RunFolder(folder.path, SETTINGS)
    state = again.resume()
    assert state["weights"].tolist() == [0, 1, 2]
    assert log_of(again) == [{"epoch": 0}]  # what was logged after the checkpoint will be logged again
    again.log({"epoch": 1}, step=20)
    assert log_of(again) == [{"epoch": 0}, {"epoch": 1}]
    assert json.loads((folder.path / "settings.json").read_text())["epochs"] == 3


def test_other_settings_are_refused_by_name(folder):
    with pytest.raises(ValueError, match=r"epochs is 3 there and 4 here; give another --output.*none of them may"):
        RunFolder(folder.path, {**SETTINGS, "epochs": 4}).resume()
    with pytest.raises(ValueError, match=r"odds is None there and 1 here.*only epochs may grow"):
        RunFolder(folder.path, {**SETTINGS, "epochs": 4, "odds": 1}, may_grow="epochs").resume()
    assert json.loads((folder.path / "settings.json").read_text())["epochs"] == 3


def test_one_setting_may_grow_and_not_shrink(folder):
    grown = RunFolder(folder.path, {**SETTINGS, "epochs": 4}, may_grow="epochs")
    state = grown.resume()
    grown.save(state)
    with pytest.raises(ValueError, match="epochs is 4 there and 3 here"):
        RunFolder(folder.path, SETTINGS, may_grow="epochs").resume()


def test_full_disk_costs_a_warning_and_not_the_checkpoint(folder, caplog):
    checkpoint = folder.path / "checkpoint.pt"
    before = checkpoint.read_bytes()
    (folder.path / "checkpoint.pt.part").symlink_to("/dev/full")  # where every write fails for want of room
    with caplog.at_level(logging.WARNING):
        folder.save({"weights": torch.arange(9)})
    assert "checkpoint.pt could not be written: [Errno 28] No space left on device; " in caplog.text
    assert "MB are free; its earlier version is kept, and the next checkpoint tries again" in caplog.text
    assert checkpoint.read_bytes() == before
    with pytest.raises(OSError, match=r"checkpoint\.pt could not .*; make room and start the same command again"):
        folder.finish()
    folder.save({"weights": torch.arange(9)})
    folder.finish()
    assert len(RunFolder(folder.path, SETTINGS).resume()["weights"]) == 9
    assert not (folder.path / "checkpoint.pt.part").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"checkpoint\.pt is damaged"),
        (b"no checkpoint", r"checkpoint\.pt is damaged: .*; move it away to start over"),
        (None, r"checkpoint\.pt is no checkpoint of this program's version"),
    ],
    ids=["empty", "text", "other"],
)
def test_damaged_checkpoint_is_named(folder, content, message):
    path = folder.path / "checkpoint.pt"
    if content is None:
        torch.save({"model": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        RunFolder(folder.path, SETTINGS).resume()


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(FileExistsError, match="run"):
        RunFolder(tmp_path / "run", SETTINGS).resume()


def test_full_disk_at_the_start_ends_the_run_at_once(tmp_path):
    (tmp_path / "settings.json.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"settings\.json could not be written: .*No space left.*; make room and start"):
        RunFolder(tmp_path, SETTINGS).resume()


def test_a_process_that_is_not_to_write_leaves_no_trace(tmp_path):
    folder = RunFolder(tmp_path / "run", SETTINGS, active=False)
    assert folder.resume() is None
    folder.open_curves(0)
    folder.log({"epoch": 0}, step=1)
    folder.save({})
    folder.finish()
    assert not folder.path.exists()


def test_saves_when_the_time_has_come(tmp_path):
    for minutes, saved in ((1000.0, False), (0.0, True)):
        folder = RunFolder(tmp_path / str(minutes), SETTINGS, checkpoint_minutes=minutes)
        folder.resume()
        folder.save_if_due(lambda: {})
        assert (folder.path / "checkpoint.pt").exists() == saved


def test_curves_go_on_without_gap_or_overlap(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for first, last in ((0, 5), (3, 7)):  # killed after step 5, resumed at the checkpoint of step 3
        folder = RunFolder(tmp_path / "run", SETTINGS)
        folder.resume()
        folder.open_curves(first)
        for step in range(first, last):
            folder.draw({"error": 10.0 * first + step}, step)
        folder.save({})
    folder.log({"epoch": 0, "error": 0.5, "name": "not drawn"}, step=7)
    folder.finish()
    events = accumulator.EventAccumulator(str(folder.path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == ["error", "epoch"]
    drawn = [(event.step, event.value) for event in events.Scalars("error")]
    assert drawn == [(0, 0), (1, 1), (2, 2), (3, 33), (4, 34), (5, 35), (6, 36), (7, 0.5)]


def test_without_tensorboard_the_run_goes_on(folder, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with caplog.at_level(logging.WARNING):
        folder.open_curves(0)
    assert "no TensorBoard curves: pip install tensorboard" in caplog.text
    folder.draw({"error": 1.0}, 0)
    folder.finish()
