# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The trackers to compare: their names, their construction and the settings that their results depend on."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import atom_core
from atom_core.config import RENAMED, TrackerConfig
from atom_core.evaluation.baselines import OPENCV_TRACKERS, IdentityTracker, OpenCVTracker
from atom_core.evaluation.runner import Tracker
from atom_core.networks import weights
from atom_core.tracker import AtomTracker, choose_device

BASELINES = (*OPENCV_TRACKERS, "identity")
_RANDOM_BASELINES = ("mil",)  # OpenCV seeds it itself: each run differs


@dataclass(frozen=True)
class Contender:
    """One tracker of a comparison. It is picklable: a worker process builds the tracker from it.

    Attributes:
        name: as the user wrote it; unique in a comparison.
        weights: our network's file; None if `name` is one of BASELINES.
        config: of our tracker, without the seed.
        device: of our tracker, see `AtomTracker.from_pretrained`.
    """

    name: str
    weights: Path | None = None
    config: TrackerConfig = field(default_factory=TrackerConfig)
    device: str = "auto"

    def seeds(self, asked: Iterable[int] | None) -> tuple[int, ...]:
        """The seeds to run: those given, or one if the seed has no effect."""
        seeds = (self.config.seed,) if asked is None else tuple(asked)
        return seeds if self.weights or self.name in _RANDOM_BASELINES else seeds[:1]

    def build(self, seed: int) -> Tracker:
        """The tracker.

        Raises:
            ValueError: if the weights or the device cannot be used, or the installed OpenCV lacks the tracker.
        """
        if self.weights:
            return AtomTracker(_load(self.weights), choose_device(self.device), self._seeded(seed))
        return IdentityTracker() if self.name == "identity" else OpenCVTracker(self.name)

    def settings(self, seed: int) -> dict[str, Any]:
        """All settings of the tracker that affect its results, ready for JSON."""
        if not self.weights:
            return {"baseline": self.name}
        network = _load(self.weights)
        return {
            "network": network.name,
            "weights_sha256": network.sha256,
            "code": _code_digest(),
            # A named device may belong to a worker and not exist here.
            "device": str(choose_device("auto")) if self.device == "auto" else self.device,
            "config": dataclasses.asdict(self._seeded(seed)),
        }

    def _seeded(self, seed: int) -> TrackerConfig:
        return dataclasses.replace(self.config, seed=seed)


@lru_cache(maxsize=8)  # one network serves all runs of a process: OpenVINO takes seconds to compile it
def _load(path: Path) -> weights.Network:
    return weights.load(path)


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Digest of the tracker's source, which identifies runs of changed code."""
    sources = (_source(name).read_bytes() for name in sorted(tracker_modules()))
    return hashlib.sha256(b"".join(sources)).hexdigest()[:12]


def tracker_modules() -> set[str]:
    """The modules of atom_core that a result depends on: the tracker and all its imports.

    `weights` is not among them: the weights have their own digest.
    """
    found: set[str] = set()
    waiting = {"tracker"}
    while waiting:
        name = waiting.pop()
        found.add(name)
        for node in ast.walk(ast.parse(_source(name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "atom_core":
                package = (node.module or "").removeprefix("atom_core").removeprefix(".")
                names = {package, *(f"{package}.{alias.name}".removeprefix(".") for alias in node.names)}
                waiting |= {module for module in names if module and _source(module).is_file()}
        waiting -= {*found, "networks.weights"}
    return found


def _source(module: str) -> Path:
    return Path(atom_core.__file__).parent.joinpath(*module.split(".")).with_suffix(".py")


def parse_contenders(
    names: Iterable[str], config: TrackerConfig, ours: str = "default", device: str = "auto"
) -> list[Contender]:
    """The contenders for names such as `default`, `kcf`, `runs/new.safetensors`, `default:memory_size=100`.

    Args:
        names: each a shipped network, a .safetensors file, `ours`, or one of BASELINES. After a network may come
            `:vot` (the settings for the VOT challenge) and `:KEY=VALUE` for fields of TrackerConfig.
        config: of our trackers, before such changes.
        ours: the network that `ours` stands for.
        device: of our trackers.

    Raises:
        ValueError: if a name occurs twice, has unknown settings, or is a baseline that is not installed.
        FileNotFoundError: if there is no such network.
    """
    contenders = [_parse_contender(name, config, ours, device) for name in names]
    twice = sorted({c.name for c in contenders if sum(c.name == other.name for other in contenders) > 1})
    if twice:
        raise ValueError(f"--trackers: {', '.join(twice)} is named twice; name each tracker once")
    return contenders


def _parse_contender(text: str, config: TrackerConfig, ours: str, device: str) -> Contender:
    name, *changes = text.split(":")
    if name in BASELINES:
        if changes:
            raise ValueError(f"--trackers {text}: {name} takes no settings; only our networks do")
        contender = Contender(name)
        contender.build(seed=0)  # fails now, not after an hour, if OpenCV lacks it
        return contender
    try:
        path = weights.find(ours if name == "ours" else name)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"--trackers {text}: {error}; or one of {', '.join(BASELINES)}") from error
    return Contender(text, path.resolve(), change_config(config, changes), device)


def change_config(config: TrackerConfig, changes: Iterable[str]) -> TrackerConfig:
    """A configuration with changes given as strings.

    Args:
        config: to start from.
        changes: `vot` (starts over from the VOT settings), or a field of TrackerConfig and its value, such as
            `memory_size=100` or `use_hann_window=true`.

    Raises:
        ValueError: if a change has no `=`, or its field is unknown, or its value is not of the field's type or
            outside its range.
    """
    changes = list(changes)
    base = TrackerConfig.vot() if "vot" in changes else config
    return dataclasses.replace(base, **dict(_parse_change(text, base) for text in changes if text != "vot"))


def _parse_change(text: str, base: TrackerConfig) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"setting '{text}': expected KEY=VALUE or vot")
    key = RENAMED.get(key, key)
    fields = [field.name for field in dataclasses.fields(base)]
    if key not in fields:
        close = difflib.get_close_matches(key, fields, n=3) or fields
        raise ValueError(f"setting '{text}': TrackerConfig has no field '{key}'; did you mean {', '.join(close)}?")
    expected = type(getattr(base, key))
    parse: Callable[[str], Any] = {"true": True, "false": False}.__getitem__ if expected is bool else expected
    try:
        return key, parse(value)
    except (ValueError, KeyError) as error:
        raise ValueError(f"setting '{text}': '{value}' is not a value of type {expected.__name__}") from error
