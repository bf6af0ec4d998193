# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The bond with a lifecycle manager: heartbeats that tell nav2's manager that the node is alive."""

from __future__ import annotations

import contextlib

from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

try:
    from bondpy.bondpy import Bond
except ImportError:  # an optional package: without it the manager needs `bond_timeout: 0.0`
    Bond = None

RCLError = rclpy_implementation.RCLError
_TOPIC = "bond"  # nav2's
_GUARD = "bond_disable_heartbeat_timeout"  # a parameter that bondpy declares each time it misses its partner


class ManagerBond:
    """Sends heartbeats from construction to `end`, if bondpy is installed; without a manager, for ten seconds."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._bond = None
        if Bond is None:
            return
        if node.has_parameter(_GUARD):
            node.undeclare_parameter(_GUARD)
        self._bond = Bond(node, _TOPIC, node.get_name())
        self._bond.start()

    def end(self) -> None:
        """Ends the bond without a failure."""
        if self._bond is None:
            return
        bond, self._bond = self._bond, None
        with contextlib.suppress(RCLError, InvalidHandle):  # after ROS has shut down, nothing can be published
            bond.shutdown()
        with contextlib.suppress(InvalidHandle):  # bondpy leaves these registered with the node
            self._node.destroy_subscription(bond.sub)
            self._node.destroy_publisher(bond.pub)
