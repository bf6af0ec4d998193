# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.context import Context
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from atom_core.config import TrackerConfig
from atom_ros import parameters
from atom_ros.parameters import TABLE, Settings

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = {spec.name: spec.default for spec in TABLE}


@pytest.fixture(scope="module")
def context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


def _node(context: Context, **overrides: object) -> Node:
    given = [Parameter(name.replace("__", "."), value=value) for name, value in overrides.items()]
    return Node("parameters", context=context, parameter_overrides=given)


def test_defaults_are_those_of_the_tracker(context: Context) -> None:
    node = _node(context)
    settings = parameters.declare(node)
    node.destroy_node()
    assert settings.tracker == TrackerConfig()
    assert (settings.weights, settings.device, settings.autostart) == ("default", "auto", True)


def test_values_from_outside_arrive(context: Context) -> None:
    node = _node(context, tracker__not_found_threshold=0.4, qos__reliability="reliable", qos__depth=3)
    settings = parameters.declare(node)
    node.destroy_node()
    assert settings.tracker == TrackerConfig(not_found_threshold=0.4)
    assert settings.qos_reliability == "reliable"
    assert settings.image_qos(ReliabilityPolicy.RELIABLE).depth == 3


def test_the_default_image_qos_fits_every_camera() -> None:
    settings = Settings.from_values(DEFAULTS)
    assert settings.qos_reliability == "auto"
    qos = settings.image_qos(ReliabilityPolicy.BEST_EFFORT)
    assert (qos.reliability, qos.durability, qos.depth) == (
        ReliabilityPolicy.BEST_EFFORT,
        DurabilityPolicy.VOLATILE,
        1,
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("image_transport", "theora", "raw, compressed"),
        ("qos__reliability", "", "auto, best_effort, reliable"),
        ("tracker__learning_rate", 1.5, "Max: 1.0"),
        ("tracker__learning_rate", float("nan"), "Max: 1.0"),
        ("qos__depth", 0, "Min: 1"),
        ("weights", 7, "expecting type 'STRING'"),
    ],
)
def test_wrong_values_are_refused_with_what_is_expected(
    context: Context, name: str, value: object, expected: str
) -> None:
    node = _node(context, **{name: value})
    with pytest.raises((ValueError, ParameterException)) as error:
        parameters.declare(node)
    node.destroy_node()
    assert expected in str(error.value)
    assert name.replace("__", ".") in str(error.value)


@pytest.mark.parametrize("spec", [spec for spec in TABLE if spec.bounds], ids=lambda spec: spec.name)
def test_every_value_in_the_bounds_is_accepted_by_the_tracker(spec: parameters.Spec) -> None:
    for value in (*spec.bounds, spec.default):
        Settings.from_values(DEFAULTS | {spec.name: type(spec.default)(value)})


def test_every_parameter_is_described() -> None:
    for spec in TABLE:
        descriptor = spec.descriptor()
        assert descriptor.description.endswith(".")
        assert descriptor.read_only is (spec.name == "autostart")
        assert ("unconfigured" in descriptor.additional_constraints) is not (spec.live or spec.fixed)
    assert {spec.name for spec in TABLE if spec.live} >= {"stamp_tolerance", "tracker.not_found_threshold"}
    not_live = {spec.name for spec in TABLE if not spec.live}
    assert not_live >= {"weights", "device", "image_transport", "qos.reliability", "qos.depth", "qos.durability"}


def test_changes_are_seen_before_they_are_made(context: Context) -> None:
    node = _node(context)
    parameters.declare(node)
    change = Parameter("tracker.update_interval", value=3)
    assert parameters.with_changes(node, [change]).tracker.update_interval == 3
    assert parameters.with_changes(node, []).tracker.update_interval == 10
    change = Parameter("weights", value="resnet18")
    assert parameters.with_changes(node, [change], "unconfigured").weights == "resnet18"
    with pytest.raises(ValueError, match=r"weights can be changed only while .* unconfigured, and it is inactive"):
        parameters.with_changes(node, [change], "inactive")
    same = Parameter("weights", value="default")
    assert parameters.with_changes(node, [same], "active").weights == "default", "no change"
    node.destroy_node()


def test_the_parameter_file_lists_every_parameter_with_its_default() -> None:
    def flatten(tree: dict, prefix: str = "") -> dict[str, object]:
        flat = {}
        for key, value in tree.items():
            flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        return flat

    tree = yaml.safe_load((ROOT / "config/tracker.yaml").read_text())
    listed = flatten(tree["/**"]["ros__parameters"])
    assert listed == DEFAULTS
    assert {name: type(value) for name, value in listed.items()} == {n: type(v) for n, v in DEFAULTS.items()}


@pytest.mark.parametrize("name", ["README.md", "config/tracker.yaml"])
def test_the_tables_are_those_of_the_code(name: str) -> None:
    """If this fails, run `python tools/write_parameters.py`."""
    spec = importlib.util.spec_from_file_location("write_parameters", ROOT / "tools" / "write_parameters.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (ROOT / name).read_text()
    assert module.FILES[name](text) == text
    assert all(f"{spec.name.removeprefix('tracker.')}" in text for spec in TABLE if spec.name.startswith("tracker."))


def test_an_old_name_is_accepted(context: Context) -> None:
    node = _node(context, tracker__redetection_likeness=0.7)
    assert parameters.declare(node).tracker.redetection_similarity == 0.7
    assert not node.has_parameter("tracker.redetection_likeness")
    node.destroy_node()


def test_a_wrong_value_under_an_old_name_is_named(context: Context) -> None:
    node = _node(context, tracker__redetection_likeness="much")
    with pytest.raises(ValueError, match=r"redetection_likeness is 'much'; expected a float"):
        parameters.declare(node)
    node.destroy_node()


def test_the_engine_may_be_a_file() -> None:
    spec = next(spec for spec in TABLE if spec.name == "engine")
    assert spec.setting("/robot/default.onnx") == "/robot/default.onnx" and spec.setting("torch") == "torch"
    with pytest.raises(ValueError, match=r"engine: 'default\.plan'; expected auto, openvino, torch or the path of an"):
        spec.setting("default.plan")
