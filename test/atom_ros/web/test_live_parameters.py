# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, ParameterType, ParameterValue

from atom_ros.web.live_parameters import is_live, parameter_value, row

FLOAT = ParameterDescriptor(
    name="recognition",
    type=ParameterType.PARAMETER_DOUBLE,
    description="Share of the match score.",
    floating_point_range=[FloatingPointRange(from_value=0.0, to_value=1.0)],
)


def test_a_number_is_shown_with_its_range() -> None:
    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.5)
    assert row(FLOAT, value) == {
        "name": "recognition",
        "text": "Share of the match score.",
        "kind": "float",
        "value": 0.5,
        "low": 0.0,
        "high": 1.0,
        "choices": [],
    }


def test_parameters_of_rclpy_and_fixed_ones_are_not_live() -> None:
    assert is_live(FLOAT)
    assert not is_live(ParameterDescriptor(name="use_sim_time", type=ParameterType.PARAMETER_BOOL))
    assert not is_live(ParameterDescriptor(type=FLOAT.type, description="x", read_only=True))


@pytest.mark.parametrize(
    ("kind", "value", "field"),
    [
        ("bool", True, "bool_value"),
        ("int", 3, "integer_value"),
        ("int", 3.0, "integer_value"),
        ("float", 3, "double_value"),
        ("text", "a", "string_value"),
        ("choice", "a", "string_value"),
    ],
)
def test_a_value_gets_its_type(kind: str, value: bool | int | float | str, field: str) -> None:
    assert getattr(parameter_value(kind, value), field) == value


@pytest.mark.parametrize(("kind", "value"), [("bool", 1), ("int", 2.5), ("int", True), ("float", "1"), ("text", 1)])
def test_a_value_of_another_type_is_refused(kind: str, value: bool | int | float | str) -> None:
    with pytest.raises(ValueError, match=f"value is {value!r}; expected one of type {kind}"):
        parameter_value(kind, value)
