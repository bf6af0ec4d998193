# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What a cluster's worker does with a job; `test_cluster` has the cluster itself."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.data.sequences import ImageFiles, Sequence
from atom_core.evaluation.contenders import Contender
from atom_core.evaluation.parallel import Job
from atom_core.evaluation.remote import RemoteJob, make_remote_run


class Steps:
    """A job that nobody stops."""

    is_stopped = False

    def count(self) -> None:
        pass


BOX = (1.0, 2.0, 8.0, 8.0)


@pytest.fixture
def job(tmp_path) -> Job:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.zeros((16, 20, 3), np.uint8))
    frames = ImageFiles(tmp_path, ("0.png", "1.png", "2.png"))
    return Job(Contender("identity"), 7, Sequence("still", frames, np.tile(BOX, (3, 1))))


def test_a_worker_with_the_same_code_makes_the_run(job) -> None:
    run = make_remote_run(RemoteJob(job, job.contender.settings(7)), Steps())
    assert (run.tracker, run.sequence, run.seed) == ("identity", "still", 7)
    assert run.boxes.tolist() == [list(BOX)] * 3


def test_a_worker_with_other_code_refuses_and_names_the_difference(job) -> None:
    with pytest.raises(ValueError, match=r"other code or weights than the client: .*baseline.*kcf"):
        make_remote_run(RemoteJob(job, {"baseline": "kcf"}), Steps())


def test_a_worker_takes_its_own_file_of_a_shipped_network(job) -> None:
    """Its folder may be another one; a user's own file must be on a shared path."""
    shipped = Contender("default", Path("/on/the/client/resnet18.safetensors"))
    with pytest.raises(ValueError, match="other code or weights than the client"):
        make_remote_run(RemoteJob(dataclasses.replace(job, contender=shipped), {}), Steps())  # found, but compared
    own = Contender("mine", Path("/on/the/client/mine.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"mine\.safetensors; put it on a path that all machines share"):
        make_remote_run(RemoteJob(dataclasses.replace(job, contender=own), {}), Steps())
