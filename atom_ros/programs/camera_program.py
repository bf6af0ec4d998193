# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The main program of a node that publishes in its own loop besides its callbacks."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from atom_ros.answering import answer_always
from atom_ros.ending import Ending
from atom_ros.run_tracker import spinning
from atom_ros.start import start


class LoopNode(Node, ABC):
    """A node whose `run` publishes until `stop` is called or its source ends. It answers every request."""

    def __init__(self, name: str, **node_arguments: Any) -> None:
        """Creates the node, which may be renamed on the command line. Args: as for rclpy's Node."""
        super().__init__(name, **node_arguments)
        answer_always(self)

    @abstractmethod
    def run(self) -> None:
        """Publishes; returns at the end."""

    @abstractmethod
    def stop(self) -> None:
        """Makes `run` return; may be called from any thread."""


def run_program(name: str, make_node: Callable[[], LoopNode], args: list[str] | None, ending: Ending) -> int:
    """Runs a node until its end or a signal; returns the exit status: 2 if it cannot be created.

    Args:
        name: of the program, for messages.
        make_node: raises ValueError, OSError or ParameterException if a parameter cannot be used.
        args: the command line; None for that of the process.
        ending: created before anything else.
    """
    if not start(name, args, signal_handler_options=SignalHandlerOptions.NO):
        return 2
    try:
        node = make_node()
    except (ValueError, OSError, ParameterException) as error:
        print(f"{name}: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    try:
        with spinning(node, SingleThreadedExecutor()):  # serves callbacks, parameters and the clock
            ending.call_on_signal(node.stop)
            node.run()
        return 0
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
