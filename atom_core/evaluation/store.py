# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Finished runs on disk, one file each, so that an interrupted evaluation can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from atom_core.evaluation.parallel import Job
from atom_core.evaluation.runner import Run

_MISSING = object()


class OtherSettingsError(ValueError):
    """Runs in the folder have other settings than the current ones; the message names them."""


@dataclass(frozen=True)
class RunStore:
    """The runs in a folder, `runs/<tracker>/seed<n>/<sequence>.json`.

    A file holds the run frame by frame and the settings that it depends on. A run whose settings differ from the
    current ones is neither used nor overwritten.

    Attributes:
        folder: created when the first run is saved.
        machine: see `describe_machine`.
    """

    folder: Path
    machine: dict[str, Any]

    def path(self, job: Job) -> Path:
        """The file of the job's run, below `folder`."""
        return Path("runs") / slug(job.contender.name) / f"seed{job.seed}" / f"{slug(job.sequence.name)}.json"

    def load(self, jobs: Sequence[Job]) -> list[Run]:
        """The runs that already exist.

        Raises:
            OtherSettingsError: if any of them was made with other settings.
            ValueError: if a file is damaged.
        """
        runs, differing = [], []
        for job in jobs:
            path = self.folder / self.path(job)
            if path.is_file():
                settings, run = read_run(path)
                changes = list(differences(settings, self._settings(job)))
                differing += [(path, changes)] if changes else []
                runs.append(run)
        if differing:
            path, changes = differing[0]
            raise OtherSettingsError(
                f"{len(differing)} of {len(runs)} runs in {self.folder} were made with other settings, first {path}: "
                f"{'; '.join(changes[:5])}{'; ...' if len(changes) > 5 else ''}. Choose another --output, or "
                "--restart to make them again"
            )
        return runs

    def save(self, job: Job, run: Run) -> None:
        """Saves the job's run atomically."""
        content = {
            "tracker": run.tracker,
            "seed": run.seed,
            "sequence": run.sequence,
            "settings": self._settings(job),
            "frames": _to_columns(run),
        }
        path = self.folder / self.path(job)
        write_whole(path, json.dumps(content))

    def _settings(self, job: Job) -> dict[str, Any]:
        given = [round(float(value), 3) for value in job.sequence.boxes[0]]
        return {
            "tracker": job.contender.settings(job.seed),
            "sequence": {"frames": len(job.sequence), "first_box": given},
            "machine": self.machine,
        }


def write_whole(path: Path, text: str) -> None:
    """Writes a file atomically, even if the process is killed, and creates its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def describe_machine(threads: int) -> dict[str, Any]:
    """What figures depend on besides the tracker's settings: hardware, versions and threads; ready for JSON."""
    packages = {name: _version(name) for name in ("numpy", "torch", "openvino")}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "cpu": _cpu_name(),
        "cpu_cores": os.cpu_count(),
        "cpu_threads": threads,
        "gpu": gpu,
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        **packages,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu_name() -> str:
    """From Linux; on other systems, from Python."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return found[1] if found else platform.processor() or platform.machine()


def slug(name: str) -> str:
    """A file name for any name; a digest distinguishes names that had to be changed."""
    safe = re.sub(r"[^\w.=+-]", "_", name)[-80:].lstrip(".")
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def differences(stored: Any, present: Any, place: str = "") -> Iterator[str]:
    """One string for each value that differs between two trees of dictionaries: `x.y was 1, is 2`."""
    if isinstance(stored, dict) and isinstance(present, dict):
        for key in sorted({*stored, *present}):
            inside = f"{place}.{key}" if place else key
            yield from differences(stored.get(key, _MISSING), present.get(key, _MISSING), inside)
    elif stored != present:
        before, now = ("absent" if value is _MISSING else value for value in (stored, present))
        yield f"{place} was {before}, is {now}"


def _to_columns(run: Run) -> dict[str, list[Any]]:
    """The run's columns, with None for NaN: JSON has no NaN."""
    return {
        "box": run.boxes.tolist(),
        "score": [None if np.isnan(value) else value for value in run.scores.tolist()],
        "iou": [None if np.isnan(value) else value for value in run.ious.tolist()],
        "confidence": [None if np.isnan(value) else value for value in run.confidence.tolist()],
        "state": list(run.states),
        "seconds": run.seconds.tolist(),
    }


def read_run(path: Path) -> tuple[dict[str, Any], Run]:
    """A file's settings and run.

    Raises:
        ValueError: if it does not hold a run.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        frames = content["frames"]
        columns = [np.array(frames[key], dtype=float) for key in ("box", "score", "iou", "seconds")]
        boxes, scores, ious, seconds = columns
        confidences = np.array(frames.get("confidence", frames["score"]), dtype=float)  # older runs have none
        states = tuple(frames["state"])
        run = Run(
            content["tracker"], content["sequence"], boxes, scores, ious, states, seconds, content["seed"], confidences
        )
        return content["settings"], run
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no run of atom-eval ({error!r}); delete it to make the run again") from error
