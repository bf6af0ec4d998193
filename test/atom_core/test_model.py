# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from atom_core.model import Model
from atom_core.networks import weights

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> weights.Network:
    return weights.load("default")


def test_the_networks_file_brings_the_calibration(network) -> None:
    model = Model.prepare(network, CPU, 96, engine="torch")
    assert model.calibration == network.calibration and model.calibration is not None


def test_a_graph_of_the_cpu_takes_pytorch_for_the_networks(network) -> None:
    """OpenVINO's part cannot be in a graph."""
    assert Model.prepare(network, CPU, 96, capture="inductor").networks.engine.startswith("PyTorch")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "float8"}, "unknown precision 'float8'"),
        ({"engine": "warp"}, "unknown engine 'warp'"),
        ({"capture": "film"}, "film"),
    ],
)
def test_unknown_words_are_named(network, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        Model.prepare(network, CPU, 96, **arguments)


def test_without_capture_no_example_is_asked_for(network) -> None:
    model = Model.prepare(network, CPU, 96, engine="torch")
    model.capture(lambda: pytest.fail("nothing is to be captured"), lambda whole: pytest.fail("nor this"), (5, 10))
    assert not model.execution.can_replay and model.execution.state == "eager: capture is off"
