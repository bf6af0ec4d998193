# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

import pytest

from atom_core.jobs import Failure, LocalProcesses, Stopped, attempt

sys.path.insert(0, str(Path(__file__).parent))

from example_work import work


class Counter:
    """Counts a job's steps."""

    is_stopped = False
    steps = 0

    def count(self):
        self.steps += 1


def test_a_job_counts_its_steps_and_gives_its_result():
    counter = Counter()
    assert attempt(work, 4, counter) == 40
    assert counter.steps == 4


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no box in line 3"), "no box in line 3"),
        (FileNotFoundError(2, "No such file", "a.jpg"), "[Errno 2] No such file: 'a.jpg'"),
        (Stopped(), "stopped"),
    ],
)
def test_an_expected_error_is_the_reason_of_a_failure(error, reason):
    def fail(job, steps):
        raise error

    assert attempt(fail, None, Counter()) == Failure(reason)


def test_an_unexpected_error_is_a_failure_with_its_traceback():
    def fail(job, steps):
        return {}["size"]

    outcome = attempt(fail, None, Counter())
    assert outcome.reason.startswith("KeyError: 'size'\nTraceback")


def test_one_process_runs_the_jobs_in_their_order_and_a_failure_costs_no_other():
    frames = []
    outcomes = list(LocalProcesses(1, 1).run([3, "broken", 2], work, frames.append))
    assert outcomes == [(3, 30), ("broken", Failure("no box in line 3")), (2, 20)]
    assert sum(frames) == 5
