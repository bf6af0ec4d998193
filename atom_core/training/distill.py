# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Feature distillation: a backbone learns, from unlabelled images, what an ImageNet network sees in them.

The student's layers, through small adaptors that are thrown away, predict the teacher's features of the same crop
(FitNets, Romero et al., ICLR 2015; the same view for both and a long schedule after Beyer et al., "Knowledge
distillation: A good teacher is patient and consistent", CVPR 2022). Errors are mean squares of features standardised
for each channel: 1 is what a student that knows nothing gets. Read `distill` from top to bottom.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from atom_core.backbone import EfficientNetLite0, build_backbone, efficientnet_lite0_from_published
from atom_core.engine import compile_openvino
from atom_core.evaluation.sequences import find_images

_LOG = logging.getLogger(__name__)
BACKBONE_FILE = "backbone.safetensors"


@dataclass(frozen=True)
class DistillConfig:
    """Settings of `atom-train distill`.

    Raises:
        ValueError: if a value lies outside its range, or a file names an unknown setting.
    """

    network: str = "resnet18"  # the student
    seed: int = 0
    iterations: int = 6000
    batch_size: int = 32
    crop_sizes: tuple[int, ...] = (
        128,
        128,
        128,
        160,
    )  # px; in this order, for equal shares of the iterations
    learning_rate: float = 2e-3  # of AdamW at its highest
    warmup_iterations: int = 100  # the rate rises linearly, then falls as half a cosine to 0
    weight_decay: float = 0.02
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
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; expected a value in [{low}, {high}]")
        if not self.crop_sizes or any(size % 32 or size < 64 for size in self.crop_sizes):
            raise ValueError(f"crop_sizes is {self.crop_sizes}; expected multiples of 32, 64 or more")
        if len(self.level_weights) != len(TEACHER_CHANNELS) or min(self.level_weights) < 0:
            raise ValueError(f"level_weights is {self.level_weights}; expected {len(TEACHER_CHANNELS)} numbers >= 0")

    @classmethod
    def from_toml(cls, path: Path) -> DistillConfig:
        """Settings read from a TOML file; settings that it does not name keep their defaults."""
        with open(path, "rb") as file:
            values = tomllib.load(file)
        unknown = sorted(set(values) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"{path}: unknown setting {unknown[0]!r}; see DistillConfig for the names")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


_RANGES: dict[str, tuple[float, float]] = {
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

TEACHER_CHANNELS = (24, 40, 112, 320)  # at strides 4, 8, 16, 32
TeacherFunction = Callable[[Tensor], tuple[Tensor, ...]]


class Teacher(EfficientNetLite0):
    """EfficientNet-Lite0 to its last stage."""

    _STAGES = (*EfficientNetLite0._STAGES, (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))
    _TAPS = (1, 2, 4, 6)  # the last stages of strides 4, 8, 16, 32

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Features (N, C, S/s, S/s) at strides s of 4, 8, 16 and 32 of crops (N, 3, S, S), float in 0..255."""
        x = self.stem(self.normalize(crops))
        maps = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self._TAPS:
                maps.append(x)
        return tuple(maps)


def load_teacher(published: dict[str, Tensor]) -> Teacher:
    """The teacher, frozen, of the published weights; see `efficientnet_lite0_from_published`."""
    teacher = Teacher().eval().requires_grad_(False)
    teacher.load_state_dict(efficientnet_lite0_from_published(published, teacher))
    return teacher


def _accelerate(teacher: Teacher, size: int) -> TeacherFunction:
    return compile_openvino(teacher, size) if find_spec("openvino") else teacher


class Student(nn.Module):
    """A ResNet-18 to `layer3` and the adaptors that read the teacher's features from its layers."""

    def __init__(self, network: str) -> None:
        super().__init__()
        if network != "resnet18":
            raise ValueError(f"network is {network!r}; expected 'resnet18', the one whose layers the adaptors fit")
        self.backbone = build_backbone(network).requires_grad_(True)
        s4, s8, s16, s32 = TEACHER_CHANNELS
        self.adaptors = nn.ModuleList([nn.Conv2d(64, s4, 1), nn.Conv2d(128, s8, 1), nn.Conv2d(256, s16, 1)])
        # The student ends at stride 16; a little more than a linear map leads to the teacher's deepest features.
        self.deep = nn.Sequential(
            nn.Conv2d(256, 256, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, s32, 1),
        )

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """The teacher's standardised features as the student guesses them, from crops (N, 3, S, S) in 0..255."""
        net = self.backbone
        stride4 = net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(net.normalize(crops))))))
        stride8 = net.layer2(stride4)
        stride16 = net.layer3(stride8)
        shallow = [adaptor(x) for adaptor, x in zip(self.adaptors, (stride4, stride8, stride16), strict=True)]
        return (*shallow, self.deep(stride16))


class Standardizer(nn.Module):
    """Shifts and scales each channel of the teacher's features to mean 0 and variance 1 over some crops."""

    def __init__(self, samples: list[tuple[Tensor, ...]]) -> None:
        super().__init__()
        for level, maps in enumerate(zip(*samples, strict=True)):
            values = torch.cat([m.transpose(0, 1).flatten(1) for m in maps], dim=1)
            std, mean = torch.std_mean(values, dim=1)
            self.register_buffer(f"mean{level}", mean[:, None, None])
            self.register_buffer(f"std{level}", std[:, None, None].clamp(min=1e-6))

    def forward(self, maps: tuple[Tensor, ...]) -> list[Tensor]:
        """Standardised maps of all levels."""
        return [(m - getattr(self, f"mean{i}")) / getattr(self, f"std{i}") for i, m in enumerate(maps)]


def distill(config: DistillConfig, images: list[Path], published: dict[str, Tensor], output: Path) -> Path:
    """Distils, validates at intervals, and resumes where a checkpoint is found in `output`.

    Args:
        config: the settings.
        images: files; some are set apart for validation.
        published: the teacher's weights.
        output: folder for the settings, the log (a JSON object a line), the checkpoint and the backbone.

    Returns:
        the backbone's file, safetensors of float32 in the network's own names.

    Raises:
        ValueError: if the images or the weights are unusable or `output` holds a run of other settings.
        FloatingPointError: if the training diverges.
    """
    output.mkdir(parents=True, exist_ok=True)
    pool, held_out = load_images(images, config)
    teacher = load_teacher(published)
    ask = {size: _accelerate(teacher, size) for size in set(config.crop_sizes)}
    torch.manual_seed(config.seed)
    student = Student(config.network)
    standardize = _measure_teacher(ask, pool, config)
    optimizer = torch.optim.AdamW(student.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    start = _resume(output, config, student, optimizer)

    totals, clock = torch.zeros(len(TEACHER_CHANNELS)), time.monotonic()
    bar = tqdm(range(start, config.iterations), initial=start, total=config.iterations, unit="batch", mininterval=10)
    for iteration in bar:
        errors = _train_step(iteration, student, ask, standardize, optimizer, pool, config)
        totals += errors
        done = iteration + 1
        if done % config.validation_interval and done != config.iterations:
            continue
        count = (done - 1) % config.validation_interval + 1
        record = {"iteration": done, "training_errors": (totals / count).tolist()}
        if not math.isfinite(float(totals.sum())):
            raise FloatingPointError(f"the error by iteration {done} is {totals.tolist()}; lower learning_rate")
        record["validation_errors"] = validate(student, ask, standardize, held_out, config)
        record["seconds"] = round(time.monotonic() - clock, 1)
        totals, clock = torch.zeros_like(totals), time.monotonic()
        with open(output / "log.jsonl", "a") as log:
            log.write(json.dumps(record) + "\n")
        tqdm.write(json.dumps(record))
        _save(output, config, student, optimizer, done)
    return output / BACKBONE_FILE


def load_images(files: list[Path], config: DistillConfig) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Training and validation images, (H, W, 3) uint8 RGB, made smaller to `stored_side`; unreadable ones are named.

    Raises:
        ValueError: if fewer than two batches can be read.
    """
    order = np.random.default_rng(config.seed).permutation(len(files))[: config.max_images]
    images = []
    for index in tqdm(order, desc="reading images", unit="image", mininterval=5, leave=False):
        image = cv2.imread(str(files[index]), cv2.IMREAD_COLOR)
        if image is None:
            _LOG.warning("cannot read the image %s; it is left out", files[index])
            continue
        ratio = config.stored_side / min(image.shape[:2])
        if ratio < 1:
            image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    if len(images) < config.validation_images + config.batch_size:
        raise ValueError(
            f"{len(images)} of {len(files)} images could be read; expected at least validation_images + batch_size = "
            f"{config.validation_images + config.batch_size}"
        )
    return images[config.validation_images :], images[: config.validation_images]


def random_crop(image: np.ndarray, size: int, config: DistillConfig, rng: np.random.Generator) -> np.ndarray:
    """A random part of an image, resized to (size, size, 3), uint8, with its colours changed."""
    height, width, _ = image.shape
    area = rng.uniform(config.min_area, 1) * height * width
    stretch = config.max_stretch ** rng.uniform(-1, 1)
    crop_width = min(width, max(1, round(math.sqrt(area * stretch))))
    crop_height = min(height, max(1, round(math.sqrt(area / stretch))))
    x, y = rng.integers(width - crop_width + 1), rng.integers(height - crop_height + 1)
    part = image[y : y + crop_height, x : x + crop_width]
    shrinks = crop_width * crop_height > size * size
    part = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if rng.random() < config.flip_probability:
        part = part[:, ::-1]
    jitter = rng.uniform(1 - config.color_jitter, 1 + config.color_jitter, 3).astype(np.float32)
    brightness, contrast, saturation = jitter
    part = part.astype(np.float32) * brightness
    part = (part - part.mean()) * contrast + part.mean()
    grey = part.mean(axis=2, keepdims=True)
    return ((part - grey) * saturation + grey).clip(0, 255)


def _batch(pool: list[np.ndarray], iteration: int, size: int, config: DistillConfig) -> Tensor:
    """Crops (N, 3, S, S) of one iteration: a function of (seed, iteration) alone, so that a resumed run repeats it."""
    rng = np.random.default_rng((config.seed, iteration))
    chosen = rng.choice(len(pool), config.batch_size, replace=len(pool) < config.batch_size)
    crops = np.stack([random_crop(pool[i], size, config, rng) for i in chosen])
    return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()


def _measure_teacher(ask: dict[int, TeacherFunction], pool: list[np.ndarray], config: DistillConfig) -> Standardizer:
    # Iterations beyond the last one: crops that the training does not repeat.
    batches = [_batch(pool, config.iterations + i, config.crop_sizes[0], config) for i in range(16)]
    with torch.inference_mode():
        return Standardizer([ask[batch.shape[-1]](batch) for batch in batches])


def learning_rate(iteration: int, config: DistillConfig) -> float:
    """Linear warm-up, then half a cosine to 0."""
    if iteration < config.warmup_iterations:
        return config.learning_rate * (iteration + 1) / config.warmup_iterations
    share = (iteration - config.warmup_iterations) / max(1, config.iterations - config.warmup_iterations)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def crop_size(iteration: int, config: DistillConfig) -> int:
    """Small crops first: most of what is learned early does not need large ones, and they are cheaper."""
    return config.crop_sizes[iteration * len(config.crop_sizes) // config.iterations]


def _train_step(
    iteration: int,
    student: Student,
    ask: dict[int, TeacherFunction],
    standardize: Standardizer,
    optimizer: torch.optim.AdamW,
    pool: list[np.ndarray],
    config: DistillConfig,
) -> Tensor:
    """One step; the errors of the levels (4,)."""
    crops = _batch(pool, iteration, crop_size(iteration, config), config)
    student.train()
    with torch.no_grad():
        targets = standardize(ask[crops.shape[-1]](crops))
    errors = _errors(student(crops), targets)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(iteration, config)
    optimizer.zero_grad(set_to_none=True)
    (errors * torch.tensor(config.level_weights)).sum().backward()
    optimizer.step()
    return errors.detach()


def _errors(guesses: tuple[Tensor, ...], targets: list[Tensor]) -> Tensor:
    return torch.stack([F.mse_loss(g, t) for g, t in zip(guesses, targets, strict=True)])


@torch.inference_mode()
def validate(
    student: Student,
    ask: dict[int, TeacherFunction],
    standardize: Standardizer,
    images: list[np.ndarray],
    config: DistillConfig,
) -> list[float]:
    """The errors of the levels on fixed crops of images that were not trained on."""
    student.eval()
    size = config.crop_sizes[-1]
    rng = np.random.default_rng(config.seed)
    crops = [random_crop(image, size, config, rng) for image in images]
    total = torch.zeros(len(TEACHER_CHANNELS))
    for i in range(0, len(crops), config.batch_size):
        batch = torch.from_numpy(np.stack(crops[i : i + config.batch_size])).permute(0, 3, 1, 2).contiguous()
        total += _errors(student(batch), standardize(ask[size](batch))) * len(batch)
    return (total / len(crops)).tolist()


def _resume(output: Path, config: DistillConfig, student: Student, optimizer: torch.optim.AdamW) -> int:
    """The iteration to go on with; writes the settings, or checks that they are those of the run found there."""
    settings, checkpoint = output / "settings.json", output / "checkpoint.pt"
    wanted = json.loads(json.dumps(dataclasses.asdict(config)))
    if not checkpoint.exists():
        settings.write_text(json.dumps(wanted, indent=2) + "\n")
        return 0
    if json.loads(settings.read_text()) != wanted:
        raise ValueError(f"{output} holds a run of other settings (settings.json); give another --output")
    saved = torch.load(checkpoint, weights_only=True)
    student.load_state_dict(saved["student"])
    optimizer.load_state_dict(saved["optimizer"])
    return saved["iteration"]


def _save(output: Path, config: DistillConfig, student: Student, optimizer: torch.optim.AdamW, iteration: int) -> None:
    part = output / "checkpoint.pt.part"
    state = {"student": student.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    torch.save(state, part)
    os.replace(part, output / "checkpoint.pt")
    part = output / (BACKBONE_FILE + ".part")
    header = {"settings": json.dumps(dataclasses.asdict(config)), "iteration": str(iteration)}
    save_file({k: v.contiguous() for k, v in student.backbone.state_dict().items()}, part, metadata=header)
    os.replace(part, output / BACKBONE_FILE)


def find_training_images(folders: list[Path]) -> list[Path]:
    """All image files below some folders, in the order of their names; masks, which are no photographs, left out.

    Raises:
        ValueError: if a folder does not exist or holds no image.
    """
    found = []
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder; expected one with images, at any depth")
        inner = [folder, *sorted(p for p in folder.rglob("*") if p.is_dir())]
        files = [f for p in inner if p.name not in ("mask", "masks") for f in find_images(p)]
        if not files:
            raise ValueError(f"no image is found below {folder}")
        found += files
    return found
