# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import logging
import resource
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from atom_core import boxes
from atom_core.networks import weights
from atom_core.networks.backbones import build_backbone
from atom_core.networks.iou_predictor import IoUNet
from atom_core.training.bank import FeatureBank
from atom_core.training.config import TargetsConfig, TrainingConfig
from atom_core.training.datasets import find_sources
from atom_core.training.distributed import Group
from atom_core.training.loop import (
    NETWORK_FILE,
    IoUTraining,
    PairLoss,
    bank_versions,
    difference_error,
    epoch_order,
    train_iou,
)
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
SMALL = replace(CONFIG, bank_pairs=16, validation_pairs=1, epochs=1)  # for what even two batches show


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
def killed(start, data, train, folder):
    """The folder of a run that was killed four times, and resumed each time."""
    output = folder / "killed"

    def until_killed(moment, call):
        process = start("train_until_killed", CONFIG, data, output, moment, call)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        state = checkpoint(output)["state"]
        return state["epoch"], len(state["errors"])

    assert until_killed("training.step", 4) == (0, 3)  # within an epoch
    # The first two files that a resumed run writes are the settings and the log.
    assert until_killed("os.fsync", 3) == (0, 3)  # while it writes a checkpoint
    assert (output / "checkpoint.pt.part").exists()
    assert until_killed("os.replace", 6) == (0, 5)  # batches 3 and 4, the epoch's log, and then its checkpoint
    assert [record["epoch"] for record in records(output)] == [0]
    assert until_killed("weights.save", 1) == (1, 0)  # when the epoch is saved and its network is not
    assert not (output / NETWORK_FILE).exists()
    train(output)
    return output


def records(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def equal(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[key], other[key]) for key in one)


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


def test_order_of_an_epoch():
    config = replace(CONFIG, bank_pairs=23, batch_size=4)
    order = epoch_order(config, 3)
    assert order.shape == (5, 4)
    assert len(order.unique()) == 20  # no slot twice
    assert (order % 4 == torch.arange(4)).all()
    assert not torch.equal(order, epoch_order(config, 4))
    assert {int(slot) for epoch in range(20) for slot in epoch_order(config, epoch).flatten()} == set(range(23))


def test_steps_on_one_batch_lower_its_error(data, backbone):
    config = replace(CONFIG, learning_rate=1e-3)
    bank = FeatureBank(find_sources([data], config), backbone, backbone, config, 8)
    bank.fill(torch.zeros(8, dtype=torch.long))
    training = IoUTraining(config, backbone, Group())
    errors = [training.step(bank, torch.arange(8), torch.Generator().manual_seed(0)) for _ in range(6)]
    assert errors[-1] < 0.5 * errors[0]


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
        last = checkpoint(finished)["state"]["model"]
        assert all(
            torch.equal(v.half(), last[k].half())
            for k, v in network.iou_net.state_dict().items()
            if v.is_floating_point()
        )


def test_resumed_run_gives_exactly_the_same_network(finished, killed):
    expected, found = checkpoint(finished)["state"], checkpoint(killed)["state"]
    assert equal(found["model"], expected["model"])
    for key, state in found["optimizer"]["state"].items():
        assert equal(state, expected["optimizer"]["state"][key])
    one, other = (weights.load(f / NETWORK_FILE).iou_net.state_dict() for f in (finished, killed))
    assert equal(one, other)
    for a, b in zip(records(finished), records(killed), strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


def test_finished_run_is_left_as_it_is(finished, train):
    before = (finished / "checkpoint.pt").read_bytes()
    train(finished)
    assert (finished / "checkpoint.pt").read_bytes() == before
    assert len(records(finished)) == 2


def test_other_settings_do_not_continue_a_run(finished, train):
    with pytest.raises(ValueError, match=r"learning_rate is 0.0002 there and 0.01 here; .* \(of them only epochs may"):
        train(finished, replace(CONFIG, learning_rate=0.01))
    assert json.loads((finished / "settings.json").read_text()) == json.loads(CONFIG.to_json())


def test_learning_rate_falls(finished):
    groups = checkpoint(finished)["state"]["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == pytest.approx([1e-4, 1e-4])  # the second epoch's


def test_odds_of_a_source_that_is_not_there(train, tmp_path):
    with pytest.raises(ValueError, match="odds names the source 'shape', which is not there; there are: shapes, toy"):
        train(tmp_path, replace(CONFIG, odds={"shape": 2.0}))


def test_other_weights_of_the_backbone_do_not_continue_a_run(finished, data, backbone):
    other = {**backbone.state_dict(), "stem.0.weight": torch.zeros_like(backbone.stem[0].weight)}
    with pytest.raises(ValueError, match="begun on other weights of the backbone"):
        train_iou(CONFIG, [data], [data], other, finished)


def test_finished_run_may_go_on(train, folder):
    """An epoch and then one more are as good as two."""
    for epochs in (1, 2):
        train(folder / "longer", replace(SMALL, epochs=epochs))
    train(folder / "at_once", replace(SMALL, epochs=2))
    assert equal(*(checkpoint(folder / name)["state"]["model"] for name in ("longer", "at_once")))
    with pytest.raises(ValueError, match="epochs is 2 there and 1 here"):
        train(folder / "longer", SMALL)


def test_cosine_schedule_and_average(folder, train):
    config = replace(SMALL, schedule="cosine", ema_decay=0.9)
    train(folder / "cosine", config)
    with pytest.raises(ValueError, match=r"epochs is 1 there and 2 here; .* \(none of them may change\)"):
        train(folder / "cosine", replace(config, epochs=2))
    state = checkpoint(folder / "cosine")["state"]
    average = {k.removeprefix("module."): v for k, v in state["average"].items() if k != "n_averaged"}
    assert not torch.equal(average["iou_predictor.weight"], state["model"]["iou_predictor.weight"])
    written = weights.load(folder / "cosine" / NETWORK_FILE).iou_net.state_dict()
    assert equal(written, {k: v.half().float() if v.is_floating_point() else v for k, v in average.items()})


def test_files_that_cannot_be_written_do_not_end_the_run(folder, train, caplog):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))  # as a full disk: large files cannot be written
    try:
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(OSError, match=r"checkpoint\.pt could not be written: .*File too large.* start the same"),
        ):
            train(folder / "full", replace(SMALL, epochs=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caplog.text.count("checkpoint.pt could not be written") == 2  # after each epoch
    assert caplog.text.count("network.safetensors could not be written") >= 2
    assert [record["epoch"] for record in records(folder / "full")] == [0, 1]


def test_divergence_ends_the_run(data, backbone, tmp_path):
    state = dict(backbone.state_dict())
    state["stages.2.1.project.1.bias"] = torch.full_like(state["stages.2.1.project.1.bias"], float("nan"))
    with pytest.raises(FloatingPointError, match="error of epoch 0, batch 0 is nan; a lower learning_rate may"):
        train_iou(SMALL, [data], [data], state, tmp_path)


def test_loss_is_the_mean_squared_error_of_the_scaled_overlap(data, backbone):
    """A second computation of it: proposal by proposal, from whole maps."""
    config = replace(CONFIG, window_cells=12)
    bank = FeatureBank(find_sources([data], TrainingConfig()), backbone, backbone, config, 3)
    bank.fill(torch.zeros(3, dtype=torch.long))
    torch.manual_seed(0)
    model = IoUNet(backbone.channels).eval().requires_grad_(False)
    reference, test = bank.batch(torch.arange(3))
    generator = torch.Generator().manual_seed(5)
    proposals, overlap = draw_proposals(test.boxes[:, 0], 8, config.proposal_sigmas, config.min_proposal_iou, generator)
    loss = PairLoss(model)(reference, test, proposals[:, None], overlap[:, None])
    errors = []
    for n in range(3):
        one, other = (type(f)(*(t[n : n + 1] for t in f)) for f in (reference.features(), test.features()))
        modulation, maps = model.modulation(one, reference.boxes[n]), model.test_maps(other)
        for proposal in proposals[n]:
            wanted = 2 * boxes.iou(proposal, test.boxes[n, 0]) - 1
            errors.append((model(modulation, maps, proposal[None, None])[0, 0] - wanted) ** 2)
    torch.testing.assert_close(loss, torch.stack(errors).mean(), atol=1e-4, rtol=1e-4)


def test_half_precision_convolutions_change_the_loss_little(data, backbone):
    """On the CPU here; the same lines run on a GPU."""
    config = replace(CONFIG, window_cells=12)
    bank = FeatureBank(find_sources([data], config), backbone, backbone, config, 3)
    bank.fill(torch.zeros(3, dtype=torch.long))
    torch.manual_seed(0)
    model = IoUNet(backbone.channels).eval()
    reference, test = bank.batch(torch.arange(3))
    proposals, overlap = test.boxes[:, :, None], torch.full((3, 1, 1), 0.5)
    exact = PairLoss(model)(reference, test, proposals, overlap)
    half = PairLoss(model, torch.bfloat16)(reference, test, proposals, overlap)
    assert half.dtype == torch.float32
    assert not torch.equal(exact, half)
    torch.testing.assert_close(half, exact, rtol=0.1, atol=0)
    half.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_several_targets_of_a_pair_are_as_many_pairs(data, backbone):
    """The error over three targets in each pair of crops is the mean of the errors of three pairs of one target."""
    config = replace(CONFIG, window_cells=12, targets=TargetsConfig(count=3, loose_probability=1.0))
    bank = FeatureBank(find_sources([data], config), backbone, backbone, config, 4)
    bank.fill(torch.zeros(4, dtype=torch.long))
    torch.manual_seed(0)
    model = IoUNet(backbone.channels).eval().requires_grad_(False)
    loss = PairLoss(model)
    reference, test = bank.batch(torch.arange(4))
    assert (reference.boxes[:, 0] != reference.boxes[:, 1]).any(1).all()
    generator = torch.Generator().manual_seed(5)
    drawn = [draw_proposals(test.boxes[:, k], 8, config.proposal_sigmas, 0.1, generator) for k in range(3)]
    proposals, overlap = (torch.stack(parts, dim=1) for parts in zip(*drawn, strict=True))
    alone = [
        loss(
            reference._replace(boxes=reference.boxes[:, k : k + 1]),
            test._replace(boxes=test.boxes[:, k : k + 1]),
            proposals[:, k : k + 1],
            overlap[:, k : k + 1],
        )
        for k in range(3)
    ]
    torch.testing.assert_close(loss(reference, test, proposals, overlap), torch.stack(alone).mean())
    assert len({round(float(error), 6) for error in alone}) == 3  # each target has an error of its own


def test_difference_error_leaves_out_what_all_near_proposals_err_by():
    overlap = torch.tensor([[[0.9, 0.8, 0.7, 0.2], [0.6, 0.55, 0.3, 0.1]]])
    # First target: near errors 1, 2, 3 about their mean 2; second: 5 and 7 about 6. Far ones do not count.
    wrong = torch.tensor([[[1.0, 2, 3, 100], [5, 7, -50, 9]]])
    assert float(difference_error(wrong, overlap)) == pytest.approx((1 + 0 + 1 + 1 + 1) / 5)
    assert float(difference_error(wrong + 3, overlap)) == pytest.approx(4 / 5)
    assert float(difference_error(wrong, torch.zeros_like(overlap))) == 0
