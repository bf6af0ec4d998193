# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Wrong arguments of the launch files end the launch with a message that names them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from atom_ros.launch_arguments import check_file, check_path, check_program, check_types, end_with


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^params_file:=/no/such\.yaml does not exist; expected a parameter file$"):
        check_file("params_file", "/no/such.yaml", "a parameter file")
    with pytest.raises(RuntimeError, match=r"^params_file:=.* is a folder; expected a parameter file$"):
        check_file("params_file", str(tmp_path), "a parameter file")
    check_file("params_file", __file__, "a parameter file")


def test_a_bag_is_a_folder_or_a_file(tmp_path: Path) -> None:
    check_path("bag", str(tmp_path), "a bag")
    check_path("bag", __file__, "a bag")
    with pytest.raises(RuntimeError, match=r"^bag:=/no/such does not exist; expected a bag$"):
        check_path("bag", "/no/such", "a bag")


TYPES = {"max_targets": int, "fps": float, "loop": bool, "source": str}


@pytest.mark.parametrize(
    "values",
    [
        {"max_targets": "3", "fps": "2.5", "loop": "true", "source": "0"},
        {"max_targets": "", "fps": "", "loop": "", "source": ""},
        {"fps": "30", "loop": "False"},
    ],
)
def test_values_that_can_be_used(values: dict[str, str]) -> None:
    check_types(values, TYPES)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_targets", "abc", "a whole number, such as 3"),
        ("max_targets", "2.5", "a whole number, such as 3"),
        ("fps", "fast", "a number, such as 2.5"),
        ("loop", "maybe", "true or false"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_argument(name: str, value: str, expected: str) -> None:
    with pytest.raises(RuntimeError, match=f"^{name}:={value} is .*; expected {expected}$"):
        check_types({name: value}, TYPES)


def test_a_program_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"^there is no program ros2 on the PATH: it plays the bag$"):
        check_program("ros2", "it plays the bag")
    (tmp_path / "ros2").touch(mode=0o755)
    check_program("ros2", "it plays the bag")


def test_a_failed_program_fails_the_launch() -> None:
    with pytest.raises(RuntimeError, match=r"^the camera ended with status -9$"):
        end_with("the camera")(SimpleNamespace(returncode=-9), SimpleNamespace(is_shutdown=False))
    assert end_with("the camera")(SimpleNamespace(returncode=-9), SimpleNamespace(is_shutdown=True)) == []
