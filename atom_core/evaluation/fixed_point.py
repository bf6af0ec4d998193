# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Measures whether a given box stays in place: learns a target in a still image and tracks it in the same image.

It also tracks the target in a changed copy of the image, where the true box is known. With the predictor alone, the
true centre replaces the classifier's: the proposals are drawn around it with the size of the last box, and ascend as in
the tracker. So nothing is learned online, and hundreds of targets take a minute.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from atom_core import boxes
from atom_core.boxes import Box
from atom_core.config import TrackerConfig
from atom_core.crop import sample_crop
from atom_core.data.images import read_image
from atom_core.evaluation import metrics
from atom_core.evaluation.changed_copy import changed_copy
from atom_core.evaluation.still_targets import KINDS, StillTarget
from atom_core.networks import weights
from atom_core.networks.backbones import Features
from atom_core.networks.iou_predictor import Modulation
from atom_core.networks.prepared import Networks, prepare_networks
from atom_core.refinement.proposals import draw_proposals, select
from atom_core.refinement.reference_fit import fit_to_image
from atom_core.refinement.torch_refiner import Ascent, needs_whole_maps
from atom_core.tracker import AtomTracker

LOOKS = 8
COPIES = ("same", "changed")
SIZES = (0.0, 32.0, 64.0, 128.0, float("inf"))  # px, edges of the classes of sqrt(width * height)
_SIDE_OFF = 0.2  # relative error from which a side's length counts as off
_BATCH = 16


@dataclass(frozen=True)
class Outcome:
    """One target, tracked in one image.

    Attributes:
        target: see StillTarget.
        copy: one of COPIES.
        truth: (4,) the target's box in the tracked image.
        boxes: (LOOKS, 4) after each frame.
    """

    target: StillTarget
    copy: str
    truth: np.ndarray
    boxes: np.ndarray

    @property
    def overlaps(self) -> np.ndarray:
        """(LOOKS,) intersection over union with the truth."""
        return metrics.overlap(self.boxes, np.tile(self.truth, (len(self.boxes), 1)))


@dataclass(frozen=True)
class _Scene:
    """One image to track in."""

    target: StillTarget
    copy: str
    first: np.ndarray
    image: np.ndarray
    truth: Box


def track_with_predictor(
    network: weights.Network,
    targets: Sequence[StillTarget],
    config: TrackerConfig | None = None,
    device: torch.device | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> list[Outcome]:
    """Outcomes of backbone and IoU predictor alone, two for each target: in the same image and in a changed copy.

    Args:
        network: not modified; it may be in training.
        targets: see `find_targets`.
        config: settings of the proposals and the ascent.
        device: to compute on; the CPU by default.
        progress: called with the number of targets done since its last call.

    Raises:
        ValueError: if an image cannot be read.
    """
    config, device = config or TrackerConfig(), device or torch.device("cpu")
    # A copy, since the engines cache what they compile from a module, and this one may be trained further.
    backbone = copy.deepcopy(network.backbone).eval().requires_grad_(False)
    iou_net = copy.deepcopy(network.iou_net).eval().requires_grad_(False)
    frozen = weights.Network(network.name, backbone, iou_net, network.sha256, network.metadata)
    networks = prepare_networks(frozen, device, config.crop_size)
    outcomes: list[Outcome] = []
    with torch.no_grad():
        for start in range(0, len(targets), _BATCH):
            batch = targets[start : start + _BATCH]
            scenes = [scene for target in batch for scene in _scenes(target)]
            outcomes += _climb(scenes, networks, config, device)
            progress(len(batch))
    return outcomes


def track_with_tracker(
    tracker: AtomTracker, targets: Sequence[StillTarget], progress: Callable[[int], object] = lambda count: None
) -> list[Outcome]:
    """Outcomes of the whole tracker, like `track_with_predictor`; a target takes seconds."""
    outcomes = []
    for target in targets:
        for scene in _scenes(target):
            tracker.initialize(scene.first, target.box)
            found = [tracker.track(scene.image).box for _ in range(LOOKS)]
            outcomes.append(Outcome(target, scene.copy, np.array(scene.truth), np.array(found)))
        progress(1)
    return outcomes


def _scenes(target: StillTarget) -> Iterator[_Scene]:
    image = read_image(target.path)
    yield _Scene(target, "same", image, image, target.box)
    changed = changed_copy(image, target.box, _generator(target))
    yield _Scene(target, "changed", image, changed.image, changed.box)


def _generator(target: StillTarget) -> np.random.Generator:
    name = f"{target.path.name} {[round(v, 2) for v in target.box]}"
    return np.random.default_rng(int.from_bytes(hashlib.sha1(name.encode(), usedforsecurity=False).digest()[:8], "big"))


def _climb(scenes: Sequence[_Scene], networks: Networks, config: TrackerConfig, device: torch.device) -> list[Outcome]:
    """Tracks in some scenes, with all crops in one batch for the GPU."""
    firsts, given = [scene.first for scene in scenes], [scene.target.box for scene in scenes]
    features, regions = _see(firsts, given, networks, config, device)
    crop_boxes = [
        boxes.image_to_crop(np.array(b), np.array(r), config.crop_size) for b, r in zip(given, regions, strict=True)
    ]
    known = [
        networks.modulation(f, torch.tensor(b[None], dtype=torch.float32, device=device))
        for f, b in zip(features, crop_boxes, strict=True)
    ]
    if config.reference_damping:
        known = [
            fit_to_image(modulation, torch.from_numpy(image).to(device), box, networks, config)
            for modulation, image, box in zip(known, firsts, given, strict=True)
        ]
    generators = [_generator(scene.target) for scene in scenes]
    # The last box's size at the true centre: the output of a perfect classifier.
    centers = [boxes.center(np.array(scene.truth)) for scene in scenes]
    places = [_about(center, np.array(box[2:])) for center, box in zip(centers, given, strict=True)]
    found = []
    for _ in range(LOOKS):
        features, regions = _see([scene.image for scene in scenes], places, networks, config, device)
        refined = [
            _refine(*each, networks, config, device)
            for each in zip(features, regions, places, known, generators, strict=True)
        ]
        found.append(refined)
        places = [_about(center, np.array(box[2:])) for center, box in zip(centers, refined, strict=True)]
    return [
        Outcome(scene.target, scene.copy, np.array(scene.truth), np.array([look[i] for look in found]))
        for i, scene in enumerate(scenes)
    ]


def _about(center: np.ndarray, size: np.ndarray) -> Box:
    return tuple(boxes.from_center(center, size).tolist())


def _see(
    images: Sequence[np.ndarray],
    places: Sequence[Box],
    networks: Networks,
    config: TrackerConfig,
    device: torch.device,
) -> tuple[list[Features], list[boxes.Region]]:
    """Features of the search regions around some positions, one for each image, and these regions."""
    regions = [boxes.search_region(place, config.search_area_factor) for place in places]
    crops = [
        sample_crop(torch.from_numpy(image).to(device), region, config.crop_size)
        for image, region in zip(images, regions, strict=True)
    ]
    features = networks.features(torch.stack(crops))
    return [Features(*(f[i : i + 1] for f in features)) for i in range(len(regions))], regions


def _refine(
    features: Features,
    region: boxes.Region,
    place: Box,
    modulation: Modulation,
    rng: np.random.Generator,
    networks: Networks,
    config: TrackerConfig,
    device: torch.device,
) -> Box:
    """The refined box in the image, as in the tracker; the initial box if no proposal is plausible."""
    size = config.crop_size
    x, y, width, height = boxes.image_to_crop(np.array(place), np.array(region), size)
    noise = rng.uniform(-1, 1, (config.proposals - 1, 4))
    proposals = draw_proposals(np.array((width, height)), config, noise)
    proposals[:, :2] += (x + width / 2, y + height / 2)
    ascent = Ascent(
        config.refinement_steps,
        config.refinement_step_length,
        needs_whole_maps(width, height, config.search_area_factor, size),
    )
    on_device = torch.tensor(proposals, dtype=torch.float32, device=device)
    climbed, predicted = (t.cpu().numpy() for t in networks.refine(features, modulation, on_device, ascent))
    best = select(climbed.astype(np.float64), predicted, config)
    if best is None or min(best.box[2:]) <= 0:
        return place
    return tuple(boxes.crop_to_image(best.box, np.array(region), size).tolist())


def summarize(outcomes: Sequence[Outcome]) -> dict[str, dict[str, dict[str, float]]]:
    """Figures of each copy: over all targets, by kind and by size class; ready for JSON.

    Returns:
        {copy: {group: figures}}; a group is `all`, a kind, or a range of px such as `32-64 px`.
    """
    return {
        name: {
            group: _figures(chosen)
            for group, contains in _groups().items()
            if (chosen := [o for o in outcomes if o.copy == name and contains(o.target)])
        }
        for name in COPIES
    }


def _groups() -> dict[str, Callable[[StillTarget], bool]]:
    groups: dict[str, Callable[[StillTarget], bool]] = {"all": lambda target: True}
    groups |= {kind: partial(_is_of_kind, kind) for kind in KINDS}
    for low, high in pairwise(SIZES):
        name = f"{low:g}-{high:g} px" if np.isfinite(high) else f"from {low:g} px"
        groups[name] = partial(_is_of_size, low, high)
    return groups


def _is_of_kind(kind: str, target: StillTarget) -> bool:
    return target.kind == kind


def _is_of_size(low: float, high: float, target: StillTarget) -> bool:
    return low <= target.side < high


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Figures of one group.

    Returns:
        targets: their number; iou_1, iou_8: mean overlap with the truth after 1 and 8 frames, with the suffix `_error`
        its standard error over the targets; worst_1, worst_8: mean overlap of the worst tenth; sides_off_8: share of
        all widths and heights that are off by more than 20 % after 8 frames; size_8: geometric mean of
        sqrt(width * height) / the truth's.
    """
    overlaps = np.array([o.overlaps for o in outcomes])
    ratios = np.array([o.boxes[-1, 2:] / o.truth[2:] for o in outcomes])
    figures: dict[str, Any] = {"targets": len(outcomes)}
    for look in (1, LOOKS):
        values = np.sort(overlaps[:, look - 1])
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else None
        figures[f"iou_{look}"] = float(values.mean())
        figures[f"iou_{look}_error"] = None if error is None else float(error)
        figures[f"worst_{look}"] = float(values[: max(1, round(len(values) / 10))].mean())
    figures[f"sides_off_{LOOKS}"] = float((np.abs(ratios - 1) > _SIDE_OFF).mean())
    figures[f"size_{LOOKS}"] = float(np.exp(np.log(ratios).mean()))
    return figures
