# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from atom_core.networks import weights
from atom_core.networks.backbones import build_backbone
from atom_core.networks.iou_predictor import IoUNet
from atom_core.training.command import main
from atom_core.training.distributed import Group, join

SETTINGS = """
crop_size = 96
window_cells = 8
bank_pairs = 12
bank_renewal = 0.5
batch_size = 6
epochs = 2
proposals = 8
validation_pairs = 7
scale_jitter = 0.1
center_jitter = 0.5
learning_rate = 1e-4
warmup_batches = 2
"""


def small_network():
    """The one of jobs.py."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5), nn.BatchNorm1d(5))
    return nn.Sequential(*layers, nn.Linear(5, 1)).double()


def test_gradients_and_statistics_are_those_of_the_whole_batch(start, tmp_path):
    inputs = 3 + 2 * torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.save(inputs, tmp_path / "inputs.pt")
    processes = [start("normalize", rank, 2, tmp_path) for rank in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0

    network = small_network()
    loss = network(inputs).square().mean()
    loss.backward()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    network.eval()
    for rank in range(2):
        result = torch.load(tmp_path / f"result{rank}.pt")
        torch.testing.assert_close(result["loss"], loss.detach())
        assert result["state"].keys() == state.keys()
        for name, value in result["state"].items():
            torch.testing.assert_close(value, state[name], msg=name)
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(result["gradients"][name], parameter.grad, msg=name)
        torch.testing.assert_close(result["evaluated"], network(inputs))


@pytest.fixture(scope="module")
def command(data, tmp_path_factory):
    """The arguments of a small training into a folder."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "settings.toml").write_text(SETTINGS)
    torch.manual_seed(0)
    save_file(build_backbone("efficientnet_lite0").state_dict(), folder / "backbone.safetensors")
    arguments = ["iou", "--settings", folder / "settings.toml", "--backbone-weights", folder / "backbone.safetensors"]
    arguments += ["--data", data, "--validation", data, "--device", "cpu", "--readers", "1"]
    return lambda output: [*map(str, arguments), "--output", str(folder / output)]


def test_two_processes_train_as_one_does(command):
    assert main(command("one")) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    program = "import sys; from atom_core.training.command import main; sys.exit(main())"
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path]), "OMP_NUM_THREADS": "1"}
    subprocess.run([*launcher, sys.executable, "-c", program, *command("two")], env=environment, check=True)

    one, two = (Path(command(name)[-1]) for name in ("one", "two"))
    logs = [[json.loads(line) for line in (f / "log.jsonl").read_text().splitlines()] for f in (one, two)]
    for alone, shared in zip(*logs, strict=True):
        assert {**shared, "seconds": 0} == pytest.approx({**alone, "seconds": 0}, rel=1e-3)
    states = [torch.load(f / "checkpoint.pt", weights_only=True)["state"] for f in (one, two)]
    torch.manual_seed(0)
    model = IoUNet(build_backbone("efficientnet_lite0").channels)
    # A bias before a batch normalisation has no effect, so that its gradient is mere rounding.
    named = {n: p for n, p in model.named_parameters() if not n.endswith(("0.bias", "linear.bias"))}
    alone, shared = (torch.cat([(s["model"][n] - p.detach()).flatten() for n, p in named.items()]) for s in states)
    # Adam takes a step of full length wherever a gradient is next to nothing, so the whole way is compared here
    assert (alone - shared).norm() < 0.02 * alone.norm()
    order = sorted(dict(model.named_parameters()), key=lambda n: model.get_parameter(n).ndim <= 1)  # the optimiser's
    for index, name in enumerate(order):  # and the running mean of each gradient here.
        alone, shared = (s["optimizer"]["state"][index]["exp_avg"] for s in states)
        # Where rounding carries one sum over a ReLU's kink, a small gradient differs by a few per cent.
        assert name not in named or (alone - shared).norm() < 0.05 * alone.norm(), name
    assert weights.load(two / "network.safetensors").name == "efficientnet_lite0"


def test_shares_of_a_group():
    indices = torch.tensor([4, 0, 7, 3, 5])
    assert Group(0, 3).owns(indices).tolist() == [False, True, False, True, False]
    assert Group(1, 3).owns(indices).tolist() == [True, False, True, False, False]
    assert Group().owns(indices).all()
    assert [Group(rank, 2).is_main for rank in range(2)] == [True, False]
    Group(1, 3).check_batch_size(6)
    with pytest.raises(ValueError, match="batch_size 8 is no multiple of the 3 processes"):
        Group(0, 3).check_batch_size(8)


def test_a_process_alone():
    with join("cpu") as group:
        assert (group.rank, group.size, group.device.type) == (0, 1, "cpu")
    values, module = torch.arange(3), nn.BatchNorm1d(2)
    assert group.sum(values) is values
    assert group.broadcast("anything") == "anything"
    assert group.parallel(module) is module


@pytest.mark.parametrize(
    ("device", "message"),
    [("gpu", "unknown device 'gpu'; expected 'auto', 'cpu', 'cuda'"), ("cuda:99", "no device cuda:99: PyTorch sees")],
)
def test_device_that_is_not_there(device, message):
    with pytest.raises(ValueError, match=message), join(device):
        pass
