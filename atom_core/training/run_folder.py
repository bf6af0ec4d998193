# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of a training run: settings, log, curves, checkpoint and results.

Files are written whole or not at all. A file that cannot be written (a full disk) does not end the run: its earlier
version is kept, a warning says so, and the next checkpoint tries again.
"""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_LOG = logging.getLogger(__name__)
CHECKPOINT_FILE = "checkpoint.pt"
LOG_FILE = "log.jsonl"
SETTINGS_FILE = "settings.json"
CURVES_FOLDER = "tensorboard"
RunState = dict[str, Any]


class RunFolder:
    """Writes checkpoints for an exact resume, and the figures for the user.

    `checkpoint.pt` holds everything: the settings, the log's records and the run's state. `settings.json`, `log.jsonl`
    (a JSON object a line) and `tensorboard/` are for reading.

    Args:
        path: the folder; made if it is not there.
        settings: plain values, as JSON has them.
        may_grow: the setting that may be larger in a resumed run, if any.
        checkpoint_minutes: how often `save_if_due` saves.
        active: False for a process that must not write (see `Group.is_main`); all methods then do nothing.
    """

    def __init__(
        self,
        path: Path,
        settings: RunState,
        may_grow: str | None = None,
        checkpoint_minutes: float = 10.0,
        active: bool = True,
    ) -> None:
        self.path = path
        self.records: list[RunState] = []
        self._settings, self._may_grow = json.loads(json.dumps(settings)), may_grow
        self._seconds, self._active = 60 * checkpoint_minutes, active
        self._saved_at = time.monotonic()
        self._failed: dict[str, str] = {}  # file -> why it could not be written last time
        self._curves: SummaryWriter | None = None

    def resume(self) -> RunState | None:
        """The state to resume from; None where the run begins, or for a process that is not active.

        Raises:
            ValueError: if the folder holds a run of other settings, or its checkpoint is damaged.
            OSError: if the folder cannot be written.
        """
        if not self._active:
            return None
        self.path.mkdir(parents=True, exist_ok=True)
        state = None
        if (self.path / CHECKPOINT_FILE).exists():
            saved = _load(self.path / CHECKPOINT_FILE)
            self._check_settings(saved["settings"])
            self.records, state = saved["records"], saved["state"]
        self.write(
            SETTINGS_FILE, lambda path: write_whole(path, (json.dumps(self._settings, indent=2) + "\n").encode())
        )
        self._write_log()  # drops what was logged after the checkpoint
        self._check_written()  # fail now rather than after hours of training
        return state

    def _check_settings(self, saved: RunState) -> None:
        names = sorted(saved.keys() | self._settings.keys())
        other = [n for n in names if saved.get(n) != self._settings.get(n)]
        grown = self._may_grow
        if grown is not None and other == [grown] and self._settings[grown] > saved[grown]:
            return
        if other:
            differences = ", ".join(f"{n} is {saved.get(n)} there and {self._settings.get(n)} here" for n in other)
            exception = f"of them only {self._may_grow} may grow" if self._may_grow else "none of them may change"
            raise ValueError(
                f"{self.path} holds a run of other settings: {differences}; give another --output, or the same "
                f"settings ({exception})"
            )

    def open_curves(self, step: int) -> None:
        """Starts TensorBoard's curves, or continues them at a step and drops the points beyond it."""
        if not self._active:
            return
        if find_spec("tensorboard") is None:
            _LOG.warning("no TensorBoard curves: pip install tensorboard; %s has the numbers", self.path / LOG_FILE)
            return
        from torch.utils.tensorboard import SummaryWriter

        self._curves = SummaryWriter(str(self.path / CURVES_FOLDER), purge_step=step)

    def draw(self, values: dict[str, float], step: int) -> None:
        """Adds points to the curves."""

        def add(curves: SummaryWriter) -> None:
            for name, value in values.items():
                curves.add_scalar(name, value, step)

        self._on_curves(add)

    def _on_curves(self, act: Callable[[SummaryWriter], object]) -> None:
        try:
            if self._curves:
                act(self._curves)
        except OSError as error:
            _LOG.warning("TensorBoard's curves end here: %s", error)
            self._curves = None

    def log(self, record: dict[str, Any], step: int) -> None:
        """Adds a line to the log, and its numbers to the curves."""
        self.records.append(record)
        self._write_log()
        self.draw({name: value for name, value in record.items() if isinstance(value, int | float)}, step)

    def _write_log(self) -> None:
        lines = "".join(json.dumps(record) + "\n" for record in self.records)
        self.write(LOG_FILE, lambda path: write_whole(path, lines.encode()))

    def save_if_due(self, state: Callable[[], RunState]) -> None:
        """Saves the run's state, if the time has come."""
        if time.monotonic() - self._saved_at >= self._seconds:
            self.save(state())

    def save(self, state: RunState) -> None:
        """Saves the run's state with its settings and records as the checkpoint."""
        if not self._active:
            return
        buffer = io.BytesIO()  # torch.save's own error does not say that the disk is full
        torch.save({"settings": self._settings, "records": self.records, "state": state}, buffer)
        self.write(CHECKPOINT_FILE, lambda path: write_whole(path, buffer.getbuffer()))
        self._on_curves(lambda curves: curves.flush())
        self._saved_at = time.monotonic()

    def write(self, name: str, write: Callable[[Path], None]) -> bool:
        """Writes a file by a function that writes it whole or not at all; False if it could not be written."""
        if not self._active:
            return True
        try:
            write(self.path / name)
        except (OSError, SafetensorError) as error:
            free = shutil.disk_usage(self.path).free / 1e6
            self._failed[name] = f"{self.path / name} could not be written: {error}; {free:.0f} MB are free"
            _LOG.warning("%s; its earlier version is kept, and the next checkpoint tries again", self._failed[name])
            return False
        self._failed.pop(name, None)
        return True

    def finish(self) -> None:
        """Closes the curves.

        Raises:
            OSError: if a file could not be written last time.
        """
        self._on_curves(lambda curves: curves.close())
        self._check_written()

    def _check_written(self) -> None:
        if self._failed:
            raise OSError(f"{next(iter(self._failed.values()))}; make room and start the same command again")


def _load(path: Path) -> RunState:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is damaged: {reason}; move it away to start over") from error
    if not isinstance(saved, dict) or saved.keys() != {"settings", "records", "state"}:
        raise ValueError(f"{path} is no checkpoint of this program's version; give another --output")
    return saved


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Writes a temporary file, syncs and renames it, so that neither a kill nor a power cut leaves half a file."""
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)  # free its disk space
        raise
