# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The device that is compared with the CPU: `--compare-device cuda`, or by default the CPU itself and CUDA.

The CPU against itself exercises the comparisons where there is no GPU, with smaller crops and fewer frames.
"""

from collections.abc import Callable

import pytest
import torch

from atom_core.config import TrackerConfig
from atom_core.networks import weights
from atom_core.networks.prepared import Networks, prepare_networks

CPU = torch.device("cpu")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        names = metafunc.config.getoption("--compare-device") or ["cpu", "cuda"]
        metafunc.parametrize("device", names, indirect=True)


@pytest.fixture
def device(request) -> torch.device:
    chosen = torch.device(request.param)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        pytest.skip(f"no {chosen}: PyTorch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices")
    return chosen


@pytest.fixture(scope="session")
def small_config() -> TrackerConfig:
    """Less work, for the CPU."""
    return TrackerConfig(crop_size=128, memory_size=40)


@pytest.fixture
def config(device, small_config) -> TrackerConfig:
    """All as by default on a GPU."""
    return small_config if device.type == "cpu" else TrackerConfig()


@pytest.fixture(scope="session")
def networks_on() -> Callable[[torch.device, int, str], Networks]:
    """Makes the default networks on a device by PyTorch; each has weights of its own, which `to` would move."""
    made: dict[tuple, Networks] = {}

    def make(device: torch.device, crop_size: int, precision: str = "float32") -> Networks:
        key = str(device), crop_size, precision
        if key not in made:
            made[key] = prepare_networks(weights.load("default"), device, crop_size, precision, "torch")
        return made[key]

    return make
