# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Every setting of the training, saved with its result. Defaults are the paper's unless a comment says otherwise."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEDULES = ("step", "cosine")  # of the learning rate
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class CutPasteConfig:
    """Settings of the source `cut_paste`, see `atom_core.training.cut_paste`; all of them ours.

    Raises:
        ValueError: if a value lies outside its range.
    """

    odds: dict[str, float] = field(default_factory=dict)  # set of masked objects -> odds; sets not named have odds 1
    min_side: float = 32.0  # px, of sqrt(width * height) of a pasted object, drawn log-uniformly
    max_side: float = 112.0
    # Between the two views.
    scale_jitter: float = 0.2  # the object's size * exp(this * N(0, 1))
    stretch_jitter: float = 0.1  # its aspect * exp(this * N(0, 1))
    rotation: float = 8.0  # degrees * N(0, 1), in each view
    shift: float = 0.7  # its place + this * sqrt(width * height) * N(0, 1)
    background_zoom: float = 0.1  # the background's size * exp(this * N(0, 1))
    background_shift: float = 0.08  # its place + this * its longer side * N(0, 1)
    background_change: float = 0.3  # probability that the second view has another background
    # In each view, drawn separately for each object and the background.
    contrast: float = 0.2  # times 1 +- this, uniform
    brightness: float = 20.0  # grey levels, + or -, uniform
    blur_probability: float = 0.25  # of motion or defocus
    # Other objects.
    distractor_probability: float = 0.5  # one more object of the same set nearby, behind the target
    twin_probability: float = 0.3  # that this is the target itself in another pose
    occluder_probability: float = 0.25  # an object of any set in front, in the second view

    def __post_init__(self) -> None:
        _check_ranges(self, _CUT_PASTE_RANGES)
        _check_odds("cut_paste.odds", self.odds)
        if self.min_side > self.max_side:
            raise ValueError(f"min_side {self.min_side} exceeds max_side {self.max_side}; exchange them")


@dataclass(frozen=True)
class TargetsConfig:
    """Several targets in one pair of crops, so that the convolutions are computed once for all; all settings ours.

    The first target of a still image is an annotated object, a part of one, or a textured region; the others are drawn
    in the same way from the area that both crops show. In a video the others are looser and tighter boxes of the same
    object. A predictor that is trained both on a face and on the head and shoulders around it must use the reference.

    Raises:
        ValueError: if a value lies outside its range.
    """

    count: int = 1  # targets in each pair
    part_probability: float = 0.0  # that a still image's target is a part of an annotated object
    region_probability: float = 0.0  # that it is a textured region
    loose_probability: float = 0.0  # that a box is larger or smaller than the object, by the same share in both views
    min_loose: float = -0.1  # of the box's side, at each of the four sides; negative is tighter
    max_loose: float = 0.25
    max_size_ratio: float = 1.75  # of sqrt(width * height) of any target to that of the first, and its inverse
    min_contrast: float = 10.0  # standard deviation of the grey levels in a textured region

    def __post_init__(self) -> None:
        _check_ranges(self, _TARGETS_RANGES)
        if self.min_loose > self.max_loose:
            raise ValueError(f"min_loose {self.min_loose} exceeds max_loose {self.max_loose}; exchange them")
        if self.part_probability + self.region_probability > 1:
            raise ValueError(
                f"part_probability {self.part_probability} and region_probability {self.region_probability} "
                "exceed 1 together; lower one"
            )


@dataclass(frozen=True)
class ChangesConfig:
    """Augmentation of the test crop beyond the paper's brightness change; all settings ours.

    Raises:
        ValueError: if a value lies outside its range.
    """

    copy_probability: float = 0.0  # that the test view nearly equals the reference view: little motion, no augmentation
    warp_probability: float = 0.0  # of a small rotation and perspective
    max_rotation: float = 8.0  # degrees, + or -
    max_perspective: float = 0.06  # shift of an image corner / image side, + or -
    blur_probability: float = 0.0  # of a crop, by motion or defocus
    resolution_probability: float = 0.0  # of a crop made smaller and enlarged again
    noise_probability: float = 0.0
    jpeg_probability: float = 0.0
    contrast: float = 0.0  # each crop's contrast times 1 +- this
    colour: float = 0.0  # each channel times 1 +- this
    occluder_probability: float = 0.0  # of a piece of the image in front of a part of the test crop

    def __post_init__(self) -> None:
        _check_ranges(self, _CHANGES_RANGES)


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of `atom-train iou`.

    Raises:
        ValueError: if a value lies outside its range, or a file names an unknown setting.
    """

    network: str = "efficientnet_lite0"  # backbone, a key of `atom_core.networks.backbones.BACKBONES`
    seed: int = 0

    # Pairs (section 4 of the paper).
    odds: dict[str, float] = field(default_factory=dict)  # source name -> odds; sources not named have odds 1
    max_frame_gap: int = 50  # frames between the two images of a video pair
    min_sequence_frames: int = 20  # shorter videos are skipped,
    min_visible_frames: int = 5  # and so are videos in which the object is visible in fewer frames
    crop_size: int = 288  # px
    search_area_factor: float = 5.0  # crop side / sqrt(width * height)
    scale_jitter: float = 0.5  # the test crop's side is multiplied by exp(this * N(0, 1))
    center_jitter: float = 2.25  # the test crop's centre moves by +- this * sqrt(width * height), uniform
    # Ours: probability that both jitters are a quarter of that, as from one frame to the next.
    near_probability: float = 0.0
    stretch_jitter: float = 0.0  # ours: image width * exp(this * N(0, 1)) in the test crop, so that the aspect changes
    grey_probability: float = 0.05  # both images grey
    brightness: float = 0.2  # each crop times 1 +- this, uniform
    flip_probability: float = 0.5  # the pair, left to right
    cut_paste: CutPasteConfig = field(default_factory=CutPasteConfig)
    targets: TargetsConfig = field(default_factory=TargetsConfig)
    changes: ChangesConfig = field(default_factory=ChangesConfig)
    leave_out_held_back: bool = False  # ours: leaves out the still images that `held_back` keeps for measurements

    # Proposals (section 4).
    proposals: int = 16  # for each target
    # Standard deviations of the noise on each box coordinate / sqrt(width * height); one is drawn for each proposal.
    proposal_sigmas: tuple[float, ...] = (0.01, 0.05, 0.1, 0.2, 0.3)
    min_proposal_iou: float = 0.1
    # Ours: weight of the error of the differences among a target's near proposals. An error common to all of them does
    # not move the peak of the predicted overlap; the differences do.
    difference_weight: float = 0.0

    # Ours: the features of a bank of pairs are computed once and kept; each epoch trains on the whole bank, then
    # replaces part of it.
    bank_pairs: int = 6000
    bank_renewal: float = 0.25  # share of the bank that is new in each epoch
    feature_precision: str = "float32"  # of the backbone on the CPU: "float32" or "bfloat16"
    window_cells: int = 20  # side of the window that is kept around the target, at stride 8; at stride 16 half + 1

    # Optimisation (section 4).
    batch_size: int = 64  # pairs; at least 2, for batch normalisation
    epochs: int = 40
    learning_rate: float = 1e-3  # of Adam
    schedule: str = "step"  # of the learning rate: "step", or (ours) "cosine", which falls to 0 over the whole run
    decay: float = 0.2  # of the learning rate, every `decay_epochs`, by the schedule "step"
    decay_epochs: int = 15
    warmup_batches: int = 0  # ours: the learning rate rises linearly over these
    weight_decay: float = 0.0  # ours: above 0 the optimiser is AdamW
    ema_decay: float = 0.0  # ours: above 0, a running average of the weights is validated and kept
    precision: str = "float32"  # ours: of the predictor's convolutions: "float32", "bfloat16", or (GPU) "float16"

    validation_pairs: int = 400  # fixed pairs of the validation sequences

    def __post_init__(self) -> None:
        _check_ranges(self, _RANGES)
        if self.crop_size % 16:
            raise ValueError(f"crop_size is {self.crop_size}; expected a multiple of 16, the backbone's stride")
        _check_choice("schedule", self.schedule, SCHEDULES)
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("feature_precision", self.feature_precision, PRECISIONS[:2])
        if not self.proposal_sigmas or not all(0 < sigma < math.inf for sigma in self.proposal_sigmas):
            raise ValueError(f"proposal_sigmas is {self.proposal_sigmas}; expected positive numbers")
        _check_odds("odds", self.odds)
        if self.batch_size > self.bank_pairs:
            raise ValueError(f"batch_size {self.batch_size} exceeds bank_pairs {self.bank_pairs}; make the bank larger")
        if not 8 <= self.window_cells <= self.crop_size // 8:
            raise ValueError(f"window_cells is {self.window_cells}; expected 8 to {self.crop_size // 8}")

    @property
    def epoch_batches(self) -> int:
        """Batches in an epoch; pairs that do not fill one wait for the next epoch."""
        return self.bank_pairs // self.batch_size

    @classmethod
    def from_toml(cls, path: Path) -> TrainingConfig:
        """Settings read from a TOML file; settings that it does not name keep their defaults."""
        with open(path, "rb") as file:
            return cls.from_dict(tomllib.load(file), str(path))

    @classmethod
    def from_dict(cls, values: dict[str, Any], origin: str) -> TrainingConfig:
        """Settings from plain values, as TOML and JSON have them; `origin` is named in errors."""
        values = dict(values)
        _refuse_unknown(origin, cls, values)
        if "proposal_sigmas" in values:
            values["proposal_sigmas"] = tuple(values["proposal_sigmas"])
        tables = {"cut_paste": CutPasteConfig, "targets": TargetsConfig, "changes": ChangesConfig}
        for name, settings in tables.items():
            if name in values:
                _refuse_unknown(origin, settings, values[name])
                values[name] = settings(**values[name])
        return cls(**values)

    def to_json(self) -> str:
        """The settings as a JSON object, one line a setting."""
        return json.dumps(dataclasses.asdict(self), indent=2)


@dataclass(frozen=True)
class DistillConfig:
    """Settings of `atom-train distill`; all of them ours.

    Raises:
        ValueError: if a value lies outside its range, or a file names an unknown setting.
    """

    network: str = "resnet18"  # the student
    seed: int = 0
    iterations: int = 6000
    batch_size: int = 32
    crop_sizes: tuple[int, ...] = (128, 128, 128, 160)  # px; in this order, for equal shares of the iterations
    learning_rate: float = 2e-3  # of AdamW at its highest
    warmup_iterations: int = 100  # the rate rises linearly, then falls as half a cosine to 0
    weight_decay: float = 0.02
    precision: str = "float32"  # of the student on a GPU: "float32", "bfloat16" or "float16"
    level_weights: tuple[float, float, float, float] = (0.5, 1.0, 1.0, 1.0)  # of the errors at strides 4, 8, 16 and 32
    min_area: float = 0.1  # share of the image that a crop shows at least
    max_stretch: float = 1.333  # of a crop's aspect ratio
    color_jitter: float = 0.3  # brightness, contrast and saturation each times 1 +- this
    flip_probability: float = 0.5
    stored_side: int = 256  # px; images are kept in memory with their shorter side no longer than this
    max_images: int = 12_000  # of them; more are thinned out evenly
    validation_images: int = 256  # of the training folders' images, set apart
    validation_interval: int = 250  # iterations

    def __post_init__(self) -> None:
        _check_ranges(self, _DISTILL_RANGES)
        _check_choice("precision", self.precision, PRECISIONS)
        if not self.crop_sizes or any(size % 32 or size < 64 for size in self.crop_sizes):
            raise ValueError(f"crop_sizes is {self.crop_sizes}; expected multiples of 32, 64 or more")
        if len(self.level_weights) != 4 or not all(0 <= weight < math.inf for weight in self.level_weights):
            raise ValueError(f"level_weights is {self.level_weights}; expected 4 numbers of at least 0")

    @classmethod
    def from_toml(cls, path: Path) -> DistillConfig:
        """Settings read from a TOML file; settings that it does not name keep their defaults."""
        with open(path, "rb") as file:
            values = tomllib.load(file)
        _refuse_unknown(str(path), cls, values)
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**settings)


def _refuse_unknown(origin: str, settings: type, values: dict[str, Any]) -> None:
    unknown = sorted(set(values) - {f.name for f in dataclasses.fields(settings)})
    if unknown:
        raise ValueError(f"{origin}: unknown setting {unknown[0]!r}; see atom_core/training/config.py for the names")


def _check_ranges(settings: object, ranges: dict[str, tuple[float, float]]) -> None:
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if not low <= value <= high:  # also where it is NaN
            raise ValueError(f"{name} is {value}; expected a value in [{low}, {high}]")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(choices)}")


def _check_odds(name: str, odds: dict[str, float]) -> None:
    if not all(0 <= value < math.inf for value in odds.values()):
        raise ValueError(f"{name} is {odds}; expected a number of at least 0 for each source")


_CUT_PASTE_RANGES: dict[str, tuple[float, float]] = {
    "min_side": (4.0, 1000.0),
    "max_side": (4.0, 1000.0),
    "scale_jitter": (0.0, 2.0),
    "stretch_jitter": (0.0, 1.0),
    "rotation": (0.0, 90.0),
    "shift": (0.0, 10.0),
    "background_zoom": (0.0, 1.0),
    "background_shift": (0.0, 1.0),
    "background_change": (0.0, 1.0),
    "contrast": (0.0, 1.0),
    "brightness": (0.0, 255.0),
    "blur_probability": (0.0, 1.0),
    "distractor_probability": (0.0, 1.0),
    "twin_probability": (0.0, 1.0),
    "occluder_probability": (0.0, 1.0),
}

_TARGETS_RANGES: dict[str, tuple[float, float]] = {
    "count": (1, 64),
    "part_probability": (0.0, 1.0),
    "region_probability": (0.0, 1.0),
    "loose_probability": (0.0, 1.0),
    "min_loose": (-0.3, 1.0),
    "max_loose": (-0.3, 1.0),
    "max_size_ratio": (1.0, 10.0),
    "min_contrast": (0.0, 255.0),
}

_CHANGES_RANGES: dict[str, tuple[float, float]] = {
    "copy_probability": (0.0, 1.0),
    "warp_probability": (0.0, 1.0),
    "max_rotation": (0.0, 45.0),
    "max_perspective": (0.0, 0.3),
    "blur_probability": (0.0, 1.0),
    "resolution_probability": (0.0, 1.0),
    "noise_probability": (0.0, 1.0),
    "jpeg_probability": (0.0, 1.0),
    "contrast": (0.0, 1.0),
    "colour": (0.0, 1.0),
    "occluder_probability": (0.0, 1.0),
}

_RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31),
    "max_frame_gap": (0, 1_000_000),
    "min_sequence_frames": (1, 1_000_000),
    "min_visible_frames": (1, 1_000_000),
    "crop_size": (64, 1024),
    "search_area_factor": (1.5, 20.0),
    "scale_jitter": (0.0, 2.0),
    "center_jitter": (0.0, 10.0),
    "stretch_jitter": (0.0, 1.0),
    "grey_probability": (0.0, 1.0),
    "brightness": (0.0, 1.0),
    "flip_probability": (0.0, 1.0),
    "proposals": (1, 10_000),
    "min_proposal_iou": (0.0, 1.0),
    "near_probability": (0.0, 1.0),
    "difference_weight": (0.0, 1000.0),
    "bank_pairs": (2, 10_000_000),
    "bank_renewal": (0.0, 1.0),
    "batch_size": (2, 10_000),
    "epochs": (1, 10_000),
    "learning_rate": (1e-9, 10.0),
    "decay": (0.0, 1.0),
    "decay_epochs": (1, 10_000),
    "warmup_batches": (0, 1_000_000),
    "weight_decay": (0.0, 1.0),
    "ema_decay": (0.0, 0.99999),
    "validation_pairs": (1, 1_000_000),
}

_DISTILL_RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31),
    "iterations": (1, 100_000_000),
    "batch_size": (2, 65_536),
    "learning_rate": (1e-9, 10.0),
    "warmup_iterations": (0, 1_000_000),
    "weight_decay": (0.0, 1.0),
    "min_area": (0.01, 1.0),
    "max_stretch": (1.0, 4.0),
    "color_jitter": (0.0, 0.9),
    "flip_probability": (0.0, 1.0),
    "stored_side": (64, 4096),
    "max_images": (2, 100_000_000),
    "validation_images": (1, 1_000_000),
    "validation_interval": (1, 1_000_000),
}
