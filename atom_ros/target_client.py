# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A client for applications: set a target and get its Tracks."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from builtin_interfaces.msg import Time
from rclpy.client import Client
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from std_srvs.srv import Trigger

from atom_tracker.msg import Track
from atom_tracker.srv import RemoveTarget, SetTarget

T = TypeVar("T")

STATUS_NAMES = {
    Track.IDLE: "IDLE",
    Track.TRACKING: "TRACKING",
    Track.UNCERTAIN: "UNCERTAIN",
    Track.LOST: "LOST",
    Track.SEARCHING: "SEARCHING",
}
TIMEOUT = 10.0  # s; the tracker learns a target in less than a second, on a GPU much faster

_TRACKS = QoSProfile(depth=10)  # like the tracker's publisher


class TargetRefused(RuntimeError):
    """The tracker refused the target and continues unchanged. The message is the tracker's and says what to do."""


class TargetClient:
    """Sets targets on a tracker and keeps its newest Tracks.

    Its own thread and small node receive the tracker's answers, so you may call every method from anywhere: from a
    callback of your node with any executor, from another thread, or from a script that never spins. A method that waits
    blocks only its caller; each has a variant ending in `_async` that does not wait.

        client = TargetClient(node, on_track=self.on_track)
        number = client.set_target((685, 270, 38, 103), stamp=image.header.stamp)
        track = client.wait_for_state(Track.LOST, target_id=number, timeout=60.0)
    """

    def __init__(self, node: Node, name: str = "tracker", on_track: Callable[[Track], None] | None = None) -> None:
        """Connects to a tracker, which may start later.

        Args:
            node: yours. Its namespace and remappings also apply to the tracker's names.
            name: the tracker node's name, relative to your node's namespace or absolute.
            on_track: called with each Track in your node's executor, like any subscription callback.
        """
        self._owner = node
        self.name = name
        # Without the process's arguments, which could rename this node; your node resolves the names.
        self._node = Node(
            f"{node.get_name()}_target_client",
            namespace=node.get_namespace(),
            context=node.context,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._set = self._client(SetTarget, "set_target")
        self._clear = self._client(Trigger, "clear_target")
        self._remove = self._client(RemoveTarget, "remove_target")
        topic = node.resolve_topic_name(f"{name}/track")
        self._node.create_subscription(Track, topic, self._on_track, _TRACKS)
        self._callback = None if on_track is None else node.create_subscription(Track, topic, on_track, _TRACKS)

        self._changed = threading.Condition()  # guards the fields below
        self._closed = False
        self._newest: Track | None = None
        self._tracks: dict[int, Track] = {}
        self._previous_stamp: Time | None = None  # of the image before the newest Track's

        node.context.on_shutdown(self._close)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="target client", daemon=True)
        self._thread.start()

    def __enter__(self) -> TargetClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    def destroy(self) -> None:
        """Disconnects; waiting calls fail with RuntimeError."""
        self._close()
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()
        if self._callback is not None:
            self._owner.destroy_subscription(self._callback)
            self._callback = None

    # Requests

    def set_target(
        self, box: Sequence[float], stamp: Time | None = None, target_id: int = 0, timeout: float = TIMEOUT
    ) -> int:
        """Sets a target and waits until the tracker has learned it.

        Args:
            box: x, y, width, height in px of the full image; (x, y) is the top left corner, and the first pixel's
                centre is at (0, 0).
            stamp: from the header of the image on which the box was drawn; None for the newest image.
            target_id: number of the target to replace; 0 for a new one.
            timeout: s for the tracker to appear and to answer.

        Returns:
            The target's number, which its Tracks carry.

        Raises:
            ValueError: if the box is not four finite numbers.
            TargetRefused: if the tracker refuses the target; its message gives the reason.
            TimeoutError: if there is no such tracker, or no answer in time.
        """
        return _number(self._call(self._set, _set_request(box, stamp, target_id), timeout))

    def set_target_async(self, box: Sequence[float], stamp: Time | None = None, target_id: int = 0) -> Future:
        """The same without waiting: a future of the target's number, which a coroutine of your node can await.

        The future fails with TargetRefused, or with ConnectionError if there is no tracker at the moment. Your node's
        executor calls its done callbacks. An invalid box raises ValueError at once.
        """
        return self._call_async(self._set, _set_request(box, stamp, target_id), _number)

    def clear(self, timeout: float = TIMEOUT) -> None:
        """Forgets every target; raises TargetRefused or TimeoutError, as `set_target` does."""
        _check(self._call(self._clear, Trigger.Request(), timeout))

    def clear_async(self) -> Future:
        """The same without waiting; see `set_target_async`."""
        return self._call_async(self._clear, Trigger.Request(), _check)

    def remove(self, target_id: int, timeout: float = TIMEOUT) -> None:
        """Forgets one target; raises TargetRefused if there is no such target, and TimeoutError."""
        _check(self._call(self._remove, RemoveTarget.Request(target_id=target_id), timeout))

    def remove_async(self, target_id: int) -> Future:
        """The same without waiting; see `set_target_async`."""
        return self._call_async(self._remove, RemoveTarget.Request(target_id=target_id), _check)

    def wait_for_tracker(self, timeout: float = TIMEOUT) -> None:
        """Waits until the tracker's services are available; raises TimeoutError."""
        self._wait_for_service(self._set, time.monotonic() + timeout, timeout)

    # Tracks

    @property
    def tracks(self) -> dict[int, Track]:
        """The newest Track of each target, in every state, by number."""
        with self._changed:
            return dict(self._tracks)

    def track(self, target_id: int = 0) -> Track | None:
        """The newest Track of a target, or None; 0: the newest of all, which may be IDLE."""
        with self._changed:
            return self._tracks.get(target_id) if target_id else self._newest

    def wait_for_state(self, *states: int, target_id: int = 0, timeout: float | None = None) -> Track:
        """Waits until a target is in one of the states.

        Args:
            states: constants of Track, such as Track.TRACKING.
            target_id: its number; 0 for the newest Track of any target.
            timeout: s; None for no limit.

        Returns:
            The Track with that state; it may have come before the call.

        Raises:
            TimeoutError: the message has the target's current state.
        """
        found: list[Track] = []

        def is_there() -> bool:
            track = self.track(target_id)
            if track is not None and track.status in states:
                found.append(track)
            return bool(found)

        if not self._wait(is_there, timeout):
            track = self.track(target_id)
            raise TimeoutError(
                f"{self.name}: waited {timeout:g} s in vain for {' or '.join(STATUS_NAMES[state] for state in states)}"
                f"; {'there is no Track' if track is None else 'it is ' + STATUS_NAMES[track.status]}"
            )
        return found[0]

    # Internals

    def _client(self, service_type: type, name: str) -> Client:
        return self._node.create_client(service_type, self._owner.resolve_service_name(f"{self.name}/{name}"))

    def _spin(self) -> None:
        while self._node.context.ok() and not self._closed:
            try:
                self._executor.spin()
            except ExternalShutdownException:
                break
            except Exception as error:  # a message that cannot be read
                self._owner.get_logger().error(
                    f"Message of {self.name} dropped: {type(error).__name__}: {error}", throttle_duration_sec=5.0
                )
        self._close()

    def _close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _on_track(self, track: Track) -> None:
        """Keeps the Tracks of this image and, until all of these have come, of the previous one."""
        with self._changed:
            if self._newest is not None and track.header.stamp != self._newest.header.stamp:
                self._previous_stamp = self._newest.header.stamp
            stamps = (track.header.stamp, self._previous_stamp)
            self._newest = track
            if track.status == Track.IDLE:
                self._tracks = {}
            else:
                self._tracks = {n: t for n, t in self._tracks.items() if t.header.stamp in stamps}
                self._tracks[track.target_id] = track
            self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        if threading.current_thread() is self._thread:
            raise RuntimeError("this is the client's own thread, which receives the answers: use the form with _async")
        with self._changed:
            fulfilled = self._changed.wait_for(lambda: condition() or self._closed, timeout)
            if self._closed and not condition():
                raise RuntimeError(f"the client of {self.name} was destroyed, or ROS was shut down")
            return fulfilled

    def _wait_for_service(self, client: Client, deadline: float, timeout: float) -> None:
        if not client.wait_for_service(timeout_sec=max(0.0, deadline - time.monotonic())):
            raise TimeoutError(f"no service {client.srv_name} within {timeout:g} s; is the tracker running?")

    def _call(self, client: Client, request: Any, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        self._wait_for_service(client, deadline, timeout)
        pending = client.call_async(request)
        pending.add_done_callback(lambda _: self._notify())
        if not self._wait(pending.done, max(0.0, deadline - time.monotonic())):
            client.remove_pending_request(pending)
            raise TimeoutError(f"no answer of {client.srv_name} within {timeout:g} s")
        return pending.result()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _call_async(self, client: Client, request: Any, evaluate: Callable[[Any], T]) -> Future:
        answer = Future(executor=self._owner.executor)
        if client.service_is_ready():
            pending = client.call_async(request)
            pending.add_done_callback(lambda _: self._hand_over(answer, lambda: evaluate(pending.result())))
        else:
            answer.set_exception(ConnectionError(f"no service {client.srv_name}; is the tracker running?"))
        return answer

    def _hand_over(self, answer: Future, evaluate: Callable[[], T]) -> None:
        """Completes the caller's future in the caller's executor, and wakes that up."""

        def complete() -> None:
            try:
                answer.set_result(evaluate())
            except Exception as error:  # passed to the future's owner
                answer.set_exception(error)

        executor = self._owner.executor
        if executor is None:
            complete()
        else:
            executor.create_task(complete)


def _set_request(box: Sequence[float], stamp: Time | None, target_id: int) -> SetTarget.Request:
    values = [float(value) for value in box]
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise ValueError(f"box is {tuple(values)}; expected four finite numbers: x, y, width, height in image px")
    x, y, width, height = values
    return SetTarget.Request(stamp=stamp or Time(), x=x, y=y, width=width, height=height, target_id=target_id)


def _check(response: SetTarget.Response | RemoveTarget.Response | Trigger.Response) -> None:
    if not response.success:
        raise TargetRefused(response.message)


def _number(response: SetTarget.Response) -> int:
    _check(response)
    return response.target_id
