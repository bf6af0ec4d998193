# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Services that answer every request, even in a burst or when a callback raises.

Two things would leave a client waiting forever. By default the middleware keeps ten requests of a service and silently
drops older ones. And if a callback raises, as rclpy's own do for an impossible lifecycle transition or an unknown
parameter type, no answer is sent. Here thousands of requests can wait, and an exception becomes a refusal in the
service's response type.
"""

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.service import Service

try:
    from type_description_interfaces.srv import GetTypeDescription
except ImportError:  # before Jazzy
    GetTypeDescription = None

Handler: TypeAlias = Callable[[Any, Any], Any]  # (request, response to fill) -> the response or a coroutine

SERVICE_QOS = QoSProfile(depth=5000)  # requests that wait while the node is busy
_LOG_INTERVAL = 5.0  # s between two messages about refused requests
# A client's queue holds ten answers by default, so the answers to a burst are spaced for the client to read them.
_BURST, _BURST_SECONDS, _SPACING = 5, 0.1, 0.005  # answers within this many s; then s between two answers


def serve(node: Node, srv_type: Any, name: str, handler: Handler, group: CallbackGroup | None = None) -> Service:
    """Creates a service on `node` that answers every request; `handler` may be a coroutine function."""
    callback = _Answering(node, srv_type, node.resolve_service_name(name), handler).callback()
    return node.create_service(srv_type, name, callback, qos_profile=SERVICE_QOS, callback_group=group)


def answer_always(node: Node) -> None:
    """Makes each service that rclpy created for `node` answer every request; call it in the constructor.

    A refused parameter's result holds the reason. Other responses keep their initial values, such as an empty list; the
    log has the reason.
    """
    for service in list(node.services):
        if service.srv_type is GetTypeDescription:
            _deepen(node, service)
        else:
            service.callback = _Answering(node, service.srv_type, service.srv_name, service.callback).callback()


def _deepen(node: Node, service: Service) -> None:
    """Replaces rclpy's service of type descriptions, whose queue holds ten requests and cannot be set."""
    handler = service.callback
    # The handler works without its service, which must be removed: two services of one name would both answer.
    original = node._type_description_service._type_description_srv
    if original is not None:
        original.destroy_when_not_in_use()
    node.destroy_service(service)
    serve(node, service.srv_type, f"~/{service.srv_name.rpartition('/')[2]}", handler)


class Spacing:
    """Spaces the answers to a burst, so that the client can read them; call it before each answer."""

    def __init__(self) -> None:
        self._answered: deque[float] = deque(maxlen=_BURST)  # time.monotonic() of the last answers

    def __call__(self) -> None:
        """Waits briefly after many answers in a row."""
        now = time.monotonic()
        if len(self._answered) == _BURST and now - self._answered[0] < _BURST_SECONDS:
            time.sleep(_SPACING)
        self._answered.append(now)


class _Answering:
    """Wraps one service's handler."""

    def __init__(self, node: Node, srv_type: Any, name: str, handler: Handler) -> None:
        self._logger = node.get_logger()
        self._type = srv_type
        self._name = name
        self._handler = handler
        self._space = Spacing()

    def callback(self) -> Handler:
        """The callback for rclpy."""
        if self._type is SetParameters:
            return self._answer_each
        return self._answer_later if inspect.iscoroutinefunction(self._handler) else self._answer

    def _answer(self, request: Any, response: Any) -> Any:
        try:
            response = self._handler(request, response)
        except Exception as error:  # the boundary: the caller gets the reason
            response = self._refuse(request, error)
        self._space()
        return response

    async def _answer_later(self, request: Any, response: Any) -> Any:
        try:
            response = await self._handler(request, response)
        except Exception as error:  # the boundary, as above
            response = self._refuse(request, error)
        self._space()
        return response

    def _answer_each(self, request: Any, response: Any) -> Any:
        """Sets each parameter on its own: a refused one does not affect the others."""
        for parameter in request.parameters:
            single = SetParameters.Request(parameters=[parameter])
            try:
                results = self._handler(single, SetParameters.Response()).results
            except Exception as error:  # the boundary, as above
                results = self._refuse(single, error).results
            response.results.extend(results)
        self._space()
        return response

    def _refuse(self, request: Any, error: Exception) -> Any:
        reason = f"{type(error).__name__}: {error}"
        self._logger.error(f"Request of {self._name} refused: {reason}", throttle_duration_sec=_LOG_INTERVAL)
        response = self._type.Response()
        result = SetParametersResult(successful=False, reason=reason)
        if self._type is SetParameters:
            response.results = [result] * len(request.parameters)
        elif self._type is SetParametersAtomically:
            response.result = result
        return response
