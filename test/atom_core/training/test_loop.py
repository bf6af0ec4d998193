# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from atom_core import boxes, weights
from atom_core.backbone import build_backbone
from atom_core.iou_net import IoUNet
from atom_core.training import loop
from atom_core.training.bank import FeatureBank
from atom_core.training.config import TrainingConfig
from atom_core.training.datasets import find_sources
from atom_core.training.loop import NETWORK_FILE, bank_versions, batch_loss, train_iou
from atom_core.training.sampling import draw_proposals

CONFIG = TrainingConfig(
    crop_size=96,
    window_cells=8,
    bank_pairs=44,  # no multiple of what the backbone takes at once
    bank_renewal=0.5,
    batch_size=8,
    epochs=2,
    learning_rate=2e-4,
    decay_epochs=1,
    decay=0.5,
    proposals=8,
    validation_pairs=9,
    scale_jitter=0.1,
    center_jitter=0.5,
)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return build_backbone("efficientnet_lite0")


@pytest.fixture(scope="module")
def folder():
    """Away from pytest's own folders, which stay after the run: checkpoints are large."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture(scope="module")
def train(data, backbone):
    def run(output, config=CONFIG):
        return train_iou(config, [data], [data], backbone.state_dict(), output)

    return run


@pytest.fixture(scope="module")
def finished(train, folder):
    """The folder of a run of two epochs in one go."""
    assert train(folder / "finished") == folder / "finished" / NETWORK_FILE
    return folder / "finished"


@pytest.fixture(scope="module")
def resumed(train, folder):
    """The folder of a run that was ended late in its second epoch, before anything of that was kept, and resumed."""
    validate, calls = loop.validate, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "validate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(folder / "resumed")
    assert [record["epoch"] for record in records(folder / "resumed")] == [0]
    train(folder / "resumed")
    return folder / "resumed"


def records(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def checkpoint(output):
    return torch.load(output / "checkpoint.pt", weights_only=True)


def test_bank_versions_by_hand():
    def versions(epoch, pairs=10, renewal=0.3):
        return bank_versions(replace(CONFIG, bank_pairs=pairs, bank_renewal=renewal), epoch).tolist()

    # Three slots in each epoch, the last one alone in the fourth, then the first three again.
    assert versions(0) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert versions(1) == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert versions(2) == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    assert versions(3) == [1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    assert versions(4) == [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert versions(5) == [2, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    assert versions(9) == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    assert versions(7, renewal=1.0) == [7] * 10
    assert versions(7, renewal=0.0) == [0] * 10


def test_training_error_falls(finished):
    first, second = records(finished)
    assert second["training_error"] < 0.9 * first["training_error"]


def test_log_says_what_happened(finished):
    assert [record["epoch"] for record in records(finished)] == [0, 1]
    for record in records(finished):
        assert record.keys() == {
            "epoch", "training_error", "validation_error", "overlap_before", "overlap_after", "seconds"
        }  # fmt: skip
        assert 0.1 <= record["overlap_before"] <= 1
        assert 0 <= record["overlap_after"] <= 1
    assert json.loads((finished / "settings.json").read_text()) == json.loads(CONFIG.to_json())


def test_network_of_least_validation_error_is_kept(finished, backbone):
    network = weights.load(finished / NETWORK_FILE)
    assert network.name == CONFIG.network
    best = min(records(finished), key=lambda record: record["validation_error"])
    assert json.loads(network.metadata["result"]) == best
    assert json.loads(network.metadata["settings"]) == json.loads(CONFIG.to_json())
    for key, value in network.backbone.state_dict().items():  # frozen, so it is what was given
        torch.testing.assert_close(value, backbone.state_dict()[key], atol=1e-3, rtol=1e-3)
    if best["epoch"] == 1:
        last = checkpoint(finished)["model"]
        assert all(
            torch.equal(v.half(), last[k].half())
            for k, v in network.iou_net.state_dict().items()
            if v.is_floating_point()
        )


def test_resumed_run_gives_exactly_the_same_network(finished, resumed):
    expected, found = checkpoint(finished), checkpoint(resumed)
    assert found["progress"] == expected["progress"]
    assert found["model"].keys() == expected["model"].keys()
    for key, value in found["model"].items():
        assert torch.equal(value, expected["model"][key]), key
    for key, state in found["optimizer"]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, expected["optimizer"]["state"][key][name]), (key, name)
    one, other = (weights.load(f / NETWORK_FILE).iou_net.state_dict() for f in (finished, resumed))
    assert all(torch.equal(one[k], other[k]) for k in one)
    for a, b in zip(records(finished), records(resumed), strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


def test_finished_run_is_left_as_it_is(finished, train):
    before = (finished / "checkpoint.pt").read_bytes()
    train(finished)
    assert (finished / "checkpoint.pt").read_bytes() == before
    assert len(records(finished)) == 2


def test_other_settings_do_not_continue_a_run(finished, train):
    with pytest.raises(ValueError, match=r"holds a run of other settings .*give another --output"):
        train(finished, replace(CONFIG, learning_rate=0.01))
    assert json.loads((finished / "settings.json").read_text()) == json.loads(CONFIG.to_json())


def test_learning_rate_falls(finished):
    groups = checkpoint(finished)["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == pytest.approx([1e-4, 1e-4])  # the second epoch's


def test_odds_of_a_source_that_is_not_there(train, tmp_path):
    with pytest.raises(ValueError, match="odds names the source 'shape', which is not there; there are: shapes, toy"):
        train(tmp_path, replace(CONFIG, odds={"shape": 2.0}))


def test_weights_of_another_backbone(data, tmp_path):
    other = build_backbone("resnet18").state_dict()
    with pytest.raises(ValueError, match=r"not of efficientnet_lite0: \d+ tensors are missing, first 'stem"):
        train_iou(CONFIG, [data], [data], other, tmp_path)


def test_divergence_ends_the_run(data, backbone, tmp_path):
    state = dict(backbone.state_dict())
    state["stages.2.1.project.1.bias"] = torch.full_like(state["stages.2.1.project.1.bias"], float("nan"))
    with pytest.raises(FloatingPointError, match="training error of epoch 0 is nan; a lower learning_rate may help"):
        train_iou(CONFIG, [data], [data], state, tmp_path)


def test_loss_is_the_mean_squared_error_of_the_scaled_overlap(data, backbone):
    """A second computation of it: proposal by proposal, from whole maps."""
    config = replace(CONFIG, window_cells=12)
    bank = FeatureBank(find_sources([data], TrainingConfig()), backbone, backbone, config, 3)
    bank.fill(torch.zeros(3, dtype=torch.long))
    torch.manual_seed(0)
    model = IoUNet(backbone.channels).eval().requires_grad_(False)
    reference, test = bank.batch(torch.arange(3))
    loss = batch_loss(model, reference, test, config, torch.Generator().manual_seed(5))

    generator = torch.Generator().manual_seed(5)
    proposals, _ = draw_proposals(test.boxes, 8, config.proposal_sigmas, config.min_proposal_iou, generator)
    errors = []
    for n in range(3):
        one, other = (type(f)(*(t[n : n + 1] for t in f)) for f in (reference.features(), test.features()))
        modulation, maps = model.modulation(one, reference.boxes[n : n + 1]), model.test_maps(other)
        for proposal in proposals[n]:
            wanted = 2 * boxes.iou(proposal, test.boxes[n]) - 1
            errors.append((model(modulation, maps, proposal[None, None])[0, 0] - wanted) ** 2)
    torch.testing.assert_close(loss, torch.stack(errors).mean(), atol=1e-4, rtol=1e-4)
