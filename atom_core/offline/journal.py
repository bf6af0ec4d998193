# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The data from which an interrupted run resumes: its results so far and, at intervals, the tracker's whole state."""

from __future__ import annotations

import codecs
import importlib
import json
import os
import pickle
import shutil
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atom_core.offline.results import FrameResult
from atom_core.offline.sinks import LineFile

_RUN, _RESULTS, _CHECKPOINT = "run.json", "results.jsonl", "checkpoint.pt"


class Journal:
    """A folder beside the results. The tracker's state is about 20 MB per target, so it is not saved with every frame.

    Attributes:
        results: of an earlier run, up to its last saved state; empty in a new run.
        state: the tracker's state after these results, for `NumberedTargets.restore`; None in a new run.
    """

    def __init__(self, folder: Path, run: dict[str, str], interval: float, device: torch.device) -> None:
        """Resumes from the folder, or starts a new run if it is empty.

        Args:
            folder: made if it is missing.
            run: everything that determines the results, keyed by option.
            interval: seconds between two saved states.
            device: to load the state onto.

        Raises:
            ValueError: if the folder's run had other options, or its files are damaged; the message names them.
        """
        self.folder = folder
        self.results: list[FrameResult] = []
        self.state: Any = None
        self._interval = interval
        if (folder / _RUN).exists():
            self._check(run)
            self._load(device)
        folder.mkdir(exist_ok=True)
        self._lines = LineFile(folder / _RESULTS)
        for result in self.results:
            self._lines.write(result.to_json())
        if not (folder / _RUN).exists():
            _write_whole(folder / _RUN, lambda path: path.write_text(json.dumps(run, indent=2)))
        self._count = len(self.results)
        self._saved = time.monotonic()

    def append(self, result: FrameResult, state: Callable[[], Any]) -> None:
        """Appends a frame's result and, after the interval, saves the state."""
        self._lines.write(result.to_json())
        self._count += 1
        if time.monotonic() - self._saved >= self._interval:
            self.save(state())

    def save(self, state: Any) -> None:
        """Saves the state after the last frame; it replaces the previous one only once it is complete."""
        content = {"frames": self._count, "state": state}
        _write_whole(self.folder / _CHECKPOINT, lambda path: torch.save(content, path))
        self._saved = time.monotonic()

    def close(self, keep: bool) -> None:
        """Keeps the folder for a later run, or removes it."""
        self._lines.close()
        if not keep:
            shutil.rmtree(self.folder)

    def _check(self, run: dict[str, str]) -> None:
        begun = json.loads((self.folder / _RUN).read_text())
        for name in sorted(begun.keys() | run.keys()):
            if begun.get(name) != run.get(name):
                raise ValueError(
                    f"the unfinished run in {self.folder} had {name} {begun.get(name)}, and now it is "
                    f"{run.get(name)}; give it as before, or start over with --overwrite"
                )

    def _load(self, device: torch.device) -> None:
        path = self.folder / _CHECKPOINT
        if not path.exists():
            return  # ended before the first state was saved
        saved = load_state(path, device)
        lines = (self.folder / _RESULTS).read_text().splitlines()
        if len(lines) < saved["frames"]:
            raise ValueError(
                f"{self.folder / _RESULTS} holds {len(lines)} results, {path} was saved after {saved['frames']}; "
                "start over with --overwrite"
            )
        self.results = [FrameResult.from_json(line) for line in lines[: saved["frames"]]]
        self.state = saved["state"]


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Loads a state that `Journal.save` wrote: only tensors, arrays and this package's plain data classes.

    PyTorch's own restricted reader accepts further names only since version 2.6, so the names are checked here.

    Raises:
        ValueError: if the file is damaged or holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # PyTorch reads other containers, and programs in this one, with other code.
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise ValueError("it holds a program")
        return torch.load(path, map_location=device, pickle_module=_StatePickle, weights_only=False)
    except OSError:
        raise
    except Exception as error:  # PyTorch raises many kinds for a damaged file
        raise ValueError(f"{path} cannot be read ({error}); start over with --overwrite") from error


class _StateUnpickler(pickle.Unpickler):
    """Looks up only the names in a tracker's state."""

    def find_class(self, module: str, name: str) -> object:
        """See `pickle.Unpickler.find_class`."""
        full = f"{module}.{name}"
        return _ALLOWED[full] if full in _ALLOWED else _data_class(full)


class _StatePickle:
    """Replaces the module `pickle` in `torch.load`."""

    Unpickler = _StateUnpickler


# The function that makes an array has no public name, and NumPy 2 renamed it.
_RECONSTRUCT = np.zeros(1).__reduce__()[0]
_ALLOWED = {
    **{f"{thing.__module__}.{thing.__qualname__}": thing for thing in (OrderedDict, np.ndarray, np.dtype)},
    **{f"numpy.{core}.multiarray._reconstruct": _RECONSTRUCT for core in ("core", "_core")},
    "_codecs.encode": codecs.encode,  # of an array's bytes
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
}
_STATE_MODULES = {
    "atom_core.classifier.target_model",
    "atom_core.config",
    "atom_core.long_term.appearance",
    "atom_core.long_term.redetection",
    "atom_core.long_term.search",
    "atom_core.networks.iou_predictor",
    "atom_core.target",
}


def _data_class(name: str) -> type:
    """A class from the modules of a target's state; its constructor only stores its arguments."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute, None) if module in _STATE_MODULES else None
    if not isinstance(found, type) or found.__module__ != module:
        raise ValueError(f"it names {name}, which is no part of a tracker's state")
    return found


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file atomically: at any time either the old or the new one is there, complete."""
    part = path.with_name(f"{path.name}.part")
    try:
        write(part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # PyTorch's writer raises RuntimeError on a full disk
        part.unlink(missing_ok=True)
        raise OSError(f"{path}: cannot be written: {error}") from error
