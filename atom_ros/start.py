# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Start of the nodes: `--help`, invalid ROS arguments, and whole numbers for float parameters."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter

_Row = tuple[str, object, str]  # a parameter's name, default and description


def help_text(program: str, description: str, parameters: Iterable[_Row], topics: Sequence[str] = ()) -> str:
    """The `--help` text of a node that has only parameters.

    Args:
        program: its executable.
        description: what it does.
        parameters: of the node.
        topics: those usually remapped.
    """
    lines = [
        f"usage: ros2 run atom_tracker {program} [--ros-args [-p NAME:=VALUE] [--params-file FILE] [-r FROM:=TO]]",
        "",
        description.strip(),
        "",
        "parameters (-p NAME:=VALUE):",
    ]
    for name, default, text in parameters:
        shown = str(default).lower() if isinstance(default, bool) else default
        lines.append(f"  {name} (default: {'empty' if shown == '' else shown})")
        lines.append(f"      {text}")
    if topics:
        lines += ["", f"topics to remap (-r {topics[0]}:=/camera/image_raw): {', '.join(topics)}"]
    return "\n".join(lines)


def own_words(args: Sequence[str] | None) -> list[str]:
    """The command line without ROS's part: from `--ros-args` to `--` or the end.

    rclpy's own function raises on invalid ROS arguments before `start` can report them.
    """
    words: list[str] = []
    is_for_ros = False
    for word in sys.argv[1:] if args is None else args:
        if word == "--ros-args":
            is_for_ros = True
        elif is_for_ros:
            is_for_ros = word != "--"
        else:
            words.append(word)
    return words


def wants_help(args: Sequence[str] | None) -> bool:
    """Whether the program's own arguments ask for help."""
    return bool({"--help", "-h"} & set(own_words(args)))


def start(program: str, args: list[str] | None, **options: Any) -> bool:
    """Starts ROS (`rclpy.init`).

    Args:
        program: for the message.
        args: the command line; None for that of the process.
        options: for `rclpy.init`.

    Returns:
        False, after a line on stderr, if the arguments cannot be used: an invalid name or namespace, or a missing
        parameter file.
    """
    words = sys.argv[1:] if args is None else args
    for option, value in itertools.pairwise(words):
        if option == "--params-file" and not Path(value).is_file():
            print(f"{program}: there is no parameter file {value}", file=sys.stderr)
            return False
    try:
        rclpy.init(args=args, **options)
    except Exception as error:  # the boundary to rcl, whose error types are private
        reason = re.sub(r",? at /\S+:\d+", "", str(error))
        hint = "; a namespace is like /robot/camera, of letters, digits and _" if "__ns" in reason else ""
        print(f"{program}: {reason}{hint}", file=sys.stderr)
        return False
    return True


def accept_whole_numbers(node: Node, names: Collection[str]) -> None:
    """Lets float parameters accept `0` for `0.0`; call it before they are declared.

    Args:
        node: that will declare them.
        names: of the parameters.
    """
    overrides = node._parameter_overrides  # from the command line and files; rclpy has no other access to them
    overrides.update({p.name: p for p in _with_fractions(overrides.values(), names)})
    node.add_pre_set_parameters_callback(lambda changes: _with_fractions(changes, names))


def _with_fractions(parameters: Iterable[Parameter], names: Collection[str]) -> list[Parameter]:
    whole = Parameter.Type.INTEGER
    return [
        Parameter(p.name, Parameter.Type.DOUBLE, float(p.value)) if p.name in names and p.type_ == whole else p
        for p in parameters
    ]
