# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.data.sequences import ImageFiles, Sequence
from atom_core.evaluation.contenders import Contender
from atom_core.evaluation.parallel import Job, longest_first, make_run
from atom_core.jobs import Failure, LocalProcesses

BOX = (1.0, 2.0, 8.0, 8.0)


def make_sequence(folder, name: str, frames: int, missing: int | None = None) -> Sequence:
    """Blank frames on disk, one of them missing."""
    files = tuple(f"{name}{index}.png" for index in range(frames))
    for index, file in enumerate(files):
        if index != missing:
            cv2.imwrite(str(folder / file), np.zeros((16, 20, 3), np.uint8))
    return Sequence(name, ImageFiles(folder, files), np.tile(BOX, (frames, 1)))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failure_is_named_and_costs_no_other_run(tmp_path, processes):
    lengths = {"short": 3, "long": 5, "broken": 4}
    jobs = [
        Job(Contender("identity"), 7, make_sequence(tmp_path, name, frames, missing=2 if name == "broken" else None))
        for name, frames in lengths.items()
    ]
    frames = []
    outcomes = {
        job.sequence.name: outcome for job, outcome in LocalProcesses(processes, 1).run(jobs, make_run, frames.append)
    }
    assert isinstance(outcomes["broken"], Failure)
    assert "broken2.png" in outcomes["broken"].reason
    for name in ("short", "long"):
        assert outcomes[name].boxes.tolist() == [list(BOX)] * lengths[name]
        assert (outcomes[name].tracker, outcomes[name].sequence, outcomes[name].seed) == ("identity", name, 7)
    assert sum(frames) == 3 + 5 + 2  # all, but of the broken one those before the gap


def endless(folder) -> Sequence:
    """Two frames, again and again: no test waits for its end."""
    files = make_sequence(folder, "endless", 2).frames.names
    return Sequence("endless", ImageFiles(folder, files * 100_000), np.tile(BOX, (200_000, 1)))


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from test_parallel import endless
from atom_core.evaluation.contenders import Contender
from atom_core.evaluation.parallel import Job, make_run
from atom_core.jobs import LocalProcesses
import multiprocessing

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process inherits that it is ignored
    calls = []
    def interrupt_once(frames):
        if frames and not calls:
            calls.append(frames)
            os.kill(os.getpid(), signal.SIGINT)
    jobs = [Job(Contender("identity"), seed, endless(Path(sys.argv[1]))) for seed in range(2)]
    try:
        list(LocalProcesses(2, 1).run(jobs, make_run, interrupt_once))
    except KeyboardInterrupt:
        print(len(calls), multiprocessing.active_children())
"""


def test_ctrl_c_ends_the_workers_within_a_frame(tmp_path):
    """In a process of its own: where tests run side by side, theirs does not own the signal."""
    program = tmp_path / "interrupted.py"
    program.write_text(INTERRUPTED)
    path = os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "1 []"), done.stderr


def test_a_worker_that_dies_is_told(tmp_path):
    def kill_workers(frames: int) -> None:
        for worker in multiprocessing.active_children() if frames else ():
            worker.kill()

    job = Job(Contender("identity"), 0, endless(tmp_path))
    ((_, outcome),) = LocalProcesses(2, 1).run([job], make_run, kill_workers)
    assert "a worker process died, perhaps out of memory" in outcome.reason


def test_the_longest_job_comes_first(tmp_path):
    jobs = [
        Job(Contender("identity"), 0, make_sequence(tmp_path, name, n)) for name, n in [("a", 2), ("b", 4), ("c", 3)]
    ]
    assert [job.sequence.name for job in longest_first(jobs)] == ["b", "c", "a"]
