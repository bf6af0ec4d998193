# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Compiled models on disk, so that a restart neither traces nor converts them.

The folder is `ATOM_TRACKER_CACHE`, or else `atom_tracker` in the user's cache folder (`XDG_CACHE_HOME`, `~/.cache`);
`ATOM_TRACKER_CACHE=off` disables the cache. A folder that cannot be read or written, a full disk or a damaged file
costs only the time that the cache would have saved.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
from pathlib import Path

import torch
from torch import nn

VARIABLE = "ATOM_TRACKER_CACHE"
_MOST_FILES = 24  # the least recently used beyond these are removed; a network needs three
_SUFFIX = ".openvino"
_PACKAGE = Path(__file__).resolve().parents[1]


def folder() -> Path | None:
    """Where compiled models are kept; None for nowhere."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen == "off":
        return None
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "atom_tracker"
    except RuntimeError:  # a user without a home folder
        return None


def key(module: nn.Module, *circumstances: object) -> str:
    """A cache key from a module's weights, the source code of the networks, and the circumstances."""
    digest = hashlib.sha256(repr((type(module).__qualname__, _code(), torch.__version__, circumstances)).encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def read(name: str) -> bytes | None:
    """The data stored under a name; None if there is none, or it is damaged."""
    place = folder()
    if place is None:
        return None
    path = place / (name + _SUFFIX)
    try:
        checksum, data = path.read_bytes().split(b"\n", 1)
    except (OSError, ValueError):
        return None
    if checksum != hashlib.sha256(data).hexdigest().encode():
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return data


def write(name: str, data: bytes) -> bool:
    """Stores data under a name, whole or not at all; returns whether it succeeded."""
    place = folder()
    if place is None:
        return False
    part = None
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, suffix=".part", delete=False) as file:
            part = Path(file.name)
            file.write(hashlib.sha256(data).hexdigest().encode() + b"\n")
            file.write(data)
        part.replace(place / (name + _SUFFIX))
        _prune(place)
    except OSError:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        return False
    return True


def _prune(place: Path) -> None:
    files = sorted(place.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
    for path in files[:-_MOST_FILES]:
        path.unlink(missing_ok=True)


@functools.cache
def _code() -> str:
    """A checksum of the source files that the compiled modules are made from."""
    digest = hashlib.sha256()
    for path in sorted((*_PACKAGE.glob("networks/*.py"), *_PACKAGE.glob("refinement/*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
