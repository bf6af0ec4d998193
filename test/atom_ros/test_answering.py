# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Every request gets an answer, however many come at once, whatever they hold and whatever the node is doing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hostile import no_utf8
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from node_rig import Rig
from number_tracker import BOX
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.action import ActionClient
from rclpy.serialization import serialize_message
from robot import wait_until
from std_srvs.srv import SetBool, Trigger
from type_description_interfaces.srv import GetTypeDescription

from atom_tracker.action import TrackTarget
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


# Requests with a string that is no UTF-8, wherever a service of the node has one.
NO_UTF8 = {
    "change_state": lambda text: ChangeState.Request(transition=Transition(label=text)),
    "get_type_description": lambda text: GetTypeDescription.Request(type_name=text, type_hash=text),
    "describe_parameters": lambda text: DescribeParameters.Request(names=[text]),
    "get_parameters": lambda text: GetParameters.Request(names=[text]),
    "get_parameter_types": lambda text: GetParameterTypes.Request(names=[text]),
    "list_parameters": lambda text: ListParameters.Request(prefixes=[text]),
    "set_parameters": lambda text: SetParameters.Request(parameters=_parameters(text)),
    "set_parameters_atomically": lambda text: SetParametersAtomically.Request(parameters=_parameters(text)),
}


def _parameters(text: str) -> list[Parameter]:
    return [
        Parameter(name=text),
        Parameter(name="box", value=ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)),
        Parameter(
            name="box", value=ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=[text])
        ),
    ]


def test_the_string_is_no_utf8() -> None:
    data = serialize_message(GetParameters.Request(names=[no_utf8(8)]))
    with pytest.raises(UnicodeDecodeError):
        data[12:20].decode()


@pytest.mark.parametrize("name", NO_UTF8)
def test_a_request_whose_strings_are_no_utf8_is_answered(rig: Rig, name: str) -> None:
    answer = rig.robot.ask(SERVICES[name], f"tracker/{name}", NO_UTF8[name](no_utf8(8)))
    wait_until(answer.done, "the answer", timeout=8)
    response = answer.result()
    if name == "set_parameters":
        assert [result.successful for result in response.results] == [False] * 3
        assert all(result.reason for result in response.results)
    elif name == "set_parameters_atomically":
        assert not response.result.successful and response.result.reason
    elif name in ("change_state", "get_type_description"):
        assert not getattr(response, "success" if name == "change_state" else "successful")


def test_a_goal_whose_class_is_no_utf8_is_carried_out(rig: Rig) -> None:
    client = ActionClient(rig.robot.node, TrackTarget, "tracker/track_target")
    wait_until(client.server_is_ready, "the action server")
    x, y, width, height = BOX
    goal = TrackTarget.Goal(x=x, y=y, width=width, height=height, class_id=no_utf8(8), max_duration=0.01)
    sent = client.send_goal_async(goal)
    wait_until(sent.done, "the goal's acceptance", timeout=8)
    result = sent.result().get_result_async()
    wait_until(lambda: rig.publish() and result.done(), "the result", timeout=8)
    assert result.result().result.error_code == TrackTarget.Result.NONE, result.result().result.error_msg
    client.destroy()
