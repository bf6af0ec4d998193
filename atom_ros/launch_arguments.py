# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of the launch files' arguments: `ros2 launch` ends at once, with status 1 and the message.

Without these checks it only warns about a missing file, or names the value but not the argument.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_LAST_IMAGES = 3.0  # s


def check_path(name: str, value: str, expected: str) -> None:
    """Raises RuntimeError, naming the argument and what is expected, if there is no such file or folder."""
    if not Path(value).exists():
        raise RuntimeError(f"{name}:={value} does not exist; expected {expected}")


def check_file(name: str, value: str, expected: str) -> None:
    """Raises RuntimeError, naming the argument and what is expected, if there is no such file."""
    check_path(name, value, expected)
    if not Path(value).is_file():
        raise RuntimeError(f"{name}:={value} is a folder; expected {expected}")


def check_types(values: Mapping[str, str], types: Mapping[str, type]) -> None:
    """Raises RuntimeError if a value cannot be read as its parameter's type: int, float, bool or str.

    Args:
        values: of the arguments, by name; an empty one is not checked.
        types: of the parameters, by name.
    """
    for name, value in values.items():
        kind = types[name]
        if kind is bool and value.lower() not in ("", "true", "false"):
            raise RuntimeError(f"{name}:={value} is not a truth value; expected true or false")
        if kind in (int, float) and value and not _is_number(value, kind):
            expected = "a whole number, such as 3" if kind is int else "a number, such as 2.5"
            raise RuntimeError(f"{name}:={value} is not a number of this kind; expected {expected}")


def _is_number(text: str, kind: type) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def check_program(name: str, why: str) -> None:
    """Raises RuntimeError if a program that the launch file starts is not on the PATH."""
    if shutil.which(name) is None:
        raise RuntimeError(f"there is no program {name} on the PATH: {why}")


def end_with(program: str) -> Callable[[Any, Any], list[Any]]:
    """The `on_exit` of a program that supplies the images: it ends everything, and launch fails if the program failed.

    The tracker may still have the last images to process. Types are those of the package launch, which pip lacks.
    """

    def end(event: Any, context: Any) -> list[Any]:
        if context.is_shutdown:
            return []
        if event.returncode != 0:
            raise RuntimeError(f"{program} ended with status {event.returncode}")
        actions = importlib.import_module("launch.actions")
        shutdown = actions.Shutdown(reason=f"{program} has ended")
        return [actions.TimerAction(period=_LAST_IMAGES, actions=[shutdown])]

    return end
