# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Several recordings in one call of `atom-track` or `track_bag`, in processes on this machine or a cluster."""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import io
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from atom_core.arguments import at_least
from atom_core.cluster import DaskCluster, add_scheduler
from atom_core.jobs import Failure, LocalProcesses, Runner, Steps
from atom_core.offline.run import RunEnding
from atom_core.offline.session import is_complete

NAME = "{name}"  # in a path: the recording's name without its suffix
WRONG = 2  # exit status if a recording could not be tracked at all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options for several recordings."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--jobs", type=at_least(1), default=1, metavar="N", help="recordings processed in parallel, each in a process"
    )
    add_scheduler(where)


@dataclass(frozen=True)
class RecordingJob:
    """One recording.

    Attributes:
        program: the module whose `track(arguments, steps)` tracks in the recording and returns a RunEnding, and whose
            `outputs(arguments)` lists the files that it writes.
        arguments: for this recording alone.
        recording: its path.
    """

    program: str
    arguments: argparse.Namespace
    recording: Path

    def __str__(self) -> str:
        return str(self.recording)


def is_one(arguments: argparse.Namespace, recordings: Sequence[Path]) -> bool:
    """Whether there is only one recording, to be tracked in this process."""
    return len(recordings) == 1 and arguments.scheduler is None


def of_one(arguments: argparse.Namespace, recording: Path, absolute: bool = False) -> argparse.Namespace:
    """The arguments with the recording as `recording`, and its name for `{name}` in all paths."""
    name = recording.resolve().name
    name = name if recording.is_dir() else Path(name).stem
    mine = copy.copy(arguments)
    mine.recording = recording
    for key, value in vars(mine).items():
        if isinstance(value, Path):
            path = Path(str(value).replace(NAME, name)) if value is not recording else value
            setattr(mine, key, Path(os.path.abspath(path)) if absolute else path)
    return mine


def track_all(program: str, arguments: argparse.Namespace, recordings: Sequence[Path]) -> int:
    """Tracks in all recordings and prints a summary of each; a failure does not stop the others.

    Args:
        program: see `RecordingJob`.
        arguments: with the options of `add_arguments`.
        recordings: each has separate results.

    Returns:
        The exit status: 0, or 1 if a part of a recording could not be used, 2 if one failed, 130 after Ctrl-C.

    Raises:
        ValueError, OSError: before anything is written, if results are in the way, two recordings have the same, or
            the cluster cannot be used.
    """
    jobs = _jobs(program, arguments, recordings)
    with ExitStack() as stack:
        runner: Runner
        if arguments.scheduler is not None:
            runner = stack.enter_context(DaskCluster(arguments.scheduler, threads=1))
        else:
            runner = LocalProcesses(arguments.jobs, max(1, torch.get_num_threads() // arguments.jobs))
        try:
            return _run(runner, jobs)
        except KeyboardInterrupt:
            print("interrupted; continue with the same command and --resume", file=sys.stderr)
            return int(RunEnding.INTERRUPTED)


def _run(runner: Runner, jobs: Sequence[RecordingJob]) -> int:
    worst = 0
    with (
        tqdm(desc="tracking", unit="frame", mininterval=0.1 if sys.stderr.isatty() else 10.0) as progress,
        closing(runner.run(jobs, track_recording, progress.update)) as made,
    ):
        for number, (job, outcome) in enumerate(made, 1):
            progress.set_postfix_str(f"{number} of {len(jobs)} recordings")
            if isinstance(outcome, Failure):
                progress.write(f"{job}: failed: {outcome.reason}", file=sys.stderr)
                worst = WRONG
                continue
            ending, told = outcome
            progress.write(f"{job}: {told.strip()}", file=sys.stdout)
            if ending is RunEnding.INTERRUPTED:
                raise KeyboardInterrupt
            worst = max(worst, int(ending))
    return worst


def _jobs(program: str, arguments: argparse.Namespace, recordings: Sequence[Path]) -> list[RecordingJob]:
    """The jobs, after checking that no results are in the way."""
    module = importlib.import_module(program)
    jobs: list[RecordingJob] = []
    writers: dict[Path, Path] = {}
    for recording in recordings:
        mine = of_one(arguments, recording, absolute=True)
        outputs = module.outputs(mine)
        for path in outputs:
            if path in writers:
                raise ValueError(
                    f"{writers[path]} and {recording} would both be written to {path}; use {NAME} in the paths of "
                    f"results, such as tracks/{NAME}.csv, and recordings of different names"
                )
            writers[path] = recording
        is_complete(mine, outputs)
        # A worker that replaces a dead one continues where that one stopped.
        mine.resume = not mine.overwrite
        jobs.append(RecordingJob(program, mine, recording))
    return jobs


def track_recording(job: RecordingJob, steps: Steps) -> tuple[RunEnding, str]:
    """Tracks in a recording, in a worker; returns how it ended and its messages to the user."""
    module = importlib.import_module(job.program)
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        ending = module.track(job.arguments, steps)
    return ending, told.getvalue()
