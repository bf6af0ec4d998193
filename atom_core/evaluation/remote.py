# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs on the workers of a cluster, and the check that they compute the same results as this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atom_core.cluster import DaskCluster
from atom_core.evaluation.contenders import Contender
from atom_core.evaluation.parallel import Job, make_run
from atom_core.evaluation.runner import Run
from atom_core.evaluation.store import describe_machine, differences
from atom_core.jobs import Failure, Progress, Steps
from atom_core.networks import weights
from atom_core.tracker import choose_device

_VERSIONS = ("python", "opencv", "numpy", "torch", "openvino")  # of `describe_machine`; results depend on them


def describe_workers(cluster: DaskCluster, device: str) -> tuple[dict[str, Any], str]:
    """The workers described as one machine, as by `describe_machine`, and the device of their trackers.

    Hardware that differs is listed, as "A | B".

    Raises:
        ValueError: if the workers differ in versions or in the device, or one cannot use the device.
    """
    answers = cluster.ask(_describe, cluster.threads, device)
    first, *others = answers
    for other in others:
        for key in ("device", *_VERSIONS):
            here, there = answers[first][key], answers[other][key]
            if here != there:
                raise ValueError(
                    f"--scheduler: the workers differ: {key} is {here} on {first}, and {there} on {other}; "
                    f"{'name one with --device' if key == 'device' else 'install the same on all'}"
                )
    machine = {key: _joined([answer[key] for answer in answers.values()]) for key in answers[first]}
    return machine, machine.pop("device")


def run_on_cluster(
    cluster: DaskCluster, jobs: Sequence[Job], progress: Progress
) -> Generator[tuple[Job, Run | Failure]]:
    """As `DaskCluster.run`; a worker whose code or weights differ from this machine's refuses with the reason."""
    remote = [RemoteJob(job, job.contender.settings(job.seed)) for job in jobs]
    for one, outcome in cluster.run(remote, make_remote_run, progress):
        yield one.job, outcome


@dataclass(frozen=True)
class RemoteJob:
    """A run for a worker to make.

    Attributes:
        settings: the contender's, on this machine.
    """

    job: Job
    settings: dict[str, Any]


def make_remote_run(remote: RemoteJob, steps: Steps) -> Run:
    """Makes the run, on a worker, if code and weights equal the client's.

    Raises:
        ValueError: if the worker's code or weights differ; and as `make_run`.
    """
    contender = _with_weights_of_this_machine(remote.job.contender)
    differing = list(differences(remote.settings, contender.settings(remote.job.seed)))
    if differing:
        raise ValueError(
            f"a worker has other code or weights than the client: {'; '.join(differing)}; "
            "install the same atom_core there"
        )
    return make_run(dataclasses.replace(remote.job, contender=contender), steps)


def _with_weights_of_this_machine(contender: Contender) -> Contender:
    """The contender with this machine's path of a shipped network; a user's own network is on a shared path."""
    if contender.weights is None or contender.weights.is_file():
        return contender
    try:
        shipped = weights.find(contender.weights.stem)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"a worker does not find {contender.weights}; put it on a path that all machines share"
        ) from error
    return dataclasses.replace(contender, weights=Path(shipped).resolve())


def _describe(threads: int, device: str) -> dict[str, Any]:
    return {**describe_machine(threads), "device": str(choose_device(device))}


def _joined(values: list[Any]) -> Any:
    different = list(dict.fromkeys(values))
    return different[0] if len(different) == 1 else " | ".join(sorted(map(str, different)))
