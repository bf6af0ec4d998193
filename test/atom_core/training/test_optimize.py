# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from atom_core.training.config import TrainingConfig
from atom_core.training.optimize import (
    average_weights,
    compute_type,
    learning_rate,
    make_optimizer,
    make_scaler,
    update,
)

TEN_BATCHES = {"bank_pairs": 20, "batch_size": 2}  # an epoch


def rates(batches, **settings):
    config = TrainingConfig(**TEN_BATCHES, learning_rate=1.0, **settings)
    return [learning_rate(config, batch) for batch in batches]


def test_step_schedule_by_hand():
    batches = [0, 29, 30, 59, 60]
    assert rates(batches, decay=0.2, decay_epochs=3) == pytest.approx([1, 1, 0.2, 0.2, 0.04])


def test_cosine_schedule_by_hand():
    # 60 batches: cos 0, 60, 90, 120 degrees, and almost 180.
    assert rates([0, 20, 30, 40, 59], schedule="cosine", epochs=6) == pytest.approx([1, 0.75, 0.5, 0.25, 0], abs=1e-3)


def test_warmup_by_hand():
    assert rates([0, 1, 3, 4], warmup_batches=4) == pytest.approx([0.25, 0.5, 1, 1])
    assert rates([1, 30], warmup_batches=4, schedule="cosine", epochs=6) == pytest.approx([0.5, 0.5], abs=1e-3)


def trained(optimizer_of, steps=5):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = optimizer_of(model)
    inputs = torch.randn(8, 3)
    for _ in range(steps):
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
    return model


def test_without_weight_decay_it_is_adam():
    expected = trained(lambda model: torch.optim.Adam(model.parameters(), lr=0.01))
    found = trained(lambda model: make_optimizer(model, TrainingConfig(learning_rate=0.01)))
    for one, other in zip(expected.parameters(), found.parameters(), strict=True):
        assert torch.equal(one, other)


def test_weight_decay_shrinks_matrices_alone():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = make_optimizer(model, TrainingConfig(weight_decay=0.5))
    loss = 0 * sum(parameter.sum() for parameter in model.parameters())  # so that nothing but the decay moves them
    update(optimizer, make_scaler(torch.float32, torch.device("cpu")), loss, rate=0.1)
    for old, new in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old * 0.95 if old.ndim > 1 else old)


def test_average_by_hand():
    model = nn.BatchNorm1d(1)
    average = average_weights(model, decay=0.25)
    for n, weight in enumerate((4.0, 8.0, 16.0, 32.0)):
        nn.init.constant_(model.weight, weight)
        model.running_mean.fill_(-weight)
        model.num_batches_tracked.fill_(n)
        average.update_parameters(model)
    # The first is copied. Then the shares kept are 2/11, 3/12, and the bound 0.25 in place of 4/13.
    second = 4 * 2 / 11 + 8 * 9 / 11
    third = second * 0.25 + 16 * 0.75
    expected = third * 0.25 + 32 * 0.75
    assert average.module.weight.item() == pytest.approx(expected)
    assert average.module.running_mean.item() == pytest.approx(-expected)
    assert int(average.module.num_batches_tracked) == 3


def test_half_precision_is_for_gpus():
    assert compute_type("bfloat16", torch.device("cuda")) == torch.bfloat16
    assert compute_type("bfloat16", torch.device("cpu")) == torch.bfloat16
    assert compute_type("float16", torch.device("cpu")) == torch.float32
