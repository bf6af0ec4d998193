# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node that answers requests during a long transition.

rclpy's own runs a transition inside the service's callback: while a network is loading, no client can get the node's
state, and at most ten requests of a lifecycle service can wait. Here the long part of a transition runs in a separate
thread, while the executor's thread serves everything else.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from typing import TypeVar

from lifecycle_msgs.msg import State, Transition, TransitionDescription
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future

from atom_ros.answering import answer_always, serve

T = TypeVar("T")
RCLError = rclpy_implementation.RCLError

_SUCCESS = TransitionCallbackReturn.SUCCESS
_SHUTDOWNS = {
    "unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    "inactive": Transition.TRANSITION_INACTIVE_SHUTDOWN,
    "active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}


class ManagedNode(LifecycleNode):
    """A lifecycle node; see above. Override `long_part` in addition to rclpy's `on_configure` and the like."""

    def __init__(self, name: str, **node_arguments: object) -> None:
        """Creates the node with its lifecycle services; the arguments are those of rclpy's Node."""
        super().__init__(name, enable_communication_interface=False, **node_arguments)
        answer_always(self)
        self._is_changing = False
        group = ReentrantCallbackGroup()  # a transition waits, the other requests do not
        for srv_type, service, handler in (
            (ChangeState, "change_state", self._on_change_state),
            (GetState, "get_state", self._on_get_state),
            (GetAvailableStates, "get_available_states", self._on_get_available_states),
            (GetAvailableTransitions, "get_available_transitions", self._on_get_available_transitions),
            (GetAvailableTransitions, "get_transition_graph", self._on_get_transition_graph),
        ):
            serve(self, srv_type, f"~/{service}", handler, group)

    @property
    def lifecycle_state(self) -> str:
        """The state's label, such as "inactive"; "configuring" and the like during a transition."""
        return self._state_machine.current_state[1]

    @property
    def running_executor(self) -> Executor:
        """The node's executor; raises RuntimeError if there is none."""
        if self.executor is None:
            raise RuntimeError(f"the node {self.get_name()} is in no executor; add it to one")
        return self.executor

    def long_part(self, state_id: int) -> Callable[[], None] | None:
        """Returns a function to run in another thread before `on_configure` or the like, or None.

        It is called in the executor's thread, with the id of the transition's state, such as
        State.TRANSITION_STATE_CONFIGURING. If the function raises, the transition fails with an error.
        """
        return None

    async def change_state(self, transition_id: int) -> TransitionCallbackReturn:
        """Makes a transition, a constant of Transition, without blocking the executor, whose thread calls this.

        Raises:
            RuntimeError: if it is not possible in the node's state, or another one is running.
        """
        before = LifecycleState(state_id=self._state_machine.current_state[0], label=self.lifecycle_state)
        possible = {number: label for number, label, *_ in self._state_machine.available_transitions}
        if self._is_changing or transition_id not in possible:
            names = ", ".join(f"{number} ({label})" for number, label in possible.items()) or "none"
            raise RuntimeError(
                f"transition {transition_id} is not possible while {before.label}; "
                + ("wait until it has ended" if self._is_changing else f"possible now: {names}")
            )
        self._is_changing = True
        try:
            self._state_machine.trigger_transition_by_id(transition_id, True)
            result = await self._run(before)
            self._state_machine.trigger_transition_by_label(result.to_label(), True)
            if result == TransitionCallbackReturn.ERROR:
                after_error = self._call(before)
                self._state_machine.trigger_transition_by_label(after_error.to_label(), True)
            return result
        finally:
            self._is_changing = False

    async def shut_down(self) -> None:
        """Goes to the final state, from any state outside a transition."""
        if not self._is_changing and self.lifecycle_state in _SHUTDOWNS:
            await self.change_state(_SHUTDOWNS[self.lifecycle_state])

    async def _run(self, before: LifecycleState) -> TransitionCallbackReturn:
        try:
            long_part = self.long_part(self._state_machine.current_state[0])
            if long_part is not None:
                await in_thread(self.running_executor, long_part)
        except Exception as error:  # the boundary: the transition failed, and on_error cleans up
            self.get_logger().error(f"Failed while {self.lifecycle_state}: {type(error).__name__}: {error}")
            return TransitionCallbackReturn.ERROR
        return self._call(before)

    def _call(self, before: LifecycleState) -> TransitionCallbackReturn:
        """Calls `on_configure` or the like, depending on the current state."""
        callback = self._callbacks.get(self._state_machine.current_state[0])
        try:
            return _SUCCESS if callback is None else callback(before)
        except Exception as error:  # the boundary, as above
            self.get_logger().error(f"Failed while {self.lifecycle_state}: {type(error).__name__}: {error}")
            return TransitionCallbackReturn.ERROR

    # Services

    async def _on_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        transition_id = request.transition.id
        if request.transition.label:  # it takes precedence over the id
            labels = {label: number for number, label, *_ in self._state_machine.available_transitions}
            if request.transition.label not in labels:
                raise RuntimeError(
                    f"transition '{request.transition.label}' is not possible while {self.lifecycle_state}; "
                    f"possible now: {', '.join(labels) or 'none'}"
                )
            transition_id = labels[request.transition.label]
        response.success = await self.change_state(transition_id) == _SUCCESS
        return response

    def _on_get_state(self, _: GetState.Request, response: GetState.Response) -> GetState.Response:
        response.current_state.id, response.current_state.label = self._state_machine.current_state
        return response

    def _on_get_available_states(
        self, _: GetAvailableStates.Request, response: GetAvailableStates.Response
    ) -> GetAvailableStates.Response:
        response.available_states = [State(id=n, label=label) for n, label in self._state_machine.available_states]
        return response

    def _on_get_available_transitions(
        self, _: GetAvailableTransitions.Request, response: GetAvailableTransitions.Response
    ) -> GetAvailableTransitions.Response:
        transitions = [] if self._is_changing else self._state_machine.available_transitions
        response.available_transitions = list(map(_description, transitions))
        return response

    def _on_get_transition_graph(
        self, _: GetAvailableTransitions.Request, response: GetAvailableTransitions.Response
    ) -> GetAvailableTransitions.Response:
        response.available_transitions = list(map(_description, self._state_machine.transition_graph))
        return response


def _description(transition: tuple[int, str, int, str, int, str]) -> TransitionDescription:
    number, label, start, start_label, goal, goal_label = transition
    return TransitionDescription(
        transition=Transition(id=number, label=label),
        start_state=State(id=start, label=start_label),
        goal_state=State(id=goal, label=goal_label),
    )


async def in_thread(executor: Executor, function: Callable[[], T]) -> T:
    """Calls a function in a new thread and waits for it without blocking the executor's thread."""
    result: ThreadFuture[T] = ThreadFuture()

    def run() -> None:
        try:
            result.set_result(function())
        except BaseException as error:  # re-raised where this is awaited
            result.set_exception(error)

    threading.Thread(target=run, name=f"{getattr(function, '__name__', 'work')}", daemon=True).start()
    return await answer_of(executor, result)


async def answer_of(executor: Executor, future: ThreadFuture[T]) -> T:
    """The result of another thread's future, awaited without blocking the executor's thread."""
    answered = Future(executor=executor)

    def wake(_: object) -> None:
        # Through the executor, which this wakes; not after its end.
        with contextlib.suppress(AttributeError, InvalidHandle, RCLError):
            executor.create_task(answered.set_result, None)

    future.add_done_callback(wake)
    await answered
    return future.result()
