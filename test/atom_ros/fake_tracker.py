# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A tracker's services and Tracks without a network, for the tests of what stands around a tracker."""

from __future__ import annotations

import threading

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from atom_tracker.msg import Track
from atom_tracker.srv import RemoveTarget, SetTarget


class FakeTracker:
    """Accepts every box that is at least 1 px wide, keeps the requests, and publishes what a test asks for."""

    def __init__(self, namespace: str = "/", name: str = "tracker") -> None:
        self.requests: list[SetTarget.Request] = []
        self.refusal: str | None = None
        self.cleared = 0
        self.followed: set[int] = set()
        self.answer = threading.Event()  # while it is not set, set_target does not answer
        self.answer.set()
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = Node(name, namespace=namespace, context=self._context)
        self.node.create_service(SetTarget, "~/set_target", self._on_set)
        self.node.create_service(Trigger, "~/clear_target", self._on_clear)
        self.node.create_service(RemoveTarget, "~/remove_target", self._on_remove)
        self._tracks = self.node.create_publisher(Track, "~/track", 10)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.answer.set()
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def listeners(self) -> int:
        return self._tracks.get_subscription_count()

    def publish(self, status: int, target_id: int = 1, stamp: int = 1, box: tuple[float, ...] | None = None) -> Track:
        """Publishes a Track of the image with this stamp, in seconds."""
        track = Track(status=status, target_id=target_id)
        track.header.stamp.sec = stamp
        if box is not None:
            track.x, track.y, track.width, track.height = map(float, box)
        self._tracks.publish(track)
        return track

    def _on_set(self, request: SetTarget.Request, response: SetTarget.Response) -> SetTarget.Response:
        self.answer.wait()
        self.requests.append(request)
        if self.refusal or request.width < 1:
            response.message = self.refusal or "box is too narrow"
            return response
        response.success, response.target_id = True, len(self.requests)
        self.followed.add(response.target_id)
        return response

    def _on_clear(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.cleared += 1
        self.followed.clear()
        response.success = True
        return response

    def _on_remove(self, request: RemoveTarget.Request, response: RemoveTarget.Response) -> RemoveTarget.Response:
        response.success = request.target_id in self.followed
        response.message = "" if response.success else f"there is no target {request.target_id}"
        self.followed.discard(request.target_id)
        return response
