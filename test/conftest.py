# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from hypothesis import settings

from atom_core.networks import weights

# The same examples in each run, and no time limit: a busy machine must not fail a test.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def network_file(tmp_path_factory):
    """A network file with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    weights.save(path, weights.build_network("efficientnet_lite0"), {"made by": "a test"})
    return path


@pytest.fixture(scope="session", autouse=True)
def model_folder(pytestconfig):
    """Compiled models are kept from one run of the tests to the next, and not among the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATOM_TRACKER_CACHE", str(pytestconfig.cache.mkdir("compiled_models")))
        yield
