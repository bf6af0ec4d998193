# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from atom_core.networks import weights

# The same examples in each run, and no time limit: a busy machine must not fail a test.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
torch.set_num_threads(1)
# A shell's background process inherits that Ctrl-C is ignored, and so would the programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The markers, by file or folder. `make test-fast` leaves out all but `gpu`.
SLOW = {
    "process": (  # programs, ROS nodes as processes, worker processes, pip
        "atom_core/benchmark/acceptance/test_command.py",
        "atom_core/benchmark/acceptance/test_marked_tests.py",
        "atom_core/benchmark/acceptance/test_sheet.py",
        "atom_core/evaluation/test_command.py",
        "atom_core/evaluation/test_parallel.py",
        "atom_core/evaluation/test_vot.py",
        "atom_core/networks/test_model_cache.py",
        "atom_core/networks/test_openvino_model.py",
        "atom_core/offline/test_command.py",
        "atom_core/test_interrupts.py",
        "atom_ros/benchmark/test_command.py",
        "atom_ros/benchmark/test_page.py",
        "atom_ros/input/test_image_input.py",
        "atom_ros/input/test_target_inputs.py",
        "atom_ros/programs",
        "atom_ros/test_ending.py",
        "atom_ros/test_entry.py",
        "atom_ros/test_fuzz.py",
        "atom_ros/test_launch.py",
        "atom_ros/test_restarts.py",
        "atom_ros/test_tracker_node.py",
        "atom_ros/test_weights.py",
        "demo/test_processes.py",
        "demo/test_web_page.py",
        "examples",
        "test_packaging.py",
    ),
    "node": (  # ROS nodes in the test's process, over DDS
        "atom_ros/input/test_watch.py",
        "atom_ros/outputs/test_publishers.py",
        "atom_ros/spatial/test_outputs.py",
        "atom_ros/test_answering.py",
        "atom_ros/test_bond.py",
        "atom_ros/test_managed_node.py",
        "atom_ros/test_operations.py",
        "atom_ros/test_run_tracker.py",
        "atom_ros/test_target_client.py",
        "atom_ros/test_track_action.py",
        "atom_ros/test_worker.py",
        "atom_ros/web",
        "demo/test_nodes.py",
    ),
    "training": (
        "atom_core/training/test_command.py",
        "atom_core/training/test_distill.py",
        "atom_core/training/test_distributed.py",
        "atom_core/training/test_loop.py",
        "atom_core/training/test_pretrained.py",
    ),
    "gpu": ("gpu",),  # a device against the CPU; `make gpu` runs these on CUDA
    "tracking": (  # real networks over many frames
        "atom_core/evaluation/test_calibrate_command.py",
        "atom_core/evaluation/test_fixed_point.py",
        "atom_core/evaluation/test_fixed_point_command.py",
        "atom_core/offline/test_targets.py",
        "atom_core/test_multi_tracker.py",
        "atom_core/test_target.py",
        "atom_core/test_tracker.py",
        "examples",
        "gpu/test_tracking.py",
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "device that the tests marked gpu compare with the CPU (default: cpu, and cuda where there is one)"
    parser.addoption("--compare-device", action="append", metavar="DEVICE", help=help_text)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    marks = {root / name: mark for mark, names in SLOW.items() for name in names}
    for item in items:
        for place in (item.path, *item.path.parents):
            if place in marks:
                item.add_marker(marks[place])


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


@pytest.fixture(autouse=True)
def _signals_are_the_tests_own():
    """A program whose `main` runs in this process would go on hearing the signals, and end the process at the next."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
