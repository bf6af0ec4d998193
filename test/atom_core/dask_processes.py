# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A Dask scheduler and its workers as processes, as a user starts them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def dask(*arguments: object, log: Path) -> Iterator[subprocess.Popen]:
    """`dask ARGUMENTS`, ended at the end."""
    path = f"{ROOT}:{ROOT / 'test' / 'atom_core'}:{os.environ.get('PYTHONPATH', '')}"
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dask", *map(str, arguments)]
    with open(log, "w") as file, subprocess.Popen(command, stdout=file, stderr=file, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()  # its workers end when they see that


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[str]:
    """The address of a scheduler with this many workers, each with a nanny that starts it again."""
    with ExitStack() as stack:
        told = folder / "scheduler.json"
        scheduler = ["scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", told]
        process = stack.enter_context(dask(*scheduler, log=folder / "scheduler.log"))
        while not told.exists() or not told.read_text():
            assert process.poll() is None, (folder / "scheduler.log").read_text()
            time.sleep(0.05)
        address = json.loads(told.read_text())["address"]
        if workers:
            asked = ["--nworkers", workers, "--nthreads", 1, "--host", "127.0.0.1", "--no-dashboard"]
            places = ["--local-directory", folder]
            process = stack.enter_context(dask("worker", address, *asked, *places, log=folder / "workers.log"))
            while (folder / "workers.log").read_text().count("Registered to:") < workers:
                assert process.poll() is None, (folder / "workers.log").read_text()
                time.sleep(0.1)
        yield address


def descendants(process: int) -> list[int]:
    """Processes below one, as Linux lists them."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


def reader_of(path: Path) -> int | None:
    """The process below this one that holds a file open."""
    for process in descendants(os.getpid()):
        for descriptor in Path(f"/proc/{process}/fd").glob("*"):
            try:
                if os.readlink(descriptor) == str(path):
                    return process
            except OSError:  # closed meanwhile
                continue
    return None
