# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node whose transitions take long, asked directly; test_operations asks it over DDS."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
import rclpy
from lifecycle_msgs.msg import State, Transition
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.task import Task

from atom_ros.managed_node import ManagedNode, answer_of, in_thread

SUCCESS, ERROR = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.ERROR
CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE


class SlowNode(ManagedNode):
    """Its configuring waits for a gate."""

    def __init__(self, context: Context) -> None:
        super().__init__("slow_node", context=context, cli_args=["--ros-args"])
        self.gate = threading.Event()
        self.failure: Exception | None = None
        self.calls: list[str] = []

    def long_part(self, state_id: int):
        return self._wait if state_id == State.TRANSITION_STATE_CONFIGURING else None

    def _wait(self) -> None:
        self.calls.append(threading.current_thread().name)
        assert self.gate.wait(60)
        if self.failure is not None:
            raise self.failure

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.calls.append(f"configure from {state.label}")
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.calls.append(f"error from {state.label}")
        return SUCCESS


class Bench:
    """The node and its executor, which `wait` spins."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = SlowNode(self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def begin(self, transition: int) -> Task:
        """A transition that has begun."""
        task = self.executor.create_task(self.node.change_state, transition)
        self.executor.spin_once(timeout_sec=0)
        return task

    def wait(self, task: Task) -> TransitionCallbackReturn:
        self.executor.spin_until_future_complete(task, timeout_sec=60)
        return task.result()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.node.gate.set()
    bench.executor.shutdown()
    bench.node.destroy_node()
    rclpy.shutdown(context=bench.context)


def test_the_long_part_runs_in_another_thread_while_the_executor_is_free(bench: Bench) -> None:
    task = bench.begin(CONFIGURE)
    assert bench.node.lifecycle_state == "configuring" and not task.done()
    with pytest.raises(RuntimeError, match="wait until it has ended"):
        bench.wait(bench.begin(ACTIVATE))
    bench.node.gate.set()
    assert bench.wait(task) == SUCCESS and bench.node.lifecycle_state == "inactive"
    thread, configured = bench.node.calls
    assert thread != threading.current_thread().name and configured == "configure from unconfigured"


def test_a_long_part_that_raises_ends_unconfigured(bench: Bench) -> None:
    bench.node.failure = ValueError("no such weights")
    bench.node.gate.set()
    assert bench.wait(bench.begin(CONFIGURE)) == ERROR
    assert bench.node.lifecycle_state == "unconfigured"
    assert bench.node.calls[1:] == ["error from unconfigured"], "on_configure is not called"


def test_an_impossible_transition_names_the_possible_ones(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match=r"transition 3 is not possible while unconfigured; .*configure"):
        bench.wait(bench.begin(ACTIVATE))


def test_shutting_down_is_possible_once(bench: Bench) -> None:
    for _ in range(2):
        bench.executor.spin_until_future_complete(bench.executor.create_task(bench.node.shut_down), timeout_sec=60)
        assert bench.node.lifecycle_state == "finalized"


def test_another_threads_failure_comes_to_whoever_waits(bench: Bench) -> None:
    def fail() -> None:
        raise LookupError("not there")

    task = bench.executor.create_task(in_thread, bench.executor, fail)
    with pytest.raises(LookupError, match="not there"):
        bench.wait(task)
    future: Future[int] = Future()
    task = bench.executor.create_task(answer_of, bench.executor, future)
    threading.Timer(0.05, future.set_result, [5]).start()
    assert bench.wait(task) == 5
