# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The page's connection to ROS: camera, Tracks, services and parameters of one tracker.

Two threads are involved. The executor's thread runs the node: it receives messages and passes them on. Everything else
runs in the server's event loop; call the public methods there.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterEvent
from rclpy.client import Client
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_srvs.srv import SetBool

from atom_ros.web.camera import Camera, Surroundings
from atom_ros.web.history import History
from atom_ros.web.live_parameters import LiveParameters
from atom_ros.web.pairing import Pairing, Shown
from atom_ros.web.protocol import Json, Stamp, track_fields
from atom_tracker.msg import Track, TrackArray
from atom_tracker.srv import ListTargets, RemoveTarget, SetTarget

TIMEOUT = 15.0  # s for an answer; learning a target takes less than 1 s, on a slow CPU a few
_POLL = 1.0  # s between two polls of the targets, which also change without an image
_RECENT = 2.0  # s over which rate and delay are computed
_LATE = 2.0  # s in which Tracks of a removed target may still arrive
_OLD = 3.5  # s after which diagnostics, published once a second, are outdated
_FIGURES = {  # keys of /diagnostics -> the page's names
    "input rate (Hz)": "input_rate",
    "dropped": "dropped",
    "lost": "lost",
    "failed": "failed",
    "device": "device",
    "network": "network",
    "lifecycle": "lifecycle",
}


class TrackerLink:
    """The server's connection to a tracker."""

    def __init__(self, node: Node, executor: Executor, tracker: str = "tracker", camera: str = "") -> None:
        """Connects to a tracker, which may start later; call it while the event loop runs.

        Args:
            node: of the page. executor: that spins it, in a separate thread.
            tracker: the tracker node's name, relative or absolute.
            camera: topic of the images; empty for the one that the tracker listens to.
        """
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._set = self._client(node, tracker, SetTarget, "set_target")
        self._remove = self._client(node, tracker, RemoveTarget, "remove_target")
        self._list = self._client(node, tracker, ListTargets, "list_targets")
        self._pause = self._client(node, tracker, SetBool, "pause")
        self.name = node.resolve_service_name(f"{tracker}/set_target").removesuffix("/set_target")
        self._parameters = LiveParameters(node, self.name, self.ask)
        self._camera = Camera(node, executor, camera, self._hand_over(self._on_image), self._hand_over(self._on_look))
        self._pairing = Pairing()
        self.history = History()
        self.on_shown: Callable[[Shown], None] = lambda shown: None
        self.on_late_tracks: Callable[[TrackArray], None] = lambda tracks: None
        self.on_parameters: Callable[[], None] = lambda: None

        self._surroundings = Surroundings()
        self._is_present = False
        self._is_paused = False
        self._targets: list[Track] = []
        self._removed: dict[int, float] = {}  # targets removed here -> time.monotonic() of the removal
        self._image_at: float | None = None  # time.monotonic() of the newest image
        self._image_error = ""
        self._recent: deque[tuple[float, float, float]] = deque(
            maxlen=1000
        )  # of Tracks: time, delay and computing time, s
        self._diagnosis: tuple[float, str, Json] = (0.0, "", {})  # arrival, message, values
        self._watched = False
        self._poll_now = asyncio.Event()
        self._is_closed = False
        self._tasks = [asyncio.create_task(self._poll_forever())]

        tracks, others = QoSProfile(depth=10), QoSProfile(depth=20)
        node.create_subscription(TrackArray, f"{self.name}/tracks", self._hand_over(self._on_tracks), tracks)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._hand_over(self._on_diagnostics), others)
        node.create_subscription(ParameterEvent, "/parameter_events", self._hand_over(self._on_parameter_event), others)

    async def close(self) -> None:
        """Ends the tasks in the event loop."""
        self._is_closed = True  # before Python 3.12, `wait_for` may swallow the cancellation
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Requests of the server

    @property
    def parameters(self) -> list[Json]:
        """The tracker's live parameters."""
        return self._parameters.rows

    def watch(self, on: bool) -> None:
        """Sets whether any page is visible; without one the node does not subscribe to images."""
        if on != self._watched:
            self._watched = on
            self._camera.take(on)
            self._poll_now.set()

    async def choose_camera(self, topic: str) -> str:
        """Shows another camera on all pages; raises LookupError if the topic has no publisher."""
        if topic not in self._surroundings.cameras:
            known = ", ".join(self._surroundings.cameras) or "none"
            raise LookupError(f"nobody publishes images on {topic}; there are: {known}")
        self._camera.choose(topic)
        return f"showing {topic}"

    async def set_target(self, box: Sequence[float], stamp: Stamp, target: int, topic: str) -> str:
        """Sets a target by its box on the image of this stamp; returns the tracker's answer.

        Raises:
            RuntimeError: if the tracker refuses; the message is the tracker's.
            ValueError: if the image is not from the tracker's camera.
            ConnectionError, TimeoutError: if there is no tracker, or no answer.
        """
        listens = self._diagnosis[2].get("image topic", "")
        if listens and _base(topic) != _base(listens):
            raise ValueError(f"this picture is of {topic}, and the tracker listens to {listens}; choose that camera")
        x, y, width, height = box
        request = SetTarget.Request(x=x, y=y, width=width, height=height, target_id=target)
        request.stamp.sec, request.stamp.nanosec = stamp
        return _message(await self._then_poll(self._set, request))

    async def remove_target(self, target: int) -> str:
        """Removes a target; raises as `set_target` does."""
        answer = _message(await self._then_poll(self._remove, RemoveTarget.Request(target_id=target)))
        self._removed[target] = time.monotonic()
        self._set_targets(self._targets)
        return answer

    async def pause(self, on: bool) -> str:
        """Pauses the tracker or resumes it; raises as `set_target` does."""
        return _message(await self._then_poll(self._pause, SetBool.Request(data=on)))

    async def set_parameter(self, name: str, value: bool | int | float | str) -> str:
        """Changes a live parameter; raises ValueError if the tracker refuses, and as `set_target` does."""
        await self._parameters.set(name, value)
        self.on_parameters()
        return f"{name} is {value}"

    def note_image_error(self, reason: str) -> None:
        """Makes the page show why an image cannot be displayed."""
        self._image_error = reason

    def state(self) -> Json:
        """The state for the page; a few hundred bytes."""
        now = time.monotonic()
        came, message, values = self._diagnosis
        figures = {name: values.get(key) for key, name in _FIGURES.items()} if now - came < _OLD else {}
        recent = [entry for entry in self._recent if now - entry[0] < _RECENT]
        camera = {
            "topic": self._camera.topic,
            "age": None if self._image_at is None else round(now - self._image_at, 2),
            "error": self._image_error,
        }
        tracker = {
            "present": self._is_present,
            "paused": self._is_paused,
            "topic": values.get("image topic"),
            "message": message if figures else "",
            "rate": round(len(recent) / _RECENT, 1),
            "delay_ms": round(1e3 * statistics.median(entry[1] for entry in recent), 1) if recent else None,
            "computing_ms": round(1e3 * statistics.median(entry[2] for entry in recent), 1) if recent else None,
            **figures,
        }
        targets = [track_fields(track) for track in self._targets]
        cameras = list(self._surroundings.cameras)
        return {"now": now, "camera": camera, "cameras": cameras, "tracker": tracker, "targets": targets}

    async def ask(self, client: Client, request: Any, timeout: float = TIMEOUT) -> Any:
        """Calls a service.

        Raises:
            ConnectionError: if it is not available.
            TimeoutError: if there is no answer in time.
        """
        if not client.service_is_ready():
            raise ConnectionError(f"no service {client.srv_name}; is the tracker running?")
        answer = self._loop.create_future()
        pending = client.call_async(request)
        pending.add_done_callback(lambda done: self._loop.call_soon_threadsafe(_settle, answer, done))
        try:
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            raise TimeoutError(f"no answer of {client.srv_name} within {timeout:g} s") from None
        finally:
            client.remove_pending_request(pending)

    # Messages

    def _on_image(self, topic: str, image: Any) -> None:
        if topic != self._pairing.topic:
            self._pairing.begin(topic)
        self._image_at, self._image_error = time.monotonic(), ""
        self._show(self._pairing.add_image(image))

    def _on_tracks(self, array: TrackArray) -> None:
        self._set_targets(array.tracks)
        self.history.add(array.tracks)
        if array.tracks:
            track = array.tracks[0]
            delay = track.latency.sec + track.latency.nanosec / 1e9
            self._recent.append((time.monotonic(), delay, track.processing_time))
        self._show(self._pairing.add_tracks(array))

    def _set_targets(self, tracks: Sequence[Track]) -> None:
        """Sets the page's list of targets. Tracks sent before a removal do not bring the target back."""
        now = time.monotonic()
        self._removed = {target: at for target, at in self._removed.items() if now - at < _LATE}
        self._targets = [track for track in tracks if track.target_id not in self._removed]

    def _show(self, what: Shown | TrackArray | None) -> None:
        if isinstance(what, Shown):
            self.on_shown(what)
        elif what is not None:
            self.on_late_tracks(what)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name == f"{self.name}: tracker":
                values = {value.key: value.value for value in status.values}
                self._diagnosis = time.monotonic(), status.message, values
                self._camera.follow(values.get("image topic", ""))

    def _on_parameter_event(self, event: ParameterEvent) -> None:
        if event.node == self.name:
            self._parameters.are_stale = True
            self._poll_now.set()

    def _on_look(self, surroundings: Surroundings) -> None:
        if surroundings.camera != self._surroundings.camera:
            self._image_at = None
        self._surroundings = surroundings

    # Polling

    async def _poll_forever(self) -> None:
        while not self._is_closed:
            was_present, self._is_present = self._is_present, self._set.service_is_ready()
            if not self._is_present:
                self._targets, self._is_paused = [], False
            self._parameters.are_stale |= self._is_present and not was_present
            if self._watched and self._is_present:
                await self._poll()
            try:
                await asyncio.wait_for(self._poll_now.wait(), _POLL)
            except TimeoutError:
                continue
            self._poll_now.clear()

    async def _poll(self) -> None:
        """Polls what the tracker does not publish: changes of the targets without an image, the pause, parameters."""
        try:
            answer = await self.ask(self._list, ListTargets.Request())
            if answer.success:
                self._set_targets(answer.tracks)
                self._is_paused = answer.paused
            if await self._parameters.refresh():
                self.on_parameters()
        except (ConnectionError, TimeoutError) as error:  # it is gone, or busy loading
            self._node.get_logger().debug(str(error))

    async def _then_poll(self, client: Client, request: Any) -> Any:
        try:
            return await self.ask(client, request)
        finally:
            self._poll_now.set()

    def _client(self, node: Node, tracker: str, service_type: type, name: str) -> Client:
        return node.create_client(service_type, f"{tracker}/{name}")

    def _hand_over(self, callback: Callable[..., None]) -> Callable[..., None]:
        """A callback for the executor that calls `callback` in the event loop."""

        def hand_over(*arguments: Any) -> None:
            self._loop.call_soon_threadsafe(callback, *arguments)

        return hand_over


def _settle(answer: asyncio.Future[Any], done: Any) -> None:
    if answer.done():
        return
    if done.exception() is not None:
        answer.set_exception(done.exception())
    else:
        answer.set_result(done.result())


def _message(response: Any) -> str:
    if not response.success:
        raise RuntimeError(response.message)
    return response.message


def _base(topic: str) -> str:
    return topic.removesuffix("/compressed")
