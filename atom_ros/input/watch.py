# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Reports inputs that never arrive, the topics that exist instead, and the remedy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

PATIENCE = 3.0  # s until an input counts as missing; a discovered camera's first message takes less
_SHOWN = 5  # topics named in a message

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"


@dataclass(frozen=True)
class Offer:
    """A publisher: its message type, its QoS and its node."""

    message_type: str
    qos: QoSProfile
    node: str


@dataclass
class Input:
    """One of the node's inputs.

    Attributes:
        name: the topic's name before remapping, such as "image".
        topic: full name.
        message_type: the expected type.
        received: returns the number of messages so far.
        is_wanted: whether an output needs it now; otherwise only an unusable publisher is a fault.
        qos: of the node's subscription; None if it matches every publisher.
    """

    name: str
    topic: str
    message_type: str
    received: Callable[[], int]
    is_wanted: Callable[[], bool] = lambda: True
    qos: Callable[[], QoSProfile] | None = None
    said: str = field(default="", init=False)


def camera_info_topic(node: Node, image: str) -> str:
    """The calibration's topic: the one that `camera_info` is remapped to, else the one beside the image, as drivers do.

    Args:
        node: whose remappings apply.
        image: full name of the image's topic, without a transport's suffix.
    """
    resolved = node.resolve_topic_name("camera_info")
    is_remapped = resolved != f"{node.get_namespace().rstrip('/')}/camera_info"
    return resolved if is_remapped else f"{image.rpartition('/')[0]}/camera_info"


class InputWatch:
    """Checks the node's inputs periodically."""

    def __init__(self, node: Node, inputs: Sequence[Input], clock: Callable[[], float] = time.monotonic) -> None:
        """Args: `clock` gives seconds and never goes back."""
        self._node = node
        self._inputs = inputs
        self._clock = clock
        self._since = {entry.name: clock() for entry in inputs}
        self._counts = {entry.name: entry.received() for entry in inputs}
        self._begun = dict(self._counts)

    def check(self) -> dict[str, str]:
        """The fault of each input, "" without one.

        A missing input is also logged: once, and again only when the reason changes.
        """
        return {entry.name: self._check(entry) for entry in self._inputs}

    def _check(self, entry: Input) -> str:
        now, count = self._clock(), entry.received()
        never_came = count == self._begun[entry.name]
        if count != self._counts[entry.name]:
            self._counts[entry.name], self._since[entry.name] = count, now
        if now - self._since[entry.name] < PATIENCE or (not never_came and entry.message_type == CAMERA_INFO):
            return ""  # a latched calibration comes only once
        offers = [
            Offer(p.topic_type, p.qos_profile, f"{p.node_namespace.rstrip('/')}/{p.node_name}")
            for p in self._node.get_publishers_info_by_topic(entry.topic)
        ]
        if not offers and not entry.is_wanted():
            return ""
        reason = explain(entry, offers, self._published())
        if never_came and entry.said != reason:
            entry.said = reason
            self._node.get_logger().warning(f"No {entry.name}: {reason}")
        return reason

    def _published(self) -> dict[str, list[str]]:
        """The topics that another node publishes, with their types; one that is only subscribed to is no remedy."""
        own = self._node.get_fully_qualified_name() + "/"
        return {
            name: types
            for name, types in self._node.get_topic_names_and_types()
            if not name.startswith(own) and self._node.count_publishers(name)
        }


def explain(entry: Input, offers: Sequence[Offer], topics: Mapping[str, Sequence[str]]) -> str:
    """Explains why an input gets no messages, and what to change.

    Args:
        entry: the input.
        offers: the publishers of its topic.
        topics: those that are published, with their types.
    """
    fitting = [offer for offer in offers if offer.message_type == entry.message_type]
    if not offers:
        return f"nobody publishes {entry.topic}; {_others(entry, topics)}"
    if not fitting:
        return _of_another_type(entry, offers[0], topics)
    qos = entry.qos() if entry.qos is not None else None
    if qos is not None and not any(_fits(qos, offer.qos) for offer in fitting):
        return (
            f"{fitting[0].node} publishes {entry.topic} as {_name(fitting[0].qos)}, the node asks for {_name(qos)}; "
            "set qos.reliability to auto and qos.durability to volatile"
        )
    return f"{fitting[0].node} publishes {entry.topic}, but sends nothing"


def _of_another_type(entry: Input, offer: Offer, topics: Mapping[str, Sequence[str]]) -> str:
    text = f"{entry.topic} carries {offer.message_type} (of {offer.node}), not {entry.message_type}; "
    if (entry.message_type, offer.message_type) == (IMAGE, COMPRESSED):
        base = entry.topic.removesuffix("/compressed")
        if entry.name != "image":
            return text + "only raw images are read here"
        if base != entry.topic:
            return text + f"set image_transport:=compressed and {entry.name}:={base}"
        return text + "set image_transport:=compressed, and publish it on <image>/compressed"
    if (entry.message_type, offer.message_type) == (COMPRESSED, IMAGE):
        return text + "set image_transport:=raw"
    return text + _others(entry, topics)


def _others(entry: Input, topics: Mapping[str, Sequence[str]]) -> str:
    names = sorted(name for name, types in topics.items() if entry.message_type in types and name != entry.topic)
    if names:
        more = ", ..." if len(names) > _SHOWN else ""
        ending = "/compressed" if entry.message_type == COMPRESSED else ""
        value = names[0].removesuffix(ending)
        verb = "is" if len(names) == 1 else "are"
        return f"there {verb} {', '.join(names[:_SHOWN])}{more}: remap it, as by {entry.name}:={value}"
    other_type, transport = {IMAGE: (COMPRESSED, "compressed"), COMPRESSED: (IMAGE, "raw")}.get(
        entry.message_type, ("", "")
    )
    others = sorted(name for name, types in topics.items() if other_type in types)
    if others and entry.name == "image":
        return (
            f"there is {others[0]} ({other_type}): set image_transport:={transport} and "
            f"{entry.name}:={others[0].removesuffix('/compressed')}"
        )
    return f"there is no topic with {entry.message_type}; is the camera running, in this ROS_DOMAIN_ID?"


def _fits(asked: QoSProfile, offered: QoSProfile) -> bool:
    return not (
        (asked.reliability == ReliabilityPolicy.RELIABLE and offered.reliability == ReliabilityPolicy.BEST_EFFORT)
        or (asked.durability == DurabilityPolicy.TRANSIENT_LOCAL and offered.durability == DurabilityPolicy.VOLATILE)
    )


def _name(qos: QoSProfile) -> str:
    return f"{qos.reliability.name.lower()} and {qos.durability.name.lower()}"
