# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Waits while a node's callbacks run, always with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

import rclpy
from rclpy.node import Node


def spin_for(node: Node, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
    """Runs callbacks for `seconds`, or until a condition holds; returns whether it did."""
    deadline = time.monotonic() + seconds
    while not until():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        rclpy.spin_once(node, timeout_sec=min(left, 0.1))
    return True


def require(node: Node, what: str, seconds: float, until: Callable[[], bool]) -> None:
    """Runs callbacks until a condition holds.

    Raises:
        TimeoutError: after `seconds`; the message names the missing event.
    """
    if not spin_for(node, seconds, until):
        raise TimeoutError(f"{node.get_fully_qualified_name()}: timed out after {seconds:g} s waiting for {what}")
