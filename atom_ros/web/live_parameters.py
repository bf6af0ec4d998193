# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The tracker's live parameters and their ranges, through every node's parameter services."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from rcl_interfaces.msg import Parameter, ParameterDescriptor, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from atom_ros.parameters import ONLY_WHILE
from atom_ros.web.protocol import Json

_KINDS = {
    ParameterType.PARAMETER_BOOL: "bool",
    ParameterType.PARAMETER_INTEGER: "int",
    ParameterType.PARAMETER_DOUBLE: "float",
    ParameterType.PARAMETER_STRING: "text",
}
_CHOICES = re.compile(r"one of: ([^;]+)")


class LiveParameters:
    """The rows that the page shows."""

    def __init__(self, node: Node, tracker: str, ask: Callable[[Any, Any], Awaitable[Any]]) -> None:
        """Args: `tracker`: the tracker's full name; `ask`: calls a service, see TrackerLink."""
        self._ask = ask
        self._list = node.create_client(ListParameters, f"{tracker}/list_parameters")
        self._describe = node.create_client(DescribeParameters, f"{tracker}/describe_parameters")
        self._get = node.create_client(GetParameters, f"{tracker}/get_parameters")
        self._set = node.create_client(SetParameters, f"{tracker}/set_parameters")
        self.rows: list[Json] = []
        self.are_stale = True

    async def refresh(self) -> bool:
        """Reads them if they may have changed; returns whether it did. Raises as `ask` does."""
        if not self.are_stale or not self._list.service_is_ready():
            return False
        self.are_stale = False
        names = list((await self._ask(self._list, ListParameters.Request())).result.names)
        descriptors = (await self._ask(self._describe, DescribeParameters.Request(names=names))).descriptors
        shown = [descriptor for descriptor in descriptors if is_live(descriptor)]
        request = GetParameters.Request(names=[descriptor.name for descriptor in shown])
        values = (await self._ask(self._get, request)).values
        self.rows = [row(descriptor, value) for descriptor, value in zip(shown, values, strict=True)]
        return True

    async def set(self, name: str, value: bool | int | float | str) -> None:
        """Changes a parameter.

        Raises:
            LookupError: if there is no live parameter of this name.
            ValueError: if the value has another type, or the tracker refuses it; the message is the tracker's.
        """
        known = next((row for row in self.rows if row["name"] == name), None)
        if known is None:
            raise LookupError(f"{name} is not a parameter of the tracker that can be changed while it runs")
        parameter = Parameter(name=name, value=parameter_value(known["kind"], value))
        (result,) = (await self._ask(self._set, SetParameters.Request(parameters=[parameter]))).results
        if not result.successful:
            raise ValueError(result.reason)
        known["value"] = value


def is_live(descriptor: ParameterDescriptor) -> bool:
    """Whether the page can show and change this parameter: one of the tracker's own, live, of a known type."""
    fixed = descriptor.read_only or ONLY_WHILE in descriptor.additional_constraints
    return not fixed and descriptor.type in _KINDS and bool(descriptor.description)


def row(descriptor: ParameterDescriptor, value: ParameterValue) -> Json:
    """The data that the page shows of a parameter; low and high are None if there is no range."""
    ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
    choices = _CHOICES.search(descriptor.additional_constraints)
    return {
        "name": descriptor.name,
        "text": descriptor.description,
        "kind": "choice" if choices else _KINDS[descriptor.type],
        "value": parameter_value_to_python(value),
        "low": ranges[0].from_value if ranges else None,
        "high": ranges[0].to_value if ranges else None,
        "choices": choices[1].split(", ") if choices else [],
    }


def parameter_value(kind: str, value: bool | int | float | str) -> ParameterValue:
    """The value as a message; raises ValueError if its type is not `kind`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "bool" and isinstance(value, bool):
        return ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)
    if kind == "int" and number and value == int(value):
        return ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=int(value))
    if kind == "float" and number:
        return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float(value))
    if kind in ("text", "choice") and isinstance(value, str):
        return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
    raise ValueError(f"value is {value!r}; expected one of type {kind}")
