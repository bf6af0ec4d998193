# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of trackers on sequences, as jobs for processes on this machine or a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from atom_core.data import sequences
from atom_core.evaluation.contenders import Contender
from atom_core.evaluation.runner import Run, run_sequence
from atom_core.jobs import Steps, Stopped


@dataclass(frozen=True)
class Job:
    """One run to make."""

    contender: Contender
    seed: int
    sequence: sequences.Sequence

    def __str__(self) -> str:
        return f"{self.contender.name}, seed {self.seed}, {self.sequence.name}"


def longest_first(jobs: Iterable[Job]) -> list[Job]:
    """The jobs, longest first, so that no process works on a long one alone at the end."""
    return sorted(jobs, key=lambda job: -len(job.sequence))


def make_run(job: Job, steps: Steps) -> Run:
    """The job's run; raises Stopped, ValueError, OSError."""

    def on_frame() -> None:
        steps.count()
        if steps.is_stopped:
            raise Stopped

    tracker = job.contender.build(job.seed)
    return run_sequence(job.contender.name, tracker, job.sequence, on_frame, seed=job.seed)
