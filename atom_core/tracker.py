# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The trackers: they pass a frame to `atom_core.follow`, which returns the results.

`MultiTracker` tracks several targets in the same images: one network, one upload, one pass of the backbone and one host
read per frame. `AtomTracker` is a `MultiTracker` with one target.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atom_core import boxes
from atom_core.config import TrackerConfig
from atom_core.follow import capture, finish_updates, follow
from atom_core.free_memory import return_free_memory
from atom_core.model import Model
from atom_core.networks import weights
from atom_core.result import TrackResult
from atom_core.target import Target, learn_first_frame


class MultiTracker:
    """Tracks several objects, each as an `AtomTracker` would. Not thread-safe.

    Targets whose search regions nearly agree share one crop and its features (see `atom_core.sharing`).

    Args:
        network: see `atom_core.networks.weights`; several trackers may share one.
        device: that the networks run on.
        config: of all targets; may be replaced between frames by setting `config`. Settings of the model itself (sizes,
            regularisation, the first frame's weight) then apply to targets learned later.
        precision: of the two networks, not the learning: "float32", "bfloat16", "float16" (GPUs), "int8" (the backbone,
            by OpenVINO; the rest in bfloat16 where the processor has it), or "auto": with OpenVINO on a processor that
            has bfloat16, "int8" for the shipped resnet18 and "bfloat16" for others; "float32" otherwise.
        engine: of the networks, see `atom_core.networks.engine.accelerate`; or the path of an exported .onnx file, see
            `atom_core.networks.onnx_engine`.
        max_targets: maximum number of targets at a time; None: no limit.
        capture: whether the frame step is captured as one graph when the tracker warms up or learns its first target,
            see `atom_core.capture`: "off", "graph", "inductor", or "auto": "graph" on CUDA and "off" elsewhere.
    """

    def __init__(
        self,
        network: weights.Network,
        device: torch.device,
        config: TrackerConfig,
        precision: str = "float32",
        engine: str = "auto",
        max_targets: int | None = None,
        capture: str = "auto",
    ) -> None:
        if max_targets is not None and max_targets < 1:
            raise ValueError(f"max_targets is {max_targets}; expected 1 or more, or None for any number")
        self.device = device
        self.network_name = network.name
        self.weights_sha256 = network.sha256
        self.config = config
        self.max_targets = max_targets
        self._model = Model.prepare(network, device, config.crop_size, precision, engine, capture)
        self._targets: dict[int, Target] = {}
        self._last_id = 0

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "default",
        device: str = "auto",
        config: TrackerConfig | None = None,
        precision: str = "float32",
        engine: str = "auto",
        max_targets: int | None = None,
        capture: str = "auto",
    ) -> MultiTracker:
        """A tracker with the weights of a shipped network or of a file.

        Args:
            name_or_path: of the network.
            device: "auto" (the GPU if PyTorch can use one), "cpu", "cuda" or "cuda:1".
            config: as for the class, like the other arguments.

        Raises:
            FileNotFoundError: if there are no such weights.
            ValueError: if the file, the device or another argument is unusable; the message says what is expected.
        """
        chosen = choose_device(device)
        network = weights.load(name_or_path)
        return cls(network, chosen, config or TrackerConfig(), precision, engine, max_targets, capture)

    @property
    def execution(self) -> str:
        """How frames are run: "captured", or "eager: " and why."""
        return self._model.execution.state

    @property
    def engine(self) -> str:
        """What computes the networks, and how, such as "OpenVINO 2026.4.1, float32"."""
        return self._model.networks.engine

    @property
    def is_ready(self) -> bool:
        """Whether warming up has nothing left to capture in the calling thread, see `atom_core.capture`."""
        return self._model.execution.is_settled

    @property
    def target_ids(self) -> tuple[int, ...]:
        """The targets' numbers, in the order in which they were added."""
        return tuple(self._targets)

    def target(self, target_id: int) -> Target:
        """All state of a target; raises KeyError if there is none of this number."""
        return self._choose([target_id])[target_id]

    def uncaptured(self) -> AbstractContextManager[None]:
        """Within it, frames are run operation by operation, so that their parts can be timed and counted."""
        return self._model.execution.paused()

    def add(self, image: np.ndarray, box: Sequence[float], target_id: int | None = None) -> int:
        """Learns a new target, or an existing one again. If this raises, all targets are unchanged.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: (x, y, width, height) in px, see `atom_core.boxes`.
            target_id: of the target to learn again, or the caller's number for a new one, higher than all before; by
                default the next number.

        Returns:
            The target's number. Numbers increase and are never reused.

        Raises:
            ValueError: if the image or the box is unusable, `max_targets` is reached, or the number belonged to a
                removed target; the message says what is expected.
        """
        number = self._last_id + 1 if target_id is None else target_id
        if number not in self._targets:
            self._check_new(number)
        self._targets[number] = self._learn_first_frame(image, box)
        self._last_id = max(self._last_id, number)
        return number

    def remove(self, target_id: int) -> bool:
        """Forgets a target; returns whether there was one."""
        return self._targets.pop(target_id, None) is not None

    def clear(self) -> None:
        """Forgets all targets; their numbers are not reused."""
        self._targets.clear()

    def track(self, image: np.ndarray, target_ids: Iterable[int] | None = None) -> dict[int, TrackResult]:
        """Finds the targets in the next image and learns from it.

        Args:
            image: (H, W, 3) uint8 RGB, of any size.
            target_ids: the targets to track; by default all. The others ignore the image.

        Returns:
            the result of each target by its number; empty if there is no target.

        Raises:
            KeyError: if there is no target of such a number; then no target is updated.
            ValueError: if the image is unusable; the targets are kept.
        """
        check_image(image)
        chosen = self._choose(target_ids)
        if not chosen:
            return {}
        with torch.no_grad():
            results = follow(upload(image, self.device), list(chosen.values()), self._model, self.config)
        return dict(zip(chosen, results, strict=True))

    def finish_frame(self) -> None:
        """Does the learning left from the last frame: its share of the filters' updates.

        Call this after publishing the results; otherwise the next `track` does it.
        """
        finish_updates(list(self._targets.values()), self._model, self.config)

    def warm_up(self) -> None:
        """Runs every stage once on an image of noise, so that the first frame is not slower. Targets are kept.

        If Inductor captures the frame step, this takes minutes. Call it in the thread that will track.
        """
        image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
        self._model.execution.renew()
        # One iteration runs the same code as sixty.
        config = dataclasses.replace(self.config, first_frame_gn_steps=1, first_frame_cg_iterations=1)
        target = self._learn_first_frame(image, (140, 100, 40, 40), config)
        with torch.no_grad():
            follow(upload(image, self.device), [target], self._model, self.config)

    def state(self) -> dict[str, Any]:
        """The state of all targets, for `torch.save` and `restore`; not a copy."""
        return {"targets": self._targets, "last_id": self._last_id}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from another tracker's `state`: both need the same network, configuration and device."""
        self._targets = dict(state["targets"])
        self._last_id = state["last_id"]

    def _learn_first_frame(
        self, image: np.ndarray, box: Sequence[float], config: TrackerConfig | None = None
    ) -> Target:
        check_image(image)
        check_box(box, image.shape[1], image.shape[0], self.config.min_box_side)
        x, y, width, height = (float(v) for v in box)
        with torch.no_grad():
            self._model.networks.prepare(self.config.proposals)
            uploaded = upload(image, self.device)
            target = learn_first_frame(uploaded, (x, y, width, height), self._model.networks, config or self.config)
            if not self._model.execution.is_settled:
                capture(uploaded, target, self._model, self.config)
        return_free_memory()
        return target

    def _choose(self, target_ids: Iterable[int] | None) -> dict[int, Target]:
        if target_ids is None:
            return self._targets
        chosen = tuple(target_ids)
        missing = [number for number in chosen if number not in self._targets]
        if missing:
            raise KeyError(f"there is no target {missing[0]}; there are {self._list()}")
        return {number: self._targets[number] for number in chosen}

    def _check_new(self, number: int) -> None:
        if number <= self._last_id:
            raise ValueError(
                f"there is no target {number}, and the number was used before; leave it out, or give one of those "
                f"that are tracked ({self._list()}) or one above {self._last_id}"
            )
        if self.max_targets is not None and len(self._targets) >= self.max_targets:
            raise ValueError(
                f"there are {len(self._targets)} targets already ({self._list()}), and max_targets is "
                f"{self.max_targets}; remove one, give the number of the one to replace, or raise max_targets"
            )

    def _list(self) -> str:
        return ", ".join(map(str, self._targets)) or "none"


class AtomTracker:
    """Tracks one object from a box in one image (Danelljan et al., ATOM, CVPR 2019). Not thread-safe.

    It is a `MultiTracker` with one target, and takes the same arguments.
    """

    def __init__(
        self,
        network: weights.Network,
        device: torch.device,
        config: TrackerConfig,
        precision: str = "float32",
        engine: str = "auto",
        capture: str = "auto",
    ) -> None:
        self._tracker = MultiTracker(network, device, config, precision, engine, None, capture)
        self.device = device
        self.network_name = network.name
        self.weights_sha256 = network.sha256
        self._target_id: int | None = None

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "default",
        device: str = "auto",
        config: TrackerConfig | None = None,
        precision: str = "float32",
        engine: str = "auto",
        capture: str = "auto",
    ) -> AtomTracker:
        """A tracker with the weights of a shipped network or of a file, see `MultiTracker.from_pretrained`."""
        chosen = choose_device(device)
        return cls(weights.load(name_or_path), chosen, config or TrackerConfig(), precision, engine, capture)

    @property
    def config(self) -> TrackerConfig:
        """The configuration; may be replaced between frames, see `MultiTracker`."""
        return self._tracker.config

    @config.setter
    def config(self, config: TrackerConfig) -> None:
        self._tracker.config = config

    @property
    def is_initialized(self) -> bool:
        """Whether there is a target, so that `track` may be called."""
        return self._target_id is not None

    @property
    def target(self) -> Target:
        """All state of the target; raises RuntimeError if there is none."""
        return self._tracker.target(self._the_target_id())

    @property
    def execution(self) -> str:
        """How frames are run: "captured", or "eager: " and why."""
        return self._tracker.execution

    @property
    def engine(self) -> str:
        """What computes the networks, and how, such as "OpenVINO 2026.4.1, float32"."""
        return self._tracker.engine

    def uncaptured(self) -> AbstractContextManager[None]:
        """Within it, frames are run operation by operation, so that their parts can be timed and counted."""
        return self._tracker.uncaptured()

    def reset(self) -> None:
        """Forgets the target; `initialize` must follow."""
        self._tracker.clear()
        self._target_id = None

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> None:
        """Learns a target; an earlier one is forgotten, unless this call raises.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: (x, y, width, height) in px, see `atom_core.boxes`.

        Raises:
            ValueError: if the image or the box is unusable; the message says what is wrong and what is expected.
        """
        self._target_id = self._tracker.add(image, box, self._target_id)

    def track(self, image: np.ndarray) -> TrackResult:
        """Finds the target in the next image and learns from it.

        Args:
            image: (H, W, 3) uint8 RGB, of any size.

        Raises:
            RuntimeError: if there is no target.
            ValueError: if the image is unusable; the target is kept.
        """
        target_id = self._the_target_id()
        return self._tracker.track(image)[target_id]

    def finish_frame(self) -> None:
        """Does the learning left from the last frame, see `MultiTracker.finish_frame`."""
        self._tracker.finish_frame()

    def warm_up(self) -> None:
        """Runs every stage once, see `MultiTracker.warm_up`; the target is kept."""
        self._tracker.warm_up()

    def _the_target_id(self) -> int:
        if self._target_id is None:
            raise RuntimeError("track was called before initialize; give the target first: initialize(image, box)")
        return self._target_id


def upload(image: np.ndarray, device: torch.device) -> Tensor:
    """The image (H, W, 3) on the device."""
    return torch.from_numpy(np.ascontiguousarray(image)).to(device)


def choose_device(name: str) -> torch.device:
    """The device of a name: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        ValueError: if it is unknown or cannot be used.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; expected 'auto', 'cpu', 'cuda' or 'cuda:N'") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"device {name!r} cannot be used: PyTorch sees {count} CUDA devices; use 'cpu' or 'auto'")
    return device


def check_image(image: np.ndarray) -> None:
    """Raises ValueError unless the image is (H, W, 3) uint8 and not empty."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"the image is a {type(image).__name__}; expected a numpy array (H, W, 3) of uint8, RGB")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"the image has shape {image.shape} and type {image.dtype}; expected (H, W, 3) of uint8, RGB")
    if 0 in image.shape:
        raise ValueError(f"the image is empty: its shape is {image.shape}")


def check_box(box: Sequence[float], image_width: int, image_height: int, min_side: float) -> None:
    """Raises ValueError unless the box is (x, y, width, height), finite, of a usable size and overlaps the image."""
    try:
        x, y, width, height = (float(v) for v in box)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the box is {box!r}; expected four numbers (x, y, width, height)") from error
    given = f"the box (x {x:g}, y {y:g}, width {width:g}, height {height:g})"
    if not all(math.isfinite(v) for v in (x, y, width, height)):
        raise ValueError(f"{given} is not finite; expected four finite numbers")
    if width < min_side or height < min_side:
        raise ValueError(f"{given} is too small; expected at least {min_side:g} px a side")
    longest = boxes.longest_side(image_width, image_height)
    if max(width, height) > longest:
        raise ValueError(f"{given} is too large; expected at most {longest:g} px a side, twice the image's longer one")
    if x >= image_width or y >= image_height or x + width <= 0 or y + height <= 0:
        raise ValueError(f"{given} is outside the image of {image_width} x {image_height} px")
