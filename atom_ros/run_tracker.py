# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`ros2 run atom_tracker tracker_node`: the node's process, from start to clean end."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from atom_core.free_memory import share_arenas
from atom_ros.ending import Ending, exit_now

if TYPE_CHECKING:  # importing them takes seconds, in which Ctrl-C must end the process, too
    from rclpy.executors import Executor
    from rclpy.node import Node
    from rclpy.task import Task

    from atom_ros.tracker_node import TrackerNode

_LAST_ANSWERS = 0.3  # s for answers in transit at the end
_PATIENCE = 2.0  # s for the tracker's current step when the process ends; `ros2 launch` grants it 5 s in all
_BUSY_STATES = ("configuring", "deactivating", "shuttingdown")  # whose long part may not have ended


def spin(node: Node, executor: Executor, is_over: Callable[[], bool] = lambda: False) -> None:
    """Serves the node until ROS is shut down, or `is_over` says so after a callback.

    In rclpy an exception of a callback, or of the middleware about an unreadable message, ends the spin. Here it is
    logged, and the node continues.
    """
    from rclpy.executors import ExternalShutdownException

    while executor.context.ok() and not is_over():
        try:
            executor.spin_once()
        except (KeyboardInterrupt, ExternalShutdownException):
            return
        except Exception as error:
            node.get_logger().error(
                f"Message or request dropped: {type(error).__name__}: {error}", throttle_duration_sec=5.0
            )


@contextlib.contextmanager
def spinning(node: Node, executor: Executor) -> Iterator[None]:
    """Serves the node in a thread of its own while the block runs; shuts the executor down at the end."""
    ended = threading.Event()
    executor.add_node(node)
    thread = threading.Thread(target=spin, args=(node, executor, ended.is_set), name="executor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        executor.shutdown()
        thread.join()


def main(args: list[str] | None = None) -> int:
    """Runs the node; returns the exit status of the process.

    It is 0 after a signal, 1 if the node could not start by itself, 2 if its arguments cannot be used.
    """
    share_arenas()
    ending = Ending()
    from atom_ros.start import start, wants_help

    if wants_help(args):
        from atom_ros.parameters import describe

        print(describe())
        return 0
    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from atom_ros.tracker_node import TrackerNode

    if not start("tracker_node", args, signal_handler_options=SignalHandlerOptions.NO):
        return 2
    try:
        node = TrackerNode()
    except (ValueError, ParameterException) as error:
        print(f"tracker_node: {error}", file=sys.stderr)
        rclpy.shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ending.call_on_signal(lambda: executor.create_task(lambda: None))  # wakes up the executor
    started = executor.create_task(node.start)
    spin(node, executor, lambda: ending.is_asked or _has_failed(started))
    status = int(_has_failed(started) and not ending.is_asked)
    _end(node, executor)
    return status


def _has_failed(started: Task) -> bool:
    return started.done() and (started.exception() is not None or not started.result())


def _end(node: TrackerNode, executor: Executor) -> None:
    import rclpy

    if rclpy.ok():
        with contextlib.suppress(Exception):  # the process ends whatever the transition does
            executor.spin_until_future_complete(executor.create_task(node.shut_down), timeout_sec=_PATIENCE)
            _send_what_is_left(executor)
    is_busy = node.lifecycle_state in _BUSY_STATES
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    if is_busy:
        exit_now(0)  # the thread that loads or tracks would delay the end, or be stopped inside a library


def _send_what_is_left(executor: Executor) -> None:
    """Sends pending answers, such as the results of goals that the shutdown finished."""
    end = time.monotonic() + _LAST_ANSWERS
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)


if __name__ == "__main__":
    sys.exit(main())
