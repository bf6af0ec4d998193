# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest

from atom_core.data.sequences import Sequence
from atom_core.evaluation.contenders import Contender
from atom_core.evaluation.parallel import Job
from atom_core.evaluation.runner import Run
from atom_core.evaluation.store import OtherSettingsError, RunStore, describe_machine

MACHINE = {"cpu": "abacus", "cpu_threads": 1}
BOXES = np.array([[1.0, 2, 8, 8], [np.nan] * 4, [3, 2, 8, 8]])


def job(seed=0, name="goat") -> Job:
    return Job(Contender("identity"), seed, Sequence(name, [], BOXES))


def run_of(job: Job) -> Run:
    boxes = np.array([[1, 2, 8, 8], [1 / 3, 2, 8, 8], [2, 2, 8, 8]])
    nan = np.nan
    scores, ious, states = np.array([nan, 0.1, 0.7]), np.array([nan, nan, 0.5]), ("GIVEN", "LOST", "TRACKING")
    names, seconds = (job.contender.name, job.sequence.name), np.array([0.3, 0.01, 1 / 7])
    return Run(*names, boxes, scores, ious, states, seconds, job.seed, confidences=np.array([nan, 0.2, 0.6]))


def test_a_run_comes_back_as_it_was(tmp_path):
    store = RunStore(tmp_path / "new", MACHINE)
    assert store.load([job()]) == []
    for seed in (0, 1):
        store.save(job(seed), run_of(job(seed)))
    first, second = store.load([job(0), job(1), job(2)])
    assert (first.seed, second.seed) == (0, 1)
    for field in dataclasses.fields(Run):
        np.testing.assert_array_equal(getattr(second, field.name), getattr(run_of(job(1)), field.name))


def test_runs_of_other_settings_are_named_and_kept(tmp_path):
    store = RunStore(tmp_path, MACHINE)
    store.save(job(), run_of(job()))
    other = RunStore(tmp_path, {"cpu": "abacus", "cpu_threads": 2})
    with pytest.raises(OtherSettingsError, match=r"1 of 1 runs.*goat\.json: machine\.cpu_threads was 1, is 2\."):
        other.load([job()])
    assert len(store.load([job()])) == 1


def test_another_first_box_is_another_run(tmp_path):
    store = RunStore(tmp_path, MACHINE)
    store.save(job(), run_of(job()))
    moved = dataclasses.replace(job(), sequence=Sequence("goat", [], BOXES + 1))
    with pytest.raises(OtherSettingsError, match=r"first_box was \[1\.0, 2\.0, 8\.0, 8\.0\], is \[2\.0, 3\.0"):
        store.load([moved])


@pytest.mark.parametrize("text", ["", "{}", '{"tracker": 1, "frames": {"box": ["x"]}}'])
def test_a_damaged_file_is_named(tmp_path, text):
    store = RunStore(tmp_path, MACHINE)
    store.save(job(), run_of(job()))
    (tmp_path / store.path(job())).write_text(text)
    with pytest.raises(ValueError, match=r"goat\.json is no run of atom-eval"):
        store.load([job()])


def test_a_file_that_was_being_written_is_no_run(tmp_path):
    store = RunStore(tmp_path, MACHINE)
    path = tmp_path / store.path(job())
    path.parent.mkdir(parents=True)
    path.with_name("goat.json.part").write_text('{"tracker": "ident')
    assert store.load([job()]) == []


def test_names_that_are_no_file_names_keep_apart(tmp_path):
    store = RunStore(tmp_path, MACHINE)
    jobs = [job(name=name) for name in ("a/b", "a b", "../a", "a_b", "x" * 300)]
    for one in jobs:
        store.save(one, run_of(one))
    assert [run.sequence for run in store.load(jobs)] == [one.sequence.name for one in jobs]
    assert len(list((tmp_path / "runs" / "identity" / "seed0").iterdir())) == len(jobs)  # none outside


def test_the_machine_is_described():
    machine = describe_machine(threads=3)
    assert machine["cpu_threads"] == 3
    assert machine["numpy"] == np.__version__
