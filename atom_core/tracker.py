# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""ATOM, frame by frame: read `AtomTracker.track` and `follow`, then `learn_first_frame`, `frame_step` and `learn`.

`AtomTracker` checks what comes in and uploads the image. `follow` decides on the host where to look, has the device
look (`atom_core.frame_step`), fetches the results and says what they mean, each once a frame for all targets.
`atom_core.multi_tracker` has several targets in one image.
"""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from atom_core import boxes
from atom_core.boxes import Box, Region
from atom_core.capture import Execution
from atom_core.classifier.augment import dropout_samples, first_frame_crops
from atom_core.classifier.localize import LocalizationState
from atom_core.classifier.target_model import TargetModel, gaussian_labels, normalize_features
from atom_core.config import TrackerConfig
from atom_core.crop import gather, sample_crop
from atom_core.frame_step import Aim, Numbers, Observation, Sight, fetch, interpret, missed, upload_aims
from atom_core.long_term import redetection
from atom_core.long_term.appearance import INTERVAL, Appearance, Glimpse
from atom_core.long_term.redetection import (
    Finding,
    Search,
    evidence,
    is_recognised,
    judge,
    may_be_another,
    plan,
    reaches_thresholds,
)
from atom_core.networks import weights
from atom_core.networks.backbones import Features
from atom_core.networks.engine import BackboneFunction, accelerate, is_openvino
from atom_core.networks.iou_predictor import IoUNet, Modulation
from atom_core.refinement.openvino_refiner import OpenVinoRefiner
from atom_core.refinement.torch_refiner import Ascent, Refiner, TorchRefiner, autocast, needs_whole_maps
from atom_core.sharing import leaders

_JITTERS = 64  # frames after which the proposals' jitter is used again
_FRAMES_OF_EVIDENCE = 5
_FIRST_EVIDENCE = 1.3  # as long as only the first frame is known: less than in most second frames
_PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class TrackState(enum.Enum):
    """What the tracker knows of the target in a frame."""

    TRACKING = "tracking"
    UNCERTAIN = "uncertain"  # seen, but so is something much like it: nothing is learned from the frame
    LOST = "lost"  # not seen where it was last: the box is the last known place, not an observation
    SEARCHING = "searching"  # lost, and looked for in the whole image; the box is no observation either


@dataclass(frozen=True)
class TrackResult:
    """What one frame yields.

    Attributes:
        box: (x, y, width, height) in image px; LOST or SEARCHING, the last known place and no observation.
        score: the classifier's peak, about 0..1; its training target is 1 on the object and 0 elsewhere.
        iou: predicted overlap of the box with the object, 0..1; 0 where `state` is LOST or SEARCHING.
        state: of the target.
        hard_negative: a distractor was seen, and the classifier was trained against it at once.
    """

    box: tuple[float, float, float, float]
    score: float
    iou: float
    state: TrackState
    hard_negative: bool


class AtomTracker:
    """Tracks one object from a box in one image (Danelljan et al., ATOM, CVPR 2019). Not thread-safe.

    Args:
        network: see `atom_core.networks.weights`; several trackers may share one.
        device: where it computes.
        config: may be replaced between frames by setting `config`. What shapes the model (sizes, regularisation, the
            first frame's weight) then counts from the next `initialize`.
        precision: "float32", or "float16" / "bfloat16" for the two networks (meant for GPUs), not the learning.
        engine: of the backbone, see `atom_core.networks.engine.accelerate`.
        capture: "on", "off", or "auto" for CUDA alone: whether the frame step is captured as one graph when the tracker
            warms up or learns its first target, see `atom_core.capture`.
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
        self.device = device
        self.network_name = network.name
        self.weights_sha256 = network.sha256
        self.config = config
        self._networks = prepare_networks(network, device, config, precision, engine, capture)
        self._target: Target | None = None

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
        """A tracker with the weights of a shipped network or of a file.

        Args:
            device: "auto" (the GPU if PyTorch can use one), "cpu", "cuda" or "cuda:1".

        Raises:
            FileNotFoundError: if there are no such weights.
            ValueError: if the file, the device or another argument is unusable; the message says what is expected.
        """
        chosen = choose_device(device)
        return cls(weights.load(name_or_path), chosen, config or TrackerConfig(), precision, engine, capture)

    @property
    def is_initialized(self) -> bool:
        """Whether there is a target, so that `track` may be called."""
        return self._target is not None

    @property
    def execution(self) -> str:
        """How frames are run: "captured", or "eager: " and why."""
        return self._networks.execution.state

    def uncaptured(self) -> AbstractContextManager[None]:
        """Within it, frames are run operation by operation, so that their parts can be timed and counted."""
        return self._networks.execution.paused()

    def reset(self) -> None:
        """Forgets the target; `initialize` comes next."""
        self._target = None

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> None:
        """Learns a target; an earlier one is forgotten, unless this call raises.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: (x, y, width, height) in px, see `atom_core.boxes`.

        Raises:
            ValueError: if the image or the box is unusable; the message says what is wrong and what is expected.
        """
        self._target = new_target(image, box, self._networks, self.config, self.device)

    def track(self, image: np.ndarray) -> TrackResult:
        """Finds the target in the next image and learns from it.

        Args:
            image: (H, W, 3) uint8 RGB, of any size.

        Raises:
            RuntimeError: if there is no target.
            ValueError: if the image is unusable; the target is kept.
        """
        if self._target is None:
            raise RuntimeError("track was called before initialize; give the target first: initialize(image, box)")
        check_image(image)
        with torch.no_grad():
            return follow(upload(image, self.device), [self._target], self._networks, self.config)[0]

    def finish_frame(self) -> None:
        """Learns what the last frame left to learn: the filter's update, which takes longer than the frame.

        The next `track` does it otherwise. This is for who passes the result on first, and has time until then.
        """
        if self._target is not None:
            finish_learning([self._target], self._networks)

    def warm_up(self) -> None:
        """Runs every stage once on an image of noise, so that the first real frame is not slower; the target is kept.

        Where the frame step is to be captured, this takes minutes; call it in the thread that will track.
        """
        warm_up(self._networks, self.config, self.device)


@dataclass(frozen=True)
class Networks:
    """The two networks, shared and never changed. They compute in `precision` and return float32."""

    backbone: BackboneFunction
    iou_net: IoUNet
    refiner: Refiner
    execution: Execution
    precision: torch.dtype = torch.float32

    def features(self, crops: Tensor) -> Features:
        """Backbone features of crops (N, 3, S, S) in 0..255."""
        with autocast(crops.device, self.precision):
            return Features(*(f.float() for f in self.backbone(crops)))

    def modulation(self, features: Features, box: Tensor) -> Modulation:
        """What the IoU predictor keeps of the first frame: features of one crop, box (1, 4) in crop px."""
        with autocast(box.device, self.precision):
            return Modulation(*(m.float() for m in self.iou_net.modulation(features, box)))

    def refine(
        self, features: Features, modulation: Modulation, proposals: Tensor, ascent: Ascent
    ) -> tuple[Tensor, Tensor]:
        """Ascends proposals on the predicted IoU, see `Refiner`."""
        return self.refiner(features, modulation, proposals, ascent)


def prepare_networks(
    network: weights.Network, device: torch.device, config: TrackerConfig, precision: str, engine: str, capture: str
) -> Networks:
    """The networks on a device, see `AtomTracker`.

    Raises:
        ValueError: if the precision, the engine or the capture mode is unknown or cannot be used.
    """
    execution = Execution(capture, device)
    if precision not in _PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; expected one of {', '.join(_PRECISIONS)}")
    if engine == "auto" and (precision != "float32" or capture == "on"):
        engine = "torch"  # the CPU's engine computes in float32, and is no part of a graph
    backbone = accelerate(network.backbone.to(device), device, config.crop_size, engine)
    iou_net = network.iou_net.to(device)
    if is_openvino(device, engine):
        refiner = OpenVinoRefiner(iou_net, network.backbone.channels, config.crop_size)
    else:
        refiner = TorchRefiner.of(iou_net, config.crop_size, _PRECISIONS[precision])
    return Networks(backbone, iou_net, refiner, execution, _PRECISIONS[precision])


def upload(image: np.ndarray, device: torch.device) -> Tensor:
    """The image (H, W, 3) on the device."""
    return torch.from_numpy(np.ascontiguousarray(image)).to(device)


@dataclass
class Target:
    """All that is known of one target."""

    place: Box  # px of an image of `image_size`, in any state the last known
    image_size: tuple[int, int]  # width and height
    model: TargetModel  # tells the object from its look-alikes, learned online
    modulation: Modulation  # what the IoU predictor keeps of the first frame
    appearance: Appearance  # what it looks like, to know it again
    jitter: np.ndarray  # (_JITTERS, proposals - 1, 4) in -1..1, of the proposals of successive frames
    evidence: list[float] = field(default_factory=lambda: [_FIRST_EVIDENCE])  # see `take_evidence`
    drawn: int = 0  # rows of `jitter` that were used
    frame: int = 0  # frames since the first
    learned: bool = False  # whether the memory holds samples that the filter has not seen
    due: int = 0  # iterations of an update that the last frame left to be done
    search: Search | None = None  # while it is lost, and looked for in the whole image
    probation: int = 0  # frames to come in which only what is convincing is learned: it has just been taken up again

    def next_jitter(self) -> np.ndarray:
        """Drawn once for many frames, so that none of them draws anew."""
        self.drawn += 1
        return self.jitter[(self.drawn - 1) % len(self.jitter)]

    @property
    def usual_evidence(self) -> float:
        """What speaks for the target from frame to frame, see `redetection.evidence`."""
        return statistics.median(self.evidence)

    def take_evidence(self, amount: float) -> None:
        """Takes what spoke for the target in a frame in which it was seen."""
        self.evidence = [*self.evidence, amount][-_FRAMES_OF_EVIDENCE:]

    def resize_image(self, size: tuple[int, int]) -> None:
        """Has the target where it was, now in px of images of this size (width, height)."""
        if size != self.image_size:
            self.place = boxes.rescale(self.place, self.image_size, size)
            self.search = self.search and redetection.rescale(self.search, self.image_size, size)
            self.image_size = size


def new_target(
    image: np.ndarray, box: Sequence[float], networks: Networks, config: TrackerConfig, device: torch.device
) -> Target:
    """Learns a target, see `AtomTracker.initialize`."""
    check_image(image)
    check_box(box, image.shape[1], image.shape[0], config.min_box_side)
    x, y, width, height = (float(v) for v in box)
    generator = torch.Generator().manual_seed(config.seed)
    with torch.no_grad():
        uploaded = upload(image, device)
        target = learn_first_frame(uploaded, (x, y, width, height), networks, config, generator)
        if not networks.execution.is_settled:
            capture_step(uploaded, target, networks, config)
    return target


def warm_up(networks: Networks, config: TrackerConfig, device: torch.device) -> None:
    """Learns a target in an image of noise and follows it into the next: every stage runs once, and is captured."""
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    networks.execution.renew()
    target = new_target(image, (140, 100, 40, 40), networks, config, device)
    with torch.no_grad():
        follow(upload(image, device), [target], networks, config)


def capture_step(image: Tensor, target: Target, networks: Networks, config: TrackerConfig) -> None:
    """Has the frame step captured on an image (H, W, 3) of a target, if that is wanted."""
    look = look_at_place(target, target.jitter[0], config)
    iterations = config.update_cg_iterations, config.hard_negative_cg_iterations
    networks.execution.capture(lambda: prepare(image, [look]), networks, target.model.lesson, iterations)


def learn_first_frame(
    image: Tensor, box: Box, networks: Networks, config: TrackerConfig, generator: torch.Generator
) -> Target:
    """Learns a target from one image (H, W, 3) uint8 and a box (section 3.3, first frame)."""
    size = config.crop_size
    kept = boxes.keep_in_image(box, image.shape[1], image.shape[0], config.min_box_side, config.position_margin)
    x0, y0, side = region = boxes.search_region(kept, config.search_area_factor)
    # Twice the search region, about the same centre, so that shifted and rotated copies still see real pixels.
    wide = x0 - math.floor(side / 2), y0 - math.floor(side / 2), 2 * side
    patch = sample_crop(image, wide, 2 * size)
    middle = boxes.points_to_crop(boxes.center(torch.tensor(kept)), torch.tensor(wide), 2 * size)
    crops, centers = first_frame_crops(patch, middle, config, generator)

    features = networks.features(crops)
    identity = Features(features.stride8[:1], features.stride16[:1])
    crop_box = boxes.image_to_crop(torch.tensor([kept]), torch.tensor(region), size)
    modulation = networks.modulation(identity, crop_box.to(image.device))
    appearance = Appearance.of_first_frame(identity.stride8, tuple(crop_box[0].tolist()))

    samples = normalize_features(features.stride16)
    samples = torch.cat((samples, dropout_samples(samples[:1], config, generator)))
    centers = torch.cat((centers, centers[:1].expand(config.dropout_samples, 2)))
    labels = make_labels(centers.numpy(), config)
    model = TargetModel.learn_first_frame(samples, labels, config, generator, networks.precision)
    jitter = torch.rand(_JITTERS, config.proposals - 1, 4, generator=generator) * 2 - 1
    return Target(box, (image.shape[1], image.shape[0]), model, modulation, appearance, jitter.numpy())


class Look(NamedTuple):
    """One search region in which one target is looked for."""

    target: Target
    aim: Aim


def follow(image: Tensor, targets: Sequence[Target], networks: Networks, config: TrackerConfig) -> list[TrackResult]:
    """Finds each target in an image (H, W, 3) uint8 and learns from it, but for updates of filters.

    They are left for the time after the result, see `finish_learning`. One pass of the backbone and one host read serve
    all targets and all places where they are looked for.
    """
    finish_learning(targets, networks)
    size = image.shape[1], image.shape[0]
    for target in targets:
        target.resize_image(size)
    of_targets = share_regions([look_at(target, *size, config) for target in targets])
    looks = [look for of_target in of_targets for look in of_target]
    seen = locate(image, looks, networks)
    findings = [interpret(row, look.aim, *size) for row, look in zip(fetch(seen), looks, strict=True)]
    findings = [compare(found, look, looks, seen) for found, look in zip(findings, looks, strict=True)]
    findings = [
        found if is_recognised(found, look.target.usual_evidence, config) else missed(look.aim, found.score, *size)
        for found, look in zip(findings, looks, strict=True)
    ]
    results, first = [], 0
    for target, of_target in zip(targets, of_targets, strict=True):
        result, chosen = decide(target, findings[first : first + len(of_target)], config)
        learn(target, seen.samples[first + chosen], of_target[chosen].aim.region, result, config)
        keep_appearance(result, of_target[chosen], looks, seen)
        results.append(result)
        first += len(of_target)
    return results


def look_at(target: Target, image_width: int, image_height: int, config: TrackerConfig) -> list[Look]:
    """Where to look for a target in the next image: about its last place, and if it is lost, elsewhere as well."""
    if target.search is None or not config.redetection:
        return [look_at_place(target, target.next_jitter(), config)]
    views = plan(target.search, image_width, image_height, config)
    return [Look(target, Aim(view.region, view.box, target.next_jitter(), view.config)) for view in views]


def look_at_place(target: Target, jitter: np.ndarray, config: TrackerConfig) -> Look:
    """About the target's last place."""
    return Look(target, Aim(boxes.search_region(target.place, config.search_area_factor), target.place, jitter, config))


def share_regions(looks: list[list[Look]]) -> list[list[Look]]:
    """The same looks, where targets that are not lost share a search region if theirs nearly agree."""
    alone = [of_target[0].aim.region for of_target in looks if len(of_target) == 1]
    shared = iter([alone[leader] for leader in leaders(alone)])
    return [[Look(o[0].target, o[0].aim._replace(region=next(shared)))] if len(o) == 1 else o for o in looks]


def search_regions(looks: Sequence[Look]) -> list[Region]:
    """The search regions of one frame, each once, as their crops and features are numbered."""
    return list(dict.fromkeys(look.aim.region for look in looks))


def locate(image: Tensor, looks: Sequence[Look], networks: Networks) -> Observation:
    """What each look at an image (H, W, 3) uint8 shows; looks of one search region share its crop and its features."""
    return networks.execution.see(*prepare(image, looks), networks)


def prepare(image: Tensor, looks: Sequence[Look]) -> tuple[list[Tensor], Numbers, list[Sight]]:
    """What the frame step works on: the search regions' pixels, the looks' numbers, and what targets are known by."""
    regions = search_regions(looks)
    numbers = upload_aims([look.aim for look in looks], regions, image)
    sights = [as_sight(look, regions.index(look.aim.region)) for look in looks]
    return [gather(image, taps) for taps in numbers.taps], numbers, sights


def as_sight(look: Look, crop: int) -> Sight:
    """A look for the device, in the search region of this number."""
    config, target = look.aim.config, look.target
    whole = needs_whole_maps(*target.place[2:], config.search_area_factor, config.crop_size)
    ascent = Ascent(config.refinement_steps, config.refinement_step_length, whole)
    return Sight(target.model.classifier, target.modulation, crop, config.use_hann_window, ascent)


def compare(finding: Finding, look: Look, looks: Sequence[Look], seen: Observation) -> Finding:
    """The finding with its likeness to the target, unless nothing is found, or score and place say enough."""
    config, target = look.aim.config, look.target
    is_lost = target.search is not None and config.redetection
    if finding.state is LocalizationState.NOT_FOUND or not (is_lost or may_be_another(finding, config)):
        return finding
    thing = glimpse(finding.box, look, looks, seen)
    return finding._replace(likeness=target.appearance.likeness(thing))


def keep_appearance(result: TrackResult, look: Look, looks: Sequence[Look], seen: Observation) -> None:
    """Keeps what the target looks like in a sure frame, now and then, to know it again."""
    config, target = look.aim.config, look.target
    is_wanted = config.redetection or config.recognition > 0
    if is_wanted and target.frame % INTERVAL == 0 and _is_sure(result, config) and not target.probation:
        target.appearance.keep(glimpse(result.box, look, looks, seen))


def glimpse(box: Box, look: Look, looks: Sequence[Look], seen: Observation) -> Glimpse:
    """A thing at a box in the image, as one of the frame's looks saw it."""
    aim, number = look.aim, search_regions(looks).index(look.aim.region)
    in_crop = boxes.image_to_crop(np.array(box), np.array(aim.region), aim.config.crop_size)
    return Glimpse.of(seen.features.stride8[number : number + 1], tuple(in_crop.tolist()))


def decide(target: Target, findings: Sequence[Finding], config: TrackerConfig) -> tuple[TrackResult, int]:
    """What the findings of a target's looks come to, and the number of the one in which it is, or was expected."""
    searched, target.search = target.search if config.redetection else None, None
    chosen = 0
    if searched is not None:
        verdict = judge(searched, findings, config)
        target.search, chosen = verdict.search, verdict.finding
        if verdict.search is not None:
            return TrackResult(searched.place, findings[0].score, 0.0, TrackState.SEARCHING, False), 0
        if verdict.was_away:
            target.probation = config.update_interval + 1  # this frame is the first
    finding = findings[chosen]
    if finding.state is not LocalizationState.NOT_FOUND:
        target.take_evidence(evidence(finding))
    elif config.redetection:
        target.search = Search(target.place, target.usual_evidence)
    return _as_result(finding), chosen


def _as_result(finding: Finding) -> TrackResult:
    state = finding.state
    return TrackResult(*finding[:3], _TRACK_STATES[state], state is LocalizationState.HARD_NEGATIVE)


_TRACK_STATES = {
    LocalizationState.NORMAL: TrackState.TRACKING,
    LocalizationState.HARD_NEGATIVE: TrackState.TRACKING,
    LocalizationState.UNCERTAIN: TrackState.UNCERTAIN,
    LocalizationState.NOT_FOUND: TrackState.LOST,
}


def learn(target: Target, sample: Tensor, region: Region, result: TrackResult, config: TrackerConfig) -> None:
    """Takes the frame into the target: its box and, if it is sure, its sample; says when an update is due.

    The sample (1, D, h, h) is that of a search region.
    """
    target.frame += 1
    if result.state is TrackState.SEARCHING:
        return
    if result.state is not TrackState.LOST:  # a foreign image, perhaps a small one, must not move the place
        target.place = result.box
    if _teaches(target, result, config):
        rate = config.hard_negative_learning_rate if result.hard_negative else config.learning_rate
        center = boxes.points_to_crop(boxes.center(np.array(result.box)), np.array(region), config.crop_size)
        target.model.memory.insert(sample, make_labels(center[None], config), rate)
        target.learned = True
    if result.hard_negative and target.probation == 0:
        target.due, target.learned = config.hard_negative_cg_iterations, False
    elif target.learned and target.frame % config.update_interval == 0:
        target.due, target.learned = config.update_cg_iterations, False
    target.probation = max(0, target.probation - 1)


def finish_learning(targets: Sequence[Target], networks: Networks) -> None:
    """Updates the filters for which the last frame left that to be done."""
    with torch.no_grad():
        for target in targets:
            if target.due:
                target.model.update(target.due, networks.execution.improve)
                target.due = 0


def _teaches(target: Target, result: TrackResult, config: TrackerConfig) -> bool:
    """Whether a frame's sample is learned: after the target was away, only if another one would be taken for it too."""
    return result.state is TrackState.TRACKING and (target.probation == 0 or _is_sure(result, config))


def _is_sure(result: TrackResult, config: TrackerConfig) -> bool:
    """Whether a target would be taken up for such a score and IoU."""
    return result.state is TrackState.TRACKING and reaches_thresholds(result.score, result.iou, config)


def make_labels(centers: np.ndarray, config: TrackerConfig) -> np.ndarray:
    """Wished score maps (N, 2, h), see `gaussian_labels`, for targets at centres (N, 2) in crop px.

    The label's width is a share of the target's size, sqrt(width * height), which is the same in every crop.
    """
    map_size = config.crop_size // boxes.SCORE_STRIDE
    sigma = config.label_sigma_factor * map_size / config.search_area_factor  # cells
    return gaussian_labels(centers, sigma, map_size)


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
        raise ValueError(f"{given} lies outside the image of {image_width} x {image_height} px")
