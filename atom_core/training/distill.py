# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Feature distillation: a backbone learns to predict an ImageNet network's features on unlabelled images.

The student's layers predict the teacher's features of the same crop, through small adaptors that are discarded
afterwards (FitNets, Romero et al., ICLR 2015; the same view for both and a long schedule after Beyer et al., "Knowledge
distillation: A good teacher is patient and consistent", CVPR 2022). Errors are mean squared errors of features
standardised per channel: a student that has learned nothing gets 1. Read `distill` from top to bottom.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from atom_core.networks.engine import compile_openvino
from atom_core.training.config import DistillConfig
from atom_core.training.distill_images import cut_crop, draw_batch, draw_crop, load_images, stack_crops
from atom_core.training.distill_networks import (
    TEACHER_CHANNELS,
    Standardizer,
    Student,
    Teacher,
    TeacherFunction,
    load_teacher,
)
from atom_core.training.distributed import Group
from atom_core.training.optimize import compute_type, make_scaler, update
from atom_core.training.run_folder import RunFolder, write_whole

BACKBONE_FILE = "backbone.safetensors"
_LEVELS = ("stride4", "stride8", "stride16", "stride32")
_MEASURED_BATCHES = 16  # for the mean and the variance of the teacher's features


def distill(
    config: DistillConfig,
    images: list[Path],
    published: dict[str, Tensor],
    output: Path,
    group: Group | None = None,
    checkpoint_minutes: float = 10.0,
) -> Path:
    """Distils, validates at intervals, and resumes if there is a checkpoint in `output`.

    Args:
        config: the settings.
        images: files; some are held out for validation.
        published: the teacher's weights.
        output: folder of the run, see `RunFolder`, and of the backbone, `backbone.safetensors`.
        group: the processes that train together, see `atom_core.training.distributed.join`.
        checkpoint_minutes: time between checkpoints; each validation writes one, too.

    Returns:
        the backbone's file, float32 in the network's own names.

    Raises:
        ValueError: if the images or the weights are unusable or `output` holds a run of other settings.
        OSError: if at the end a file cannot be written.
        FloatingPointError: if the training diverges.
    """
    group = group or Group()
    group.check_batch_size(config.batch_size)
    folder = RunFolder(output, dataclasses.asdict(config), checkpoint_minutes=checkpoint_minutes, active=group.is_main)
    saved = group.broadcast(folder.resume())
    pool, held_out = load_images(images, config)
    training = Distillation(config, load_teacher(published), pool, group)
    training.resume(saved)
    folder.open_curves(training.iteration)
    bar = tqdm(
        total=config.iterations,
        initial=training.iteration,
        unit="batch",
        mininterval=10,
        smoothing=0,  # the time left is estimated from all the work so far, validation included
        disable=not group.is_main,
    )
    started = time.monotonic()
    while training.iteration < config.iterations:
        training.step(pool)
        bar.update()
        if training.iteration % config.validation_interval and training.iteration < config.iterations:
            folder.save_if_due(training.state)
            continue
        record = training.validate(held_out) | {"seconds": round(time.monotonic() - started, 1)}
        started = time.monotonic()
        _keep(training, record, folder)
    bar.close()
    _write_backbone(training, folder)
    folder.finish()
    return output / BACKBONE_FILE


def _keep(training: Distillation, record: dict[str, Any], folder: RunFolder) -> None:
    folder.log(record, training.iteration)
    for kind in ("training_errors", "validation_errors"):
        curves = {f"{kind}/{level}": error for level, error in zip(_LEVELS, record[kind], strict=True)}
        folder.draw(curves, training.iteration)
    folder.save(training.state())
    _write_backbone(training, folder)
    if training.group.is_main:
        tqdm.write(json.dumps(record))


def _write_backbone(training: Distillation, folder: RunFolder) -> None:
    header = {"settings": json.dumps(dataclasses.asdict(training.config)), "iteration": str(training.iteration)}
    tensors = {k: v.cpu().contiguous() for k, v in training.student.backbone.state_dict().items()}
    folder.write(BACKBONE_FILE, lambda path: write_whole(path, save(tensors, header)))


def learning_rate(iteration: int, config: DistillConfig) -> float:
    """Linear warm-up, then half a cosine to 0."""
    if iteration < config.warmup_iterations:
        return config.learning_rate * (iteration + 1) / config.warmup_iterations
    share = (iteration - config.warmup_iterations) / max(1, config.iterations - config.warmup_iterations)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def crop_size(iteration: int, config: DistillConfig) -> int:
    """Crop side in px: small crops first, which are cheaper; early learning seldom needs large ones."""
    return config.crop_sizes[iteration * len(config.crop_sizes) // config.iterations]


class Distillation:
    """The student in training, with everything that a checkpoint needs for an exact resume.

    Attributes:
        student: to train.
        iteration: number of steps done.
    """

    def __init__(self, config: DistillConfig, teacher: Teacher, pool: list[np.ndarray], group: Group) -> None:
        self.config, self.group = config, group
        torch.manual_seed(config.seed)  # the initial weights
        self.student = Student(config.network).to(group.device)
        self._parallel = group.parallel(self.student)
        self._optimizer = torch.optim.AdamW(
            self.student.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._dtype = compute_type(config.precision, group.device)
        self._scaler = make_scaler(self._dtype, group.device)
        teacher = teacher.to(group.device)
        self._ask = {size: _accelerate(teacher, size, group.device) for size in set(config.crop_sizes)}
        self._standardize = self._measure_teacher(pool)
        self._weights = torch.tensor(config.level_weights, device=group.device)
        self.iteration, self._totals = 0, torch.zeros(len(TEACHER_CHANNELS))

    @torch.inference_mode()
    def _measure_teacher(self, pool: list[np.ndarray]) -> Standardizer:
        size, last = self.config.crop_sizes[0], self.config.iterations
        # Drawn as for iterations beyond the last one: crops that are not trained on.
        batches = (draw_batch(pool, last + i, size, self.config) for i in range(_MEASURED_BATCHES))
        return Standardizer([self._ask[size](batch.to(self.group.device)) for batch in batches])

    def step(self, pool: list[np.ndarray]) -> None:
        """One step on random crops of some images.

        Raises:
            FloatingPointError: if the error is not finite.
        """
        size = crop_size(self.iteration, self.config)
        owned = self.group.owns(torch.arange(self.config.batch_size)).numpy()
        crops = draw_batch(pool, self.iteration, size, self.config, owned).to(self.group.device)
        self.student.train()
        errors = self._errors(self._parallel, crops)
        rate = learning_rate(self.iteration, self.config)
        update(self._optimizer, self._scaler, (errors * self._weights).sum(), rate)
        errors = self.group.sum(errors.detach()).cpu() / self.group.size
        if not torch.isfinite(errors).all():
            raise FloatingPointError(
                f"the errors of iteration {self.iteration} are {errors.tolist()}; a lower learning_rate may help"
            )
        self._totals += errors
        self.iteration += 1

    def _errors(self, student: torch.nn.Module, crops: Tensor) -> Tensor:
        """The error of each level (4,)."""
        with torch.no_grad():
            targets = self._standardize(self._ask[crops.shape[-1]](crops))
        with torch.autocast(crops.device.type, self._dtype, enabled=self._dtype != torch.float32):
            guesses = student(crops)
        return torch.stack([F.mse_loss(g.float(), t) for g, t in zip(guesses, targets, strict=True)])

    @torch.no_grad()
    def validate(self, images: list[np.ndarray]) -> dict[str, Any]:
        """The levels' training errors since the last validation, and their errors on fixed crops of held-out images."""
        self.student.eval()
        size, rng = self.config.crop_sizes[-1], np.random.default_rng(self.config.seed)
        draws = [(image, draw_crop(image, self.config, rng)) for image in images]
        total = torch.zeros(len(TEACHER_CHANNELS), device=self.group.device)
        for indices in torch.arange(len(images)).split(self.config.batch_size):
            own = [draws[i] for i in indices[self.group.owns(indices)]]
            if own:
                crops = stack_crops([cut_crop(image, draw, size) for image, draw in own])
                total += self._errors(self.student, crops.to(self.group.device)) * len(own)
        count = (self.iteration - 1) % self.config.validation_interval + 1
        training, self._totals = self._totals / count, torch.zeros_like(self._totals)
        errors = self.group.sum(total) / len(images)
        return {
            "iteration": self.iteration,
            "training_errors": training.tolist(),
            "validation_errors": errors.tolist(),
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        return {**state, "iteration": self.iteration, "totals": self._totals}

    def resume(self, state: dict[str, Any] | None) -> None:
        """Restores a checkpoint's state, if there is one."""
        if state is None:
            return
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.iteration, self._totals = state["iteration"], state["totals"]

    def _parts(self) -> dict[str, Any]:
        return {"student": self.student, "optimizer": self._optimizer, "scaler": self._scaler}


def _accelerate(teacher: Teacher, size: int, device: torch.device) -> TeacherFunction:
    return compile_openvino(teacher, size) if device.type == "cpu" and find_spec("openvino") else teacher
