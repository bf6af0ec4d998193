# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Answers to every request, also to those at which the services that rclpy makes itself raise.

A lifecycle transition that is not possible now, or a parameter whose type does not exist, raises inside rclpy. The
request then has no answer, and its client waits for ever. Here it is refused as the service's own type allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node
from rclpy.service import Service

Handler: TypeAlias = Callable[[Any, Any], Any]  # of a request, with the response to fill; returns that


def answer_always(node: Node) -> None:
    """Makes each service that `node` has by now answer whatever its callback raises; to be called in the constructor.

    Results of parameters say why they were refused. Other responses have their initial values: a transition has not
    succeeded, a list is empty. The reason is in the log.
    """
    for service in node.services:
        service.callback = _answering(service, node.get_logger())


def _answering(service: Service, logger: RcutilsLogger) -> Handler:
    handle = service.callback

    def refuse(request: Any, error: Exception) -> Any:
        reason = f"{type(error).__name__}: {error}"
        logger.error(f"Request of {service.srv_name} refused: {reason}")
        response = service.srv_type.Response()
        result = SetParametersResult(successful=False, reason=reason)
        if service.srv_type is SetParameters:
            response.results = [result] * len(request.parameters)
        elif service.srv_type is SetParametersAtomically:
            response.result = result
        return response

    def answer(request: Any, response: Any) -> Any:
        try:
            return handle(request, response)
        except Exception as error:  # the boundary: whoever asked is told
            return refuse(request, error)

    def answer_each(request: Any, response: Any) -> Any:
        """Parameters that are not set as a whole: one that is refused leaves the others alone."""
        for parameter in request.parameters:
            single = SetParameters.Request(parameters=[parameter])
            response.results.extend(answer(single, SetParameters.Response()).results)
        return response

    return answer_each if service.srv_type is SetParameters else answer
