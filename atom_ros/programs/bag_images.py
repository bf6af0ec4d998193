# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The images of a bag as the frames of a recording."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from atom_core.data.images import PixelRange
from atom_core.offline.frames import SourceFrame
from atom_core.offline.results import NANOSECONDS
from atom_ros.images import to_rgb
from atom_ros.programs.bag_reader import BagReader
from atom_ros.programs.bag_rows import BagMessage

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_FPS = 30.0  # of the annotated video, if the bag does not determine it


@dataclass(frozen=True)
class BagFrame(SourceFrame):
    """One image of a bag."""

    header: Any  # std_msgs/msg/Header; None if the message cannot be read
    message: BagMessage
    others: tuple[BagMessage, ...]  # messages of other topics since the previous image


class BagImages:
    """The images of one topic, in the order of their log times; see `atom_core.offline.frames.FrameSource`.

    Args:
        bag: open.
        topic: of the images; None if the bag has only one such topic.
        pixel_range: converts pixels of more than 8 bits.

    Raises:
        ValueError: if there is no such topic, or there are several; the message lists them.
    """

    def __init__(self, bag: BagReader, topic: str | None, pixel_range: PixelRange | None = None) -> None:
        self._bag = bag
        self.pixel_range = pixel_range or PixelRange()
        self.topic = _choose_topic(bag, topic)
        self.other_topics: frozenset[str] = frozenset()
        self.rest: tuple[BagMessage, ...] = ()  # messages of other topics after the last image
        self.typestore: Typestore = get_typestore(Stores.ROS2_JAZZY)
        self.name = f"{bag.path}, {self.topic}"
        self._count = _count(bag, self.topic)
        self.fps = self._count / bag.seconds if self._count > 1 and bag.seconds > 0 else _FPS

    @property
    def damage(self) -> str | None:
        """The damage found in the part of the bag read so far."""
        return self._bag.damage

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Generator[BagFrame]:
        others: list[BagMessage] = []
        index = 0
        for message in self._bag.messages({self.topic, *self.other_topics}):
            if message[0].topic != self.topic or not _is_image(message[0]):
                others.append(message)
                continue
            yield self._frame(index, message, tuple(others))
            others.clear()
            index += 1
        self.rest = tuple(others)

    def _frame(self, index: int, message: BagMessage, others: tuple[BagMessage, ...]) -> BagFrame:
        connection, _, data = message
        try:
            image: Any = self.typestore.deserialize_cdr(data, connection.msgtype)
        except Exception as error:  # the boundary to a library that may fail in any way on a damaged message
            return BagFrame(index, None, _raise(f"{self.name}, image {index}: {error}"), None, message, others)
        stamp = image.header.stamp.sec * NANOSECONDS + image.header.stamp.nanosec
        decode = partial(_decode, image, f"{self.name}, image {index}", self.pixel_range)
        return BagFrame(index, stamp, decode, image.header, message, others)


def _decode(message: Any, name: str, pixel_range: PixelRange) -> np.ndarray:
    try:
        image = to_rgb(message, pixel_range)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return image if image.flags.writeable else image.copy()  # PyTorch does not accept read-only arrays


def _raise(text: str) -> Callable[[], np.ndarray]:
    def decode() -> np.ndarray:
        raise ValueError(text)

    return decode


def _choose_topic(bag: BagReader, topic: str | None) -> str:
    counts = {c.topic: _count(bag, c.topic) for c in bag.connections if _is_image(c)}
    listed = ", ".join(f"{name} ({count} images)" for name, count in sorted(counts.items())) or "none"
    for c in bag.connections:
        if c.msgtype in IMAGE_TYPES and not _is_image(c):
            listed += f"; {c.topic} cannot be read, it is serialized as {_serialization(c)!r} instead of 'cdr'"
    if topic is not None:
        named = topic if topic.startswith("/") else f"/{topic}"
        if named not in counts:
            raise ValueError(f"{bag.path} has no images on {topic}; its image topics: {listed}")
        return named
    filled = {name for name, count in counts.items() if count}  # a damaged bag may not state the number
    if len(filled) == 1:
        return filled.pop()
    if len(counts) != 1:
        what = (
            f"has no images: {listed}" if not counts else f"has several image topics, choose one with --topic: {listed}"
        )
        raise ValueError(f"{bag.path} {what}")
    return next(iter(counts))


def _count(bag: BagReader, topic: str) -> int:
    return sum(c.msgcount for c in bag.connections if c.topic == topic and _is_image(c))


def _is_image(connection: Connection) -> bool:
    """Whether its messages are readable images; a topic may have several types."""
    return connection.msgtype in IMAGE_TYPES and _serialization(connection) == "cdr"


def _serialization(connection: Connection) -> str:
    """The messages' serialization format; a bag of ROS 1 does not name it."""
    return getattr(connection.ext, "serialization_format", "ros1")
