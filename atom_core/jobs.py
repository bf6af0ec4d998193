# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs jobs one after the other in this process, or in parallel in several processes of this machine.

A job is a sequence to evaluate, or a recording to track in. `atom_core.cluster` runs the same jobs on other machines.
"""

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
from typing import Any, NamedTuple, Protocol

import cv2
import torch

POLL_SECONDS = 0.2  # between two checks of the workers' progress


@dataclass(frozen=True)
class Failure:
    """Why a job has no result."""

    reason: str


class Stopped(Exception):
    """The job was cancelled."""


class Steps(Protocol):
    """Reports a job's progress, and tells the job when to end."""

    @property
    def is_stopped(self) -> bool:
        """Whether the job should end now; its result is then discarded."""

    def count(self) -> None:
        """Counts a finished frame."""


Work = Callable[[Any, Steps], Any]  # computes a job's result; a module's function, so that it can be pickled
Progress = Callable[[int], object]  # called with the number of frames done since the last call


class Runner(Protocol):
    """Runs jobs."""

    def run(self, jobs: Sequence[Any], work: Work, progress: Progress) -> Generator[tuple[Any, Any]]:
        """Yields each job with its result or a Failure as soon as it ends; a failure does not affect other jobs.

        Closing the iterator, as an exception in its consumer does, ends the jobs after their current frames.
        """


def limit_threads(threads: int) -> None:
    """Sets the number of CPU threads of PyTorch, OpenCV and, for networks compiled afterwards, OpenVINO."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def attempt(work: Work, job: Any, steps: Steps) -> Any:
    """The job's result, or a Failure that says why there is none."""
    try:
        return work(job, steps)
    except (ValueError, OSError) as error:  # the message says what to change
        return Failure(str(error))
    except Stopped:
        return Failure("stopped")
    except Exception as error:  # no error of one job may affect the others
        return Failure(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")


@dataclass(frozen=True)
class LocalProcesses:
    """A `Runner` on this machine.

    Attributes:
        processes: 1: in this process, in the order of the jobs; more: in this many worker processes, which take jobs in
            order.
        threads: CPU threads of each process.
    """

    processes: int
    threads: int

    def run(self, jobs: Sequence[Any], work: Work, progress: Progress) -> Generator[tuple[Any, Any]]:
        """See `Runner.run`."""
        if self.processes == 1:
            limit_threads(self.threads)
            for job in jobs:
                yield job, attempt(work, job, _OwnSteps(progress))
        elif jobs:
            yield from self._run_in_workers(jobs, work, progress)

    def _run_in_workers(self, jobs: Sequence[Any], work: Work, progress: Progress) -> Generator[tuple[Any, Any]]:
        context = multiprocessing.get_context("spawn")  # a forked PyTorch hangs, and CUDA cannot be forked
        shared = _Shared(context.RawArray("q", len(jobs)), context.RawValue("b", 0))
        processes = min(self.processes, len(jobs))
        pool = ProcessPoolExecutor(processes, context, _begin_worker, (shared, self.threads))
        try:
            with _interrupts_ignored():  # the workers started here inherit it: their parent handles Ctrl-C
                waiting = {pool.submit(_attempt_in_worker, work, job, i): job for i, job in enumerate(jobs)}
            reported = 0
            while waiting:
                done, _ = wait(waiting, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                frames = sum(shared.frames)
                progress(frames - reported)
                reported = frames
                for future in done:
                    yield waiting.pop(future), _outcome(future)
        finally:
            shared.stop.value = 1
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _OwnSteps:
    """Steps of a job in this process, which an exception such as KeyboardInterrupt ends."""

    progress: Progress
    is_stopped = False

    def count(self) -> None:
        self.progress(1)


class _Shared(NamedTuple):
    """Memory that the workers share with their parent.

    Each number has one writer and no lock: a killed worker would hold a lock forever.
    """

    frames: Any  # ctypes array: the number of frames done by each job
    stop: Any  # ctypes byte: 1 ends the jobs


@dataclass(frozen=True)
class _SharedSteps:
    """Steps of the job with this index, in a worker."""

    shared: _Shared
    index: int

    @property
    def is_stopped(self) -> bool:
        return bool(self.shared.stop.value)

    def count(self) -> None:
        self.shared.frames[self.index] += 1


_shared: _Shared | None = None  # set when a worker process starts


def _outcome(future: Future[Any]) -> Any:
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
    """Ends the worker when its parent dies; otherwise it would wait forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a worker only"
    parent.join()
    os._exit(1)


def _attempt_in_worker(work: Work, job: Any, index: int) -> Any:
    assert _shared is not None, "the worker was prepared"
    return attempt(work, job, _SharedSteps(_shared, index))
