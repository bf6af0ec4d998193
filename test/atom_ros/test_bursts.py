# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Every request gets an answer, however many come at once and whatever the node is doing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from node_rig import Rig
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from robot import wait_until
from std_srvs.srv import SetBool, Trigger
from type_description_interfaces.srv import GetTypeDescription

from atom_tracker.srv import ListTargets, RemoveTarget, SetTarget

BURST = 60  # requests

SERVICES = {
    "set_target": SetTarget,
    "remove_target": RemoveTarget,
    "clear_target": Trigger,
    "list_targets": ListTargets,
    "pause": SetBool,
    "change_state": ChangeState,
    "get_state": GetState,
    "get_available_states": GetAvailableStates,
    "get_available_transitions": GetAvailableTransitions,
    "get_transition_graph": GetAvailableTransitions,
    "get_type_description": GetTypeDescription,
    "describe_parameters": DescribeParameters,
    "get_parameters": GetParameters,
    "get_parameter_types": GetParameterTypes,
    "list_parameters": ListParameters,
    "set_parameters": SetParameters,
    "set_parameters_atomically": SetParametersAtomically,
}


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    rig = Rig().start()
    yield rig
    rig.close()


def test_these_are_all_services_of_the_node(rig: Rig) -> None:
    assert {service.srv_name.rpartition("/")[2] for service in rig.node.services} == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_every_request_of_a_burst_is_answered(rig: Rig, name: str) -> None:
    rig.show()
    request = SERVICES[name].Request()
    client = rig.robot.node.create_client(SERVICES[name], f"tracker/{name}")
    wait_until(client.service_is_ready, "the service")
    release = threading.Event()
    rig.node.executor.create_task(release.wait)  # the node cannot take a request meanwhile
    answers = [client.call_async(request) for _ in range(BURST)]
    release.set()
    wait_until(lambda: all(answer.done() for answer in answers), f"{BURST} answers", timeout=8)
    rig.robot.node.destroy_client(client)
