# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the IoU predictor on a frozen backbone (section 4 of the paper). Read `train_iou` from top to bottom.

Every random draw is a function of (seed, epoch, batch) or (seed, slot, version), so that a resumed run repeats it and
the number of processes does not matter.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from atom_core import boxes
from atom_core.networks import weights
from atom_core.networks.backbones import Backbone, build_backbone
from atom_core.networks.engine import accelerate
from atom_core.networks.iou_predictor import IoUNet, Modulation, TestMaps
from atom_core.refinement.proposals import PredictIoU, ascend, autograd
from atom_core.training.bank import FeatureBank, Side
from atom_core.training.config import TrainingConfig
from atom_core.training.datasets import find_sources
from atom_core.training.distributed import Group
from atom_core.training.optimize import (
    average_weights,
    compute_type,
    learning_rate,
    make_optimizer,
    make_scaler,
    update,
)
from atom_core.training.run_folder import RunFolder
from atom_core.training.sampling import draw_proposals
from atom_core.training.views import Source

_VALIDATION_STREAM = 1
NETWORK_FILE = "network.safetensors"


def train_iou(
    config: TrainingConfig,
    data: list[Path],
    validation: list[Path],
    backbone_weights: dict[str, Tensor],
    output: Path,
    group: Group | None = None,
    readers: int = 1,
    checkpoint_minutes: float = 10.0,
    initial: dict[str, Tensor] | None = None,
) -> Path:
    """Trains, validates after each epoch, and keeps the best network; resumes if there is a checkpoint in `output`.

    Args:
        config: the settings.
        data: folders of training sources, see `atom_core.training.datasets`.
        validation: folders of validation sources; never trained on.
        backbone_weights: the frozen backbone's state dict.
        output: folder of the run, see `RunFolder`, and of the network with the lowest validation error,
            `network.safetensors`.
        group: the processes that train together, see `atom_core.training.distributed.join`.
        readers: number of threads that read images.
        checkpoint_minutes: time between checkpoints within an epoch; there is one after each.
        initial: the predictor's initial weights, to train a network further; random if None.

    Returns:
        the network's file.

    Raises:
        ValueError: if the data or the backbone's weights are unusable or `output` holds a run of other settings.
        OSError: if at the end a file cannot be written.
        FloatingPointError: if the training diverges.
    """
    group = group or Group()
    group.check_batch_size(config.batch_size)
    sources, held_out_sources = _training_sources(config, data), find_sources(validation, config)
    backbone = build_backbone(config.network)
    backbone.load_state_dict(backbone_weights)
    # With the schedule "step" the learning rate of an epoch does not depend on their number, so it may grow.
    may_grow = "epochs" if config.schedule == "step" else None
    folder = RunFolder(output, dataclasses.asdict(config), may_grow, checkpoint_minutes, active=group.is_main)
    training = IoUTraining(config, backbone, group, initial)
    training.resume(group.broadcast(folder.resume()))
    if training.epoch < config.epochs:
        backbone.to(group.device)
        run = accelerate(backbone, group.device, config.crop_size, precision=config.feature_precision)

        def bank(sources: list[Source], pairs: int, stream: int) -> FeatureBank:
            return FeatureBank(sources, backbone, run, config, pairs, stream, group, readers)

        held_out = bank(held_out_sources, config.validation_pairs, _VALIDATION_STREAM)
        held_out.fill(torch.zeros(config.validation_pairs, dtype=torch.long), "validation features")
        _train(training, bank(sources, config.bank_pairs, 0), held_out, folder)
    training.write_best(folder)
    folder.finish()
    return output / NETWORK_FILE


def _training_sources(config: TrainingConfig, data: list[Path]) -> list[Source]:
    sources = find_sources(data, config)
    names = [source.name for source in sources]
    unknown = sorted(set(config.odds) - set(names))
    if unknown:
        raise ValueError(f"odds names the source {unknown[0]!r}, which is not there; there are: {', '.join(names)}")
    return sources


def _train(training: IoUTraining, bank: FeatureBank, held_out: FeatureBank, folder: RunFolder) -> None:
    """Runs the remaining epochs."""
    config, group = training.config, training.group
    folder.open_curves(training.batches)
    bar = tqdm(
        total=config.epochs * config.epoch_batches,
        initial=training.batches,
        unit="batch",
        mininterval=5,
        smoothing=0,  # the time left is estimated from all the work so far, features and validation included
        disable=not group.is_main,
    )
    while training.epoch < config.epochs:
        started = time.monotonic()
        bar.set_description(f"epoch {training.epoch} of {config.epochs}")
        bank.fill(bank_versions(config, training.epoch), f"epoch {training.epoch}: features")
        record = {"epoch": training.epoch, "training_error": _train_epoch(training, bank, folder, bar)}
        record |= validate(training.kept, held_out, config, group)
        record["seconds"] = round(time.monotonic() - started, 1)
        training.finish_epoch(record)
        folder.log(record, training.batches)
        folder.save(training.state())
        training.write_best(folder)
        if group.is_main:
            tqdm.write("  ".join(f"{k} {v:.4g}" for k, v in record.items()))
    bar.close()


def bank_versions(config: TrainingConfig, epoch: int) -> Tensor:
    """The version of its pair that each slot holds in an epoch, (bank_pairs,): each epoch renews the next share."""
    renewed = math.ceil(config.bank_renewal * config.bank_pairs)  # slots in each epoch
    if renewed == 0:
        return torch.zeros(config.bank_pairs, dtype=torch.long)
    period = math.ceil(config.bank_pairs / renewed)  # epochs between two renewals of a slot
    first = 1 + torch.arange(config.bank_pairs) // renewed  # epoch of a slot's first renewal
    return torch.div(epoch - first, period, rounding_mode="floor") + 1


def epoch_order(config: TrainingConfig, epoch: int) -> Tensor:
    """The slots of each batch of an epoch, (batches, batch_size).

    Column c holds the slots that are c modulo the batch size, shuffled. So processes that hold every n-th slot have
    equal shares of every batch if n divides the batch size, and the order does not depend on n.
    """
    generator = _seeded(config.seed, epoch)
    columns = []
    for column in range(config.batch_size):
        slots = torch.arange(column, config.bank_pairs, config.batch_size)
        columns.append(slots[torch.randperm(len(slots), generator=generator)][: config.epoch_batches])
    return torch.stack(columns, dim=1)


def _train_epoch(training: IoUTraining, bank: FeatureBank, folder: RunFolder, bar: tqdm) -> float:
    """Finishes a pass over the bank; returns the mean squared error of the whole pass."""
    config, epoch = training.config, training.epoch
    order = epoch_order(config, epoch)
    for batch in range(len(training.errors), len(order)):
        error = training.step(bank, order[batch], _seeded(config.seed, epoch, batch))
        if not math.isfinite(error):
            raise FloatingPointError(
                f"the training error of epoch {epoch}, batch {batch} is {error}; a lower learning_rate may help"
            )
        training.errors.append(error)
        bar.set_postfix(error=f"{_mean(training.errors):.4f}", refresh=False)
        bar.update()
        folder.draw({"batch_error": error, "learning_rate": training.rate}, training.batches)
        folder.save_if_due(training.state)
    return _mean(training.errors)


class IoUTraining:
    """The predictor in training, with everything that a checkpoint needs for an exact resume.

    Attributes:
        model: to train.
        kept: the module to validate and save: the model, or the running average of its weights.
        epoch: the current epoch, from 0.
        errors: of the epoch's batches so far.
    """

    def __init__(
        self, config: TrainingConfig, backbone: Backbone, group: Group, initial: dict[str, Tensor] | None = None
    ) -> None:
        self.config, self.group, self._backbone = config, group, backbone
        torch.manual_seed(config.seed)  # the initial weights
        self.model = IoUNet(backbone.channels).to(group.device)
        if initial is not None:
            self.model.load_state_dict(initial)
        dtype = compute_type(config.precision, group.device)
        self._loss = group.parallel(PairLoss(self.model, dtype, config.difference_weight))
        self._scaler = make_scaler(dtype, group.device)
        self._optimizer = make_optimizer(self.model, config)
        self._average = average_weights(self.model, config.ema_decay) if config.ema_decay else None
        kept = self._average.module if self._average else self.model
        assert isinstance(kept, IoUNet)
        self.kept = kept
        self.epoch = 0
        self.errors: list[float] = []
        self._best: dict[str, Any] = {}  # the record and the weights with the lowest validation error
        self._written_epoch = -1  # epoch of the network in the folder

    @property
    def batches(self) -> int:
        """Batches done since the start of the run."""
        return self.epoch * self.config.epoch_batches + len(self.errors)

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return self._optimizer.param_groups[0]["lr"]

    def step(self, bank: FeatureBank, slots: Tensor, generator: torch.Generator) -> float:
        """One step on the pairs of a batch's slots (batch_size,); the batch's error."""
        self.model.train()
        owned = self.group.owns(slots)
        reference, test = bank.batch(slots[owned])
        proposals, overlap = _draw_share(test.boxes, owned, self.config, generator)
        device = self.group.device
        error = self._loss(reference.to(device), test.to(device), proposals.to(device), overlap.to(device))
        update(self._optimizer, self._scaler, error, learning_rate(self.config, self.batches))
        if self._average:
            self._average.update_parameters(self.model)
        return float(self.group.sum(error.detach())) / self.group.size

    def finish_epoch(self, record: dict[str, float]) -> None:
        """Ends the epoch, and remembers the network if it is the best so far."""
        self.epoch, self.errors = self.epoch + 1, []
        if not self._best or record["validation_error"] < self._best["record"]["validation_error"]:
            state = {k: v.detach().cpu().clone() for k, v in self.kept.state_dict().items()}
            self._best = {"record": record, "weights": state}

    def write_best(self, folder: RunFolder) -> None:
        """Writes the network with the lowest validation error, unless it is there already."""
        record = self._best["record"]
        if record["epoch"] == self._written_epoch:
            return
        iou_net = IoUNet(self._backbone.channels)
        iou_net.load_state_dict(self._best["weights"])
        network = weights.Network(self.config.network, self._backbone, iou_net, sha256="", metadata={})
        header = {"settings": self.config.to_json(), "result": json.dumps(record)}
        if folder.write(NETWORK_FILE, lambda path: weights.save(path, network, header)):
            self._written_epoch = record["epoch"]

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        return {**state, "epoch": self.epoch, "errors": self.errors, "best": self._best}

    def resume(self, state: dict[str, Any] | None) -> None:
        """Restores a checkpoint's state, if there is one.

        Raises:
            ValueError: if it was trained on other weights of the backbone.
        """
        if state is None:
            return
        frozen = self._backbone.state_dict()
        if any(not torch.equal(value, frozen[name].cpu()) for name, value in state["backbone"].items()):
            raise ValueError("the run was begun on other weights of the backbone; give the same, or another --output")
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.epoch, self.errors, self._best = state["epoch"], state["errors"], state["best"]

    def _parts(self) -> dict[str, Any]:
        parts = {"backbone": self._backbone, "model": self.model, "optimizer": self._optimizer, "scaler": self._scaler}
        return {**parts, "average": self._average} if self._average else parts


class PairLoss(nn.Module):
    """The mean squared error of 2 * IoU - 1 over the proposals of a batch of pairs.

    A separate module, since DistributedDataParallel needs one whose `forward` is the whole computation.

    Args:
        model: the predictor.
        dtype: of its convolutions.
        difference_weight: of `difference_error`, which is added.
    """

    def __init__(self, model: IoUNet, dtype: torch.dtype = torch.float32, difference_weight: float = 0.0) -> None:
        super().__init__()
        self.model, self._dtype, self._difference_weight = model, dtype, difference_weight

    def forward(self, reference: Side, test: Side, proposals: Tensor, overlap: Tensor) -> Tensor:
        """The error () of N pairs of K targets with proposals (N, K, P, 4) and their IoU (N, K, P)."""
        wrong = _predictor(self.model, reference, test, self._dtype)(proposals.flatten(1, 2))
        wrong = wrong.view_as(overlap) - (2 * overlap - 1)
        error = wrong.square().mean()
        return error + self._difference_weight * difference_error(wrong, overlap) if self._difference_weight else error


def difference_error(wrong: Tensor, overlap: Tensor) -> Tensor:
    """The mean squared error () of a target's near proposals after subtracting that target's mean error.

    Args:
        wrong: (..., P), predicted minus true 2 * IoU - 1 of each target's proposals.
        overlap: (..., P), their IoU; a proposal is near from 0.5 on.
    """
    near = (overlap >= 0.5).float()
    mean = (wrong * near).sum(-1, keepdim=True) / near.sum(-1, keepdim=True).clamp(min=1)
    return ((wrong - mean).square() * near).sum() / near.sum().clamp(min=1)


def _predictor(model: IoUNet, reference: Side, test: Side, dtype: torch.dtype = torch.float32) -> PredictIoU:
    """The function from proposals (N, K * P, 4) in N test crops to predicted 2 * IoU - 1 (N, K * P).

    The first P proposals belong to the first of K targets, and so on.
    """
    # Only the convolutions, which take almost all of the time: pooling in half precision would blur the boxes.
    with torch.autocast(reference.boxes.device.type, dtype, enabled=dtype != torch.float32):
        modulation = model.modulation(reference.features(), reference.boxes, reference.window())
        maps = model.test_maps(test.features(), test.window())
    modulation = Modulation(modulation.c3.float(), modulation.c4.float())
    maps = TestMaps(maps.t3.float(), maps.t4.float(), maps.origin3, maps.origin4)
    return lambda proposals: model(modulation, maps, proposals)


def _draw_share(
    truth: Tensor, owned: Tensor, config: TrainingConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Proposals (N, K, P, 4) and their IoU (N, K, P) for this process's boxes (N, K, 4) of a batch.

    They are drawn for the whole batch, so that they do not depend on the number of processes. `owned` (B,) selects the
    N.
    """
    whole = torch.ones(len(owned), *truth.shape[1:])
    whole[owned] = truth
    proposals, overlap = draw_proposals(
        whole.flatten(0, 1), config.proposals, config.proposal_sigmas, config.min_proposal_iou, generator
    )
    shape = whole.shape[:2]
    return proposals.unflatten(0, shape)[owned], overlap.unflatten(0, shape)[owned]


@torch.no_grad()
def validate(model: IoUNet, bank: FeatureBank, config: TrainingConfig, group: Group) -> dict[str, float]:
    """The error on held-out pairs, and the overlap before and after gradient ascent, the predictor's purpose."""
    model.eval()
    pairs, device = len(bank.versions), group.device
    generator = torch.Generator().manual_seed(config.seed)
    starts_config = dataclasses.replace(config, proposals=4, proposal_sigmas=(0.2,))
    total = torch.zeros(3, dtype=torch.float64)
    for slots in torch.arange(pairs).split(config.batch_size):
        owned = group.owns(slots)
        reference, test = bank.batch(slots[owned])
        proposals, overlap = _draw_share(test.boxes, owned, config, generator)
        starts, before = _draw_share(test.boxes, owned, starts_config, generator)
        if not owned.any():  # of the last batch, which may be small
            continue
        predict = _predictor(model, reference.to(device), test.to(device))
        errors = (predict(proposals.flatten(1, 2).to(device)).cpu().view_as(overlap) - (2 * overlap - 1)).square()
        found, _ = ascend(predict, autograd(predict), starts.flatten(1, 2).to(device), steps=5, step_length=1.0)
        after = boxes.iou(found.cpu().view_as(starts), test.boxes[:, :, None])
        total += torch.stack([values.mean((1, 2)).sum() for values in (errors, before, after)])
    means = (group.sum(total.to(device)) / pairs).tolist()
    return dict(zip(("validation_error", "overlap_before", "overlap_after"), means, strict=True))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _seeded(*key: int) -> torch.Generator:
    """A generator for a key, such as (seed, epoch)."""
    (seed,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(seed))
