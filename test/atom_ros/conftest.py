# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Real nodes over real DDS, in a domain of their own for each run."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from node_rig import Rig

HAS_ROS = find_spec("rclpy") is not None

sys.path.insert(0, str(Path(__file__).parent))  # for `import robot`; the tests are no package
_WITHOUT_ROS = {"test_track_bag.py"}  # nothing else of atom_ros can be imported where ROS 2 is missing


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    name = collection_path.name
    return True if not HAS_ROS and name.startswith("test_") and name not in _WITHOUT_ROS else None


def pytest_report_header() -> str:
    return "ROS 2: found" if HAS_ROS else "ROS 2: not found, so the tests of atom_ros are left out"


@pytest.fixture(scope="session", autouse=True)
def domain() -> Iterator[int]:
    """A ROS domain that no other test run on this machine uses: a bound port is the lock."""
    for domain_id in range(1, 101):
        lock = socket.socket()
        try:
            lock.bind(("127.0.0.1", 21000 + domain_id))
        except OSError:
            lock.close()
            continue
        os.environ["ROS_DOMAIN_ID"] = str(domain_id)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        yield domain_id
        lock.close()
        return
    raise RuntimeError("all ROS domains from 1 to 100 are taken")


@pytest.fixture(scope="session", autouse=True)
def _contexts_talk_as_processes_do(domain: int) -> None:
    """Fast DDS reads `one_process.xml` with the process's first context; programs started by tests do not."""
    if not HAS_ROS:
        return
    import rclpy
    from rclpy.context import Context

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(Path(__file__).with_name("one_process.xml")))
        context = Context()
        rclpy.init(context=context)
        rclpy.create_node("first", context=context).destroy_node()
        rclpy.shutdown(context=context)


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    """Makes nodes in the test's process, see `node_rig`."""
    from node_rig import Rig

    rigs: list[Rig] = []

    def make(*arguments: str, **parameters: object) -> Rig:
        rigs.append(Rig(*arguments, **parameters))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()
