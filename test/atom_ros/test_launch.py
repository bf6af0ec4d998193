# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The launch file, with the real launch packages where they are installed (they come with ROS 2, not with pip)."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

launch = pytest.importorskip("launch", reason="the package launch is not installed")
pytest.importorskip("launch_ros", reason="the package launch_ros is not installed")

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch/tracker.launch.py"


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tracker_launch", LAUNCH_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_argument_is_described(module: ModuleType) -> None:
    arguments = module.generate_launch_description().get_launch_arguments()
    assert {argument.name for argument in arguments} == {
        *("image", "namespace", "params_file", "weights", "device", "image_transport", "autostart", "rviz")
    }
    assert all(argument.description for argument in arguments)


@pytest.mark.parametrize(
    ("given", "parameters"),
    [({}, []), ({"device": "cpu", "autostart": "false"}, ["device:=cpu", "autostart:=false"])],
)
def test_only_given_arguments_override_the_parameter_file(
    module: ModuleType, given: dict[str, str], parameters: list[str]
) -> None:
    context = launch.LaunchContext()
    description = module.generate_launch_description()
    for argument in description.get_launch_arguments():
        context.launch_configurations[argument.name] = given.get(
            argument.name, argument.default_value[0].perform(context) if argument.default_value else ""
        )
    (node,) = module._tracker(context)
    node._perform_substitutions(context)
    command = " ".join(part.perform(context) for substitutions in node.cmd for part in substitutions)
    assert "--params-file" in command and "image:=image" in command
    for parameter in parameters:
        name, value = parameter.split(":=")
        files = [Path(word) for word in command.split() if Path(word).is_file() and "launch_params" in word]
        assert any(f"{name}: {value}" in file.read_text() for file in files)
