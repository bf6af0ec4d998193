# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of trackers on sequences, one after the other in this process or side by side in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

import cv2
import torch

from atom_core.data import sequences
from atom_core.evaluation.contenders import Contender
from atom_core.evaluation.runner import Run, run_sequence

_POLL_SECONDS = 0.2  # between two checks of the workers' progress


@dataclass(frozen=True)
class Job:
    """One run that is wanted."""

    contender: Contender
    seed: int
    sequence: sequences.Sequence

    def __str__(self) -> str:
        return f"{self.contender.name}, seed {self.seed}, {self.sequence.name}"


@dataclass(frozen=True)
class Failure:
    """Why there is no run."""

    reason: str


Outcome = Run | Failure


def limit_threads(threads: int) -> None:
    """Sets the number of CPU threads of PyTorch, OpenCV and, for networks compiled afterwards, OpenVINO."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def run_jobs(
    jobs: Sequence[Job], processes: int, threads: int, progress: Callable[[int], object]
) -> Generator[tuple[Job, Outcome]]:
    """Makes the runs and yields each when it ends. Failures are yielded too; the other runs continue.

    Closing the iterator, as an exception in its consumer does, ends the workers after the frames at hand.

    Args:
        jobs: to do.
        processes: 1: in this one, in the order of the jobs; more: so many worker processes, the longest job first.
        threads: CPU threads of each process.
        progress: called with the number of frames done since its last call.
    """
    if processes == 1:
        limit_threads(threads)
        for job in jobs:
            yield job, _attempt(job, lambda: progress(1))
    elif jobs:
        yield from _run_in_workers(jobs, processes, threads, progress)


def _attempt(job: Job, on_frame: Callable[[], object]) -> Outcome:
    try:
        tracker = job.contender.build(job.seed)
        return run_sequence(job.contender.name, tracker, job.sequence, on_frame, seed=job.seed)
    except (ValueError, OSError) as error:  # says what to mend
        return Failure(str(error))
    except Exception as error:  # whatever one run dies of must not cost the others
        return Failure(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")


class _StoppedError(Exception):
    """Nobody waits for this run any more."""


@dataclass(frozen=True)
class _Shared:
    """What the workers share with their parent."""

    frames: Synchronized[int]  # done by all
    stop: Event

    def on_frame(self) -> None:
        with self.frames.get_lock():
            self.frames.value += 1
        if self.stop.is_set():
            raise _StoppedError


_shared: _Shared | None = None  # of a worker process, from its beginning


def _run_in_workers(
    jobs: Sequence[Job], processes: int, threads: int, progress: Callable[[int], object]
) -> Iterator[tuple[Job, Outcome]]:
    context = multiprocessing.get_context("spawn")  # a forked PyTorch hangs, and CUDA cannot be forked
    shared = _Shared(context.Value("q", 0), context.Event())
    pool = ProcessPoolExecutor(min(processes, len(jobs)), context, _begin_worker, (shared, threads))
    longest_first = sorted(jobs, key=lambda job: -len(job.sequence))  # so that no long one is left at the end
    try:
        with _interrupts_ignored():  # the workers are started here and inherit it: Ctrl-C is their parent's matter
            waiting = {pool.submit(_work, job): job for job in longest_first}
        reported = 0
        while waiting:
            done, _ = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            frames = shared.frames.value
            progress(frames - reported)
            reported = frames
            for future in done:
                yield waiting.pop(future), _outcome(future)
    finally:
        shared.stop.set()
        pool.shutdown(cancel_futures=True)


def _outcome(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        return Failure("a worker process died, perhaps out of memory; run the same command again with fewer --jobs")


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin_worker(shared: _Shared, threads: int) -> None:
    global _shared
    _shared = shared
    limit_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends the worker with its parent: after a kill of the parent it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a worker only"
    parent.join()
    os._exit(1)


def _work(job: Job) -> Outcome:
    assert _shared is not None, "the worker was prepared"
    return _attempt(job, _shared.on_frame)
