# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""All figures of a tracker, as trees that are ready for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from atom_core.benchmark.counting import Counts, counted
from atom_core.benchmark.memory import memory, reset_peak
from atom_core.benchmark.scene import DrawnScene
from atom_core.benchmark.session import KINDS, Kind, TrackedScene, observe
from atom_core.benchmark.timing import staged, statistics, timed
from atom_core.config import FIRST_FRAME_CROPS, TrackerConfig
from atom_core.evaluation.runner import Tracker
from atom_core.networks.weights import Network
from atom_core.networks.weights import load as load_network
from atom_core.tracker import AtomTracker

Tree = dict[str, Any]
_COUNTED_FRAMES = 3  # of each kind: they differ little, and the highest is reported
_MEMORY_POINTS = 20  # of a video


@dataclass(frozen=True)
class TrackerSettings:
    """The tracker to measure; the arguments of AtomTracker."""

    weights: str
    device: torch.device
    precision: str
    engine: str
    capture: str
    config: TrackerConfig

    def build(self, network: Network) -> AtomTracker:
        """A tracker that uses this network."""
        return AtomTracker(network, self.device, self.config, self.precision, self.engine, self.capture)


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        warm_up: frames before those that are measured.
        frames: of the video that is tracked without forcing any kind.
        samples: frames of each kind.
        initializations: how often the first frame is learned.
    """

    warm_up: int
    frames: int
    samples: int
    initializations: int


def frames_to_fill(config: TrackerConfig) -> int:
    """Frames until the sample memory is full; from then on an update costs the most."""
    return config.memory_size - FIRST_FRAME_CROPS - config.dropout_samples


def build_two(settings: TrackerSettings, scene: DrawnScene) -> tuple[AtomTracker, Tree]:
    """A tracker, and the memory in MB of it and of a second one that shares its network; the second is released.

    Raises:
        ValueError: if the weights, the device, the precision, the engine or the capture mode cannot be used.
        OSError: if there are no such weights.
    """
    held = [memory(settings.device)]
    network = load_network(settings.weights)
    trackers = []
    for _ in range(2):
        trackers.append(settings.build(network))
        video = TrackedScene(trackers[-1], scene)
        video.initialize(1, partial(timed, device=settings.device))
        list(video.follow(_COUNTED_FRAMES, partial(timed, device=settings.device)))
        held.append(memory(settings.device))
    names = ("first_tracker", "second_tracker")
    added = {name: _growth(*pair) for name, *pair in zip(names, held[:-1], held[1:], strict=True)}
    execution = trackers[0].execution
    about = {"network": network.name, "weights_sha256": network.sha256, "execution": execution}
    return trackers[0], {"tracker": about, "memory": {"program": _now(held[0]), **added}}


def measure(tracker: AtomTracker, scene: DrawnScene, plan: Plan) -> Tree:
    """One tracker's figures in one scene: {"frames": {kind: figures}, "warm_up": {state: frames}, "memory": {...}}."""
    device, video = tracker.device, TrackedScene(tracker, scene)
    reset_peak(device)
    frames = {"initialize": _initialize(video, plan, device)}
    warm_up = _follow(video, plan.warm_up, device)["states"]
    frames["video"] = _follow(video, plan.frames, device)
    for kind in KINDS:
        frames[kind.name] = _kind(video, kind, plan.samples, tracker)
    return {"frames": frames, "warm_up": warm_up, "memory": memory(device)}


def measure_baseline(tracker: Tracker, scene: DrawnScene, plan: Plan) -> Tree:
    """Figures of any tracker, through its interface alone: {"frames": {kind: figures}}."""
    device, video = torch.device("cpu"), TrackedScene(tracker, scene)
    initialize = {"time": statistics(video.initialize(plan.initializations, partial(timed, device=device)))}
    _follow(video, plan.warm_up, device)
    return {"frames": {"initialize": initialize, "video": _follow(video, plan.frames, device)}}


def _initialize(video: TrackedScene, plan: Plan, device: torch.device) -> Tree:
    video.initialize(1, partial(timed, device=device))  # the first one is slower
    return {
        "time": statistics(video.initialize(plan.initializations, partial(timed, device=device))),
        "stages": _stages(video.initialize(plan.initializations, partial(staged, device=device))),
        "counts": _dearest(video.initialize(1, partial(counted, device=device))),
    }


def _follow(video: TrackedScene, count: int, device: torch.device) -> Tree:
    """Tracks frames without forcing any kind: times, states and memory over time."""
    states: Counter[str] = Counter()
    seconds, held, hard_negatives = [], [], 0
    for index, (result, taken) in enumerate(video.follow(count, partial(timed, device=device)), start=1):
        seconds.append(taken)
        states[result.state.value] += 1
        hard_negatives += result.hard_negative
        if index % max(1, count // _MEMORY_POINTS) == 0:
            held.append({"frame": index, **_now(memory(device))})
    return {"time": statistics(seconds), "states": states, "hard_negatives": hard_negatives, "memory": held}


def _kind(video: TrackedScene, kind: Kind, count: int, tracker: AtomTracker) -> Tree:
    device = tracker.device
    while tracker.target.classifier.is_updating:  # finish an update that is spread over frames
        tracker.target.classifier.advance_update()
    times = observe(video, kind, count, partial(timed, device=device))
    with tracker.uncaptured():
        stages = observe(video, kind, count, partial(staged, device=device))
        counts = observe(video, kind, _COUNTED_FRAMES, partial(counted, device=device))
    return {
        "time": statistics(times.readings),
        "forced": times.forced,
        "others": times.others,
        "stages": _stages(stages.readings),
        "counts": _dearest(counts.readings),
    }


def _stages(readings: Sequence[dict[str, float]]) -> Tree:
    """The figures of each stage over all frames; a stage that does not occur in a frame takes no time there."""
    names = dict.fromkeys(name for reading in readings for name in reading)
    return {name: statistics([reading.get(name, 0.0) for reading in readings]) for name in names}


def _dearest(readings: Iterable[Counts]) -> Tree | None:
    found = max(readings, key=lambda counts: counts.operations, default=None)
    return None if found is None else {**vars(found), "names": dict(found.names.most_common())}


def _now(held: dict[str, float | None]) -> dict[str, float | None]:
    return {key: value for key, value in held.items() if not key.endswith("peak_mb")}


def _growth(before: dict[str, float | None], after: dict[str, float | None]) -> dict[str, float | None]:
    return {
        key: None if value is None or (later := after[key]) is None else later - value
        for key, value in _now(before).items()
    }
