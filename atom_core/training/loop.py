# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the IoU predictor on a frozen backbone (section 4 of the paper). Read `train_iou` from top to bottom."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from atom_core import boxes, weights
from atom_core.backbone import Backbone, build_backbone
from atom_core.engine import accelerate
from atom_core.iou_net import IoUNet
from atom_core.refine import PredictIoU, ascend, autograd
from atom_core.training.bank import FeatureBank, Side
from atom_core.training.config import TrainingConfig
from atom_core.training.datasets import Source, find_sources
from atom_core.training.optimize import average_weights, learning_rate, make_optimizer, set_learning_rate
from atom_core.training.sampling import draw_proposals

_VALIDATION_STREAM = 1
_CHECKPOINT = "checkpoint.pt"
_LOG = "log.jsonl"
NETWORK_FILE = "network.safetensors"


def train_iou(
    config: TrainingConfig, data: list[Path], validation: list[Path], backbone_weights: dict[str, Tensor], output: Path
) -> Path:
    """Trains, validates after each epoch, and keeps the best network; resumes where a checkpoint is found in `output`.

    Args:
        config: the settings.
        data: folders of training sources, see `atom_core.training.datasets`.
        validation: likewise; never trained on.
        backbone_weights: the frozen backbone's state dict.
        output: folder for the settings, the log (a JSON object a line), the checkpoint and the network of least
            validation error, `network.safetensors`.

    Returns:
        the network's file.

    Raises:
        ValueError: if the data or the backbone's weights are unusable or `output` holds a run of other settings.
        FloatingPointError: if the training diverges.
    """
    output.mkdir(parents=True, exist_ok=True)
    _claim(output, config)
    sources, held_out_sources = _training_sources(config, data), find_sources(validation, config)
    backbone = _load_backbone(config.network, backbone_weights)
    run = accelerate(backbone, torch.device("cpu"), config.crop_size)

    torch.manual_seed(config.seed)  # the initial weights
    model = IoUNet(backbone.channels)
    optimizer = make_optimizer(model, config)
    average = average_weights(model, config.ema_decay)
    kept = average.module if config.ema_decay else model  # what is validated and written
    progress = _resume(output, model, optimizer, average)

    bank = FeatureBank(sources, backbone, run, config, config.bank_pairs)
    held_out = FeatureBank(held_out_sources, backbone, run, config, config.validation_pairs, _VALIDATION_STREAM)
    held_out.fill(torch.zeros(config.validation_pairs, dtype=torch.long), "validation features")

    for epoch in range(progress["epoch"], config.epochs):
        started = time.monotonic()
        bank.fill(bank_versions(config, epoch), f"epoch {epoch}: features")
        loss = _train_epoch(model, optimizer, average, bank, config, epoch)
        if not math.isfinite(loss):
            raise FloatingPointError(f"the training error of epoch {epoch} is {loss}; a lower learning_rate may help")
        record = {"epoch": epoch, "training_error": loss, **validate(kept, held_out, config)}
        record["seconds"] = round(time.monotonic() - started, 1)
        with open(output / _LOG, "a") as log:
            log.write(json.dumps(record) + "\n")
        tqdm.write("  ".join(f"{k} {v:.4g}" for k, v in record.items()))
        if record["validation_error"] < progress["best"]:
            progress["best"] = record["validation_error"]
            network = weights.Network(config.network, backbone, kept, sha256="", metadata={})
            weights.save(output / NETWORK_FILE, network, _describe(config, record))
        progress["epoch"] = epoch + 1
        _write_checkpoint(output, model, optimizer, average, progress)
    return output / NETWORK_FILE


def _load_backbone(network: str, state: dict[str, Tensor]) -> Backbone:
    backbone = build_backbone(network)
    missing = backbone.load_state_dict(state, strict=False).missing_keys  # more than is needed does no harm
    if missing:
        raise ValueError(f"the weights are not of {network}: {len(missing)} tensors are missing, first {missing[0]!r}")
    return backbone


def _training_sources(config: TrainingConfig, data: list[Path]) -> list[Source]:
    sources = find_sources(data, config)
    names = [source.name for source in sources]
    unknown = sorted(set(config.odds) - set(names))
    if unknown:
        raise ValueError(f"odds names the source {unknown[0]!r}, which is not there; there are: {', '.join(names)}")
    return sources


def bank_versions(config: TrainingConfig, epoch: int) -> Tensor:
    """Which version of its pair each slot holds in an epoch, (bank_pairs,): in each, the next share is renewed."""
    renewed = math.ceil(config.bank_renewal * config.bank_pairs)  # slots in each epoch
    if renewed == 0:
        return torch.zeros(config.bank_pairs, dtype=torch.long)
    period = math.ceil(config.bank_pairs / renewed)  # epochs until it is a slot's turn again
    first = 1 + torch.arange(config.bank_pairs) // renewed  # epoch in which a slot is renewed first
    return torch.div(epoch - first, period, rounding_mode="floor") + 1


def _train_epoch(
    model: IoUNet,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel,
    bank: FeatureBank,
    config: TrainingConfig,
    epoch: int,
) -> float:
    """One pass over the bank; the mean squared error."""
    # Every draw of an epoch comes from (seed, epoch), so a resumed run repeats it.
    generator = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
    model.train()
    total, batches = 0.0, config.epoch_batches
    order = torch.randperm(config.bank_pairs, generator=generator)[: batches * config.batch_size]
    bar = tqdm(
        order.split(config.batch_size), desc=f"epoch {epoch}: training", unit="batch", mininterval=5, leave=False
    )
    for step, slots in enumerate(bar):
        set_learning_rate(optimizer, learning_rate(config, epoch * batches + step))
        loss = batch_loss(model, *bank.batch(slots), config, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if config.ema_decay:
            average.update_parameters(model)
        total += loss.item()
        bar.set_postfix(error=f"{total / (step + 1):.4f}")
    return total / batches


def batch_loss(
    model: IoUNet, reference: Side, test: Side, config: TrainingConfig, generator: torch.Generator
) -> Tensor:
    """Mean squared error of 2 * IoU - 1 over the proposals of a batch of pairs."""
    return _error(_predictor(model, reference, test), test.boxes, config, generator)


def _predictor(model: IoUNet, reference: Side, test: Side) -> PredictIoU:
    """The function from proposals (N, P, 4) in the test crops of N pairs to predicted 2 * IoU - 1 (N, P)."""
    modulation = model.modulation(reference.features(), reference.boxes, reference.window())
    maps = model.test_maps(test.features(), test.window())
    return lambda proposals: model(modulation, maps, proposals)


def _error(predict: PredictIoU, truth: Tensor, config: TrainingConfig, generator: torch.Generator) -> Tensor:
    proposals, overlap = draw_proposals(
        truth, config.proposals, config.proposal_sigmas, config.min_proposal_iou, generator
    )
    return F.mse_loss(predict(proposals), 2 * overlap - 1)


@torch.no_grad()
def validate(model: IoUNet, bank: FeatureBank, config: TrainingConfig) -> dict[str, float]:
    """The error on held-out pairs, and what the predictor is for: the overlap before and after gradient ascent."""
    model.eval()
    generator = torch.Generator().manual_seed(config.seed)
    errors, before, after = [], [], []
    for slots in torch.arange(len(bank.versions)).split(config.batch_size):
        reference, test = bank.batch(slots)
        predict = _predictor(model, reference, test)
        errors.append(_error(predict, test.boxes, config, generator) * len(slots))
        start, overlap = draw_proposals(test.boxes, 4, (0.2,), config.min_proposal_iou, generator)
        found, _ = ascend(predict, autograd(predict), start, steps=5, step_length=1.0)
        before.append(overlap)
        after.append(boxes.iou(found, test.boxes[:, None]))
    return {
        "validation_error": float(sum(errors) / len(bank.versions)),
        "overlap_before": float(torch.cat(before).mean()),
        "overlap_after": float(torch.cat(after).mean()),
    }


def _claim(output: Path, config: TrainingConfig) -> None:
    """Writes the settings beside the results, or checks that they are those of the run found there."""
    path = output / "settings.json"
    if (
        path.exists()
        and (output / _CHECKPOINT).exists()
        and json.loads(path.read_text()) != json.loads(config.to_json())
    ):
        raise ValueError(
            f"{output} holds a run of other settings (settings.json); give another --output, or the same settings"
        )
    path.write_text(config.to_json() + "\n")


def _resume(output: Path, model: IoUNet, optimizer: torch.optim.Optimizer, average: AveragedModel) -> dict[str, float]:
    if not (output / _CHECKPOINT).exists():
        return {"epoch": 0, "best": math.inf}
    saved = torch.load(output / _CHECKPOINT, weights_only=True)
    for name, part in (("model", model), ("optimizer", optimizer), ("average", average)):
        part.load_state_dict(saved[name])
    return saved["progress"]


def _write_checkpoint(
    output: Path,
    model: IoUNet,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel,
    progress: dict[str, float],
) -> None:
    part = output / (_CHECKPOINT + ".part")
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state_dict()}
    torch.save({**states, "progress": progress}, part)
    os.replace(part, output / _CHECKPOINT)  # never half a checkpoint


def _describe(config: TrainingConfig, record: dict[str, float]) -> dict[str, str]:
    return {"settings": json.dumps(dataclasses.asdict(config)), "result": json.dumps(record)}
