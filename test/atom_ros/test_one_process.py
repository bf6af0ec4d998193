# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Fast DDS takes the tests' own settings, see one_process.xml."""

from __future__ import annotations

import array
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from robot import TIMEOUT, wait_until
from std_msgs.msg import UInt8MultiArray

PROFILES = Path(__file__).with_name("one_process.xml")
LARGE = UInt8MultiArray(data=array.array("B", bytes(8_000_000)))  # takes some milliseconds between processes
FIRST_NODE = "import rclpy; rclpy.init(); rclpy.create_node('first')"

pytestmark = pytest.mark.skipif(
    rclpy.get_rmw_implementation_identifier() != "rmw_fastrtps_cpp", reason="the settings are Fast DDS's"
)


def test_a_message_to_another_context_is_not_delivered_by_its_sender() -> None:
    contexts = [Context(), Context()]
    for context in contexts:
        rclpy.init(context=context)
    sender, receiver = (Node(name, context=context) for name, context in zip(("a", "b"), contexts, strict=True))
    publisher = sender.create_publisher(UInt8MultiArray, "one_process", 1)
    subscription = receiver.create_subscription(UInt8MultiArray, "one_process", lambda _: None, 1)
    wait_until(lambda: publisher.get_subscription_count() and subscription.handle.get_publisher_count(), "the match")
    publisher.publish(LARGE)
    at_once = subscription.handle.take_message(UInt8MultiArray, False)
    for node, context in zip((sender, receiver), contexts, strict=True):
        node.destroy_node()
        rclpy.shutdown(context=context)
    assert at_once is None, "the sender's own call would have put it there"


def test_fast_dds_understands_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(PROFILES))
    command = [sys.executable, "-c", FIRST_NODE]
    assert not subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True).stderr
