# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The loop that serves the node; test_start has the command line, test_ending the signals."""

import threading
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from atom_ros.run_tracker import spin, spinning


@pytest.fixture
def executor() -> Iterator[SingleThreadedExecutor]:
    context = Context()
    rclpy.init(context=context)
    node = Node("spinning", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield executor
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_what_a_callback_raises_costs_no_other(executor: SingleThreadedExecutor) -> None:
    calls: list[str] = []

    def fail() -> None:
        calls.append("failed")
        raise ValueError("a bad message")

    executor.create_task(fail)
    executor.create_task(lambda: calls.append("served"))
    spin(executor.get_nodes()[0], executor, lambda: len(calls) == 2)
    assert sorted(calls) == ["failed", "served"]


@pytest.mark.parametrize("end", [KeyboardInterrupt, ExternalShutdownException])
def test_an_end_from_outside_is_no_error(executor: SingleThreadedExecutor, end: type[BaseException]) -> None:
    def stop() -> None:
        raise end

    executor.create_task(stop)
    spin(executor.get_nodes()[0], executor)


def test_it_ends_with_ros(executor: SingleThreadedExecutor) -> None:
    executor.create_task(lambda: rclpy.shutdown(context=executor.context))
    spin(executor.get_nodes()[0], executor)
    assert not executor.context.ok()


def test_a_block_is_served_until_its_end_also_by_an_error() -> None:
    context = Context()
    rclpy.init(context=context)
    node = Node("served", context=context)
    executor = SingleThreadedExecutor(context=context)
    served = threading.Event()
    with pytest.raises(ValueError, match="inside"), spinning(node, executor):
        executor.create_task(served.set)
        assert served.wait(60)
        raise ValueError("inside")
    assert not [thread for thread in threading.enumerate() if thread.name == "executor"]
    node.destroy_node()
    rclpy.shutdown(context=context)
