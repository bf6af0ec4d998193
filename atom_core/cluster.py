# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the jobs of `atom_core.jobs` on the workers of a Dask cluster.

A worker needs this package, and the recordings under the same paths as the client. See docs/cluster.md.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from atom_core.jobs import POLL_SECONDS, Failure, Progress, Work, attempt, limit_threads

if TYPE_CHECKING:
    from distributed import Client, Future

DEATHS = 2  # of workers with the same job, after which the job fails
PATIENCE = 60.0  # seconds to wait for the scheduler, and for its first worker
_REPORT_SECONDS = 0.5  # between two reports of a job's progress


def add_scheduler(parser: argparse._ActionsContainer) -> None:
    """Adds the option `--scheduler`."""
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="run on a Dask cluster, e.g. tcp://10.0.0.5:8786 (see docs/cluster.md)"
    )


class DaskCluster:
    """A `Runner` on the workers of a Dask cluster; use it in a `with` block.

    If a job's worker dies, another one restarts the job; if that one dies, too, the job fails, and the message names
    it.

    Args:
        address: of the scheduler, such as `tcp://10.0.0.5:8786`.
        threads: CPU threads of each worker.

    Raises:
        ValueError: if Dask is not installed, or a worker runs several jobs at a time.
        OSError: if no scheduler answers there, or it has no worker.
    """

    def __init__(self, address: str, threads: int) -> None:
        self.address = address
        self.threads = threads
        self._client = _connect(address)
        try:
            self._check_workers()
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> DaskCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Calls a function on each worker; returns the results by address, and re-raises a worker's exception."""
        return self._client.run(question, *arguments)

    def run(self, jobs: Sequence[Any], work: Work, progress: Progress) -> Generator[tuple[Any, Any]]:
        """See `Runner.run`. Only a few jobs are submitted ahead, so that the scheduler holds few.

        Raises:
            OSError: if the connection to the scheduler is lost.
        """
        from distributed import as_completed

        ledger = _Ledger(f"atom-{uuid.uuid4().hex}")
        self._client.subscribe_topic(ledger.topic, ledger.take)
        waiting = iter(enumerate(jobs))
        sent: dict[Future, int] = {}
        completed = as_completed(loop=self._client.loop, with_results=True)  # fetched before a worker can die
        watch = _Watch(self._client, self.address)
        missing = len(jobs)
        try:
            while missing:
                for index, job in itertools.islice(waiting, max(0, 2 * watch.workers() - len(sent))):
                    future = self._submit(work, job, index, ledger.topic)
                    sent[future] = index
                    completed.add(future)
                if not completed.has_ready():
                    time.sleep(POLL_SECONDS)
                for future, outcome in self._ended(completed, sent, ledger):
                    missing -= 1
                    yield jobs[sent.pop(future)], outcome
                progress(ledger.progress())
        finally:
            self._end(ledger.topic, list(sent))
            self._client.unsubscribe_topic(ledger.topic)

    def _submit(self, work: Work, job: Any, index: int, topic: str) -> Future:
        return self._client.submit(
            _attempt_on_worker,
            work,
            job,
            index,
            topic,
            self.threads,
            key=f"{topic}-{index}",
            priority=-index,
            pure=False,
        )

    def _ended(self, completed: Any, sent: dict[Future, int], ledger: _Ledger) -> Iterator[tuple[Future, Any]]:
        """The jobs that ended since the last call, with their outcomes."""
        for future, result in completed.next_batch(block=False):
            if future in sent:
                yield future, self._outcome(future, result, sent[future], ledger)
        for future, index in list(sent.items()):
            if len(ledger.begun[index]) > DEATHS:
                self._end(f"{ledger.topic}-{index}", [future])
                yield future, ledger.failure(index)

    def _outcome(self, future: Future, result: Any, index: int, ledger: _Ledger) -> Any:
        """The outcome of a future, whose `result` is the worker's, or an exception's type, value and traceback."""
        from distributed import KilledWorker

        if future.status == "finished":
            frames, outcome = result
            ledger.finish(index, frames)
            return outcome
        if future.status != "error":
            raise _gone(self.address)
        error = result[1]
        if isinstance(error, KilledWorker) and len(ledger.begun[index]) >= DEATHS:
            return ledger.failure(index)
        return Failure(f"the cluster gave it up: {error}")

    def _end(self, name: str, futures: list[Future]) -> None:
        """Ends a job, or all jobs of a run, after the current frame."""
        if self._client.status != "running":
            return
        self._client.cancel(futures, force=True)
        self._client.run(_stop, name, on_error="ignore")

    def _check_workers(self) -> None:
        from distributed import TimeoutError as DaskTimeoutError

        try:
            self._client.wait_for_workers(1, timeout=PATIENCE)
        except (DaskTimeoutError, TimeoutError) as error:
            raise OSError(
                f"--scheduler {self.address}: it has no worker; start some: dask worker {self.address} --nthreads 1"
            ) from error
        for worker, threads in self._client.nthreads().items():
            if threads != 1:
                raise ValueError(
                    f"--scheduler {self.address}: worker {worker} takes {threads} jobs at a time, which would share "
                    "its threads and its memory; start it with --nthreads 1, and several with --nworkers"
                )


def _connect(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError(
            f"--scheduler {address}: Dask is not installed here; pip install 'distributed', or 'atom_core[cluster]'"
        ) from error
    try:
        return Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise OSError(
            f"--scheduler {address}: no Dask scheduler answers there; start one with: dask scheduler"
        ) from error
    except ValueError as error:
        raise ValueError(f"--scheduler {address}: {error}; expected an address such as tcp://10.0.0.5:8786") from error


def _gone(address: str) -> OSError:
    return OSError(f"--scheduler {address}: the scheduler is gone; finished results are kept")


class _Watch:
    """Watches the number of workers; prints a message if none is left, and raises OSError without a scheduler."""

    def __init__(self, client: Client, address: str) -> None:
        self.is_waiting = False
        self._client = client
        self._address = address
        self._workers = 0
        self._asked = -POLL_SECONDS

    def workers(self) -> int:
        now = time.monotonic()
        if now - self._asked < POLL_SECONDS:
            return self._workers
        self._asked = now
        if self._client.status != "running":
            raise _gone(self._address)
        self._workers = len(self._client.nthreads())
        if not self._workers and not self.is_waiting:
            print(f"--scheduler {self._address}: no worker is left; waiting for one", file=sys.stderr)
        self.is_waiting = not self._workers
        return self._workers


class _Ledger:
    """The workers' reports on a run's jobs. `take` is called in the client's own thread."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.begun: dict[int, dict[str, str]] = defaultdict(dict)  # for each job, its attempts and their workers
        self._frames: dict[int, int] = {}
        self._finished: set[int] = set()
        self._reported = 0
        self._lock = threading.Lock()

    def take(self, event: tuple[float, dict[str, Any]]) -> None:
        """Adds a worker's report."""
        _, report = event
        with self._lock:
            index = report["job"]
            self.begun[index].setdefault(report["attempt"], report["worker"])
            if index not in self._finished and report["attempt"] == list(self.begun[index])[-1]:
                self._frames[index] = report["frames"]

    def finish(self, index: int, frames: int) -> None:
        """Marks a job as done; its last report may arrive later."""
        with self._lock:
            self._finished.add(index)
            self._frames[index] = frames

    def progress(self) -> int:
        """The frames since the last call; negative after a job was restarted."""
        with self._lock:
            frames = sum(self._frames.values())
        new, self._reported = frames - self._reported, frames
        return new

    def failure(self, index: int) -> Failure:
        """The failure of a job whose workers died."""
        with self._lock:
            workers = list(self.begun[index].values())[:DEATHS]
        return Failure(
            f"{DEATHS} workers died of it or beside it ({', '.join(workers)}), perhaps out of memory; look at their "
            "logs, and run the same command again with larger ones"
        )


# The code below runs on a worker.
_stopped: set[str] = set()  # names of runs, and of jobs
_one_at_a_time = threading.Lock()  # the CPU threads belong to the whole process


class _ReportedSteps:
    """Steps of a job on a worker."""

    def __init__(self, index: int, topic: str) -> None:
        from distributed import get_worker

        self.frames = 0
        self._worker = get_worker()
        self._topic = topic
        self._report = {"job": index, "attempt": uuid.uuid4().hex, "worker": self._worker.address}
        self._names = {topic, f"{topic}-{index}"}
        self._send()

    @property
    def is_stopped(self) -> bool:
        return not self._names.isdisjoint(_stopped)

    def count(self) -> None:
        self.frames += 1
        if time.monotonic() - self._sent >= _REPORT_SECONDS:
            self._send()

    def _send(self) -> None:
        self._sent = time.monotonic()
        self._worker.log_event(self._topic, {**self._report, "frames": self.frames})


def _attempt_on_worker(work: Work, job: Any, index: int, topic: str, threads: int) -> tuple[int, Any]:
    """The frames done, and the job's result or a Failure."""
    with _one_at_a_time:
        limit_threads(threads)
        steps = _ReportedSteps(index, topic)
        outcome = attempt(work, job, steps)
        return steps.frames, outcome


def _stop(name: str) -> None:
    _stopped.add(name)
