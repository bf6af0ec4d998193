# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest
from lifecycle_msgs.msg import Transition
from node_rig import Rig
from sensor_msgs.msg import Image

from atom_ros import bond


def test_the_bond_with_a_manager_lasts_as_long_as_the_node_is_active(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str]] = []
    happened: list[str] = []

    class FakeBond:
        """bondpy's, as far as the node uses it."""

        def __init__(self, node: object, topic: str, bond_id: str) -> None:
            made.append((topic, bond_id))
            self.sub = node.create_subscription(Image, topic, print, 1)
            self.pub = node.create_publisher(Image, topic, 1)

        def start(self) -> None:
            happened.append("start")

        def shutdown(self) -> None:
            happened.append("shutdown")
            self.sub.destroy()
            self.pub.destroy()

    monkeypatch.setattr(bond, "Bond", FakeBond)
    rig = make_rig().start()
    assert made == [("bond", "tracker")] and happened == ["start"]
    assert rig.change_state(Transition.TRANSITION_DEACTIVATE)
    assert happened == ["start", "shutdown"]
    assert rig.change_state(Transition.TRANSITION_ACTIVATE)
    assert happened == ["start", "shutdown", "start"]
    assert rig.set_target().success or rig.show(), "it goes on"
