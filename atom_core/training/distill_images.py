# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The images of a feature distillation: found, read, and cut into random crops."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from atom_core.data.images import find_images, read_image
from atom_core.training.config import DistillConfig

_LOG = logging.getLogger(__name__)


def find_training_images(folders: list[Path]) -> list[Path]:
    """All image files below some folders, sorted by name; masks are skipped, since they are not photographs.

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


def load_images(files: list[Path], config: DistillConfig) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Training and validation images, (H, W, 3) uint8 RGB, shrunk to `stored_side`; a warning names unreadable files.

    Raises:
        ValueError: if too few can be read for the validation and a batch.
    """
    order = np.random.default_rng(config.seed).permutation(len(files))[: config.max_images]
    images = []
    for index in tqdm(order, desc="reading images", unit="image", mininterval=5, leave=False):
        try:
            image = read_image(files[index])
        except ValueError as error:
            _LOG.warning("%s; it is left out", error)
            continue
        ratio = config.stored_side / min(image.shape[:2])
        if ratio < 1:
            image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        images.append(image)
    needed = config.validation_images + config.batch_size
    if len(images) < needed:
        raise ValueError(
            f"{len(images)} of {len(files)} images could be read; expected at least validation_images + batch_size = "
            f"{needed}"
        )
    return images[config.validation_images :], images[: config.validation_images]


class CropDraw(NamedTuple):
    """A part of an image, in px, and its augmentation."""

    x: int
    y: int
    width: int
    height: int
    flip: bool
    gains: tuple[float, float, float]  # of brightness, contrast, saturation


def draw_crop(image: np.ndarray, config: DistillConfig, rng: np.random.Generator) -> CropDraw:
    """A random part of an image (H, W, 3)."""
    height, width, _ = image.shape
    area = rng.uniform(config.min_area, 1) * height * width
    stretch = config.max_stretch ** rng.uniform(-1, 1)
    crop_width = min(width, max(1, round(math.sqrt(area * stretch))))
    crop_height = min(height, max(1, round(math.sqrt(area / stretch))))
    x, y = rng.integers(width - crop_width + 1), rng.integers(height - crop_height + 1)
    flip = rng.random() < config.flip_probability
    gains = rng.uniform(1 - config.color_jitter, 1 + config.color_jitter, 3)
    return CropDraw(int(x), int(y), crop_width, crop_height, bool(flip), tuple(gains.tolist()))


def cut_crop(image: np.ndarray, draw: CropDraw, size: int) -> np.ndarray:
    """That part resized to (size, size, 3) float32 in 0..255."""
    part = image[draw.y : draw.y + draw.height, draw.x : draw.x + draw.width]
    shrinks = draw.width * draw.height > size * size
    part = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if draw.flip:
        part = part[:, ::-1]
    brightness, contrast, saturation = draw.gains
    part = part.astype(np.float32) * brightness
    part = (part - part.mean()) * contrast + part.mean()
    grey = part.mean(axis=2, keepdims=True)
    return ((part - grey) * saturation + grey).clip(0, 255)


def draw_batch(
    pool: list[np.ndarray], iteration: int, size: int, config: DistillConfig, owned: np.ndarray | None = None
) -> Tensor:
    """Random crops (N, 3, S, S) of one iteration: a function of (seed, iteration), so that a resumed run repeats it.

    Args:
        owned: (batch_size,) bool, which crops to cut; all are drawn, so that the number of processes does not matter.
    """
    rng = np.random.default_rng((config.seed, iteration))
    chosen = rng.choice(len(pool), config.batch_size, replace=len(pool) < config.batch_size)
    draws = [(pool[i], draw_crop(pool[i], config, rng)) for i in chosen]
    wanted = [True] * len(draws) if owned is None else owned
    return stack_crops([cut_crop(image, draw, size) for (image, draw), own in zip(draws, wanted, strict=True) if own])


def stack_crops(crops: list[np.ndarray]) -> Tensor:
    """Crops (S, S, 3) as one batch (N, 3, S, S)."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()
