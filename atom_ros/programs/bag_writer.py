# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The results of a recording as a bag: a Track message for each image and target. ROS is not needed."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rosbags.interfaces import Connection, ConnectionExtRosbag2
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from atom_core.offline.frames import SourceFrame
from atom_core.offline.results import FrameResult, TargetResult, TargetState
from atom_ros.programs.bag_images import BagFrame, BagImages
from atom_ros.programs.bag_rows import BagMessage

TRACK_TYPE = "atom_tracker/msg/Track"
_VERSION: Final = 8  # of the bag; older readers cannot read the quality of service of newer versions
_NO_BOX = (math.nan,) * 4


class BagSink:
    """A bag that is written beside its final place and moved there when complete; see `atom_core.offline.sinks.Sink`.

    Each message has the log time and the header of its image.
    """

    def __init__(self, path: Path, storage: str, topic: str, images: BagImages, copied: Sequence[Connection]) -> None:
        """Starts a bag.

        Args:
            path: of the bag's folder.
            storage: "sqlite3" or "mcap".
            topic: of the Track messages.
            images: the source of the frames.
            copied: topics of the input whose messages are copied.

        Raises:
            ValueError: if the topic is among the copied ones.
        """
        if any(connection.topic == topic for connection in copied):
            raise ValueError(f"the bag holds {topic} already; choose another name with --track-topic")
        self.path = path
        self._part = path.with_name(f"{path.name}.part")
        self._images = images
        self._typestore = track_typestore()
        self._last_target = 0
        shutil.rmtree(self._part, ignore_errors=True)
        with self._named_errors():
            # The files in a bag are named after its folder, so the folder has its final name already.
            self._writer = Writer(
                self._part / path.name, version=_VERSION, storage_plugin=StoragePlugin[storage.upper()]
            )
            self._writer.open()
            self._tracks = self._writer.add_connection(topic, TRACK_TYPE, typestore=self._typestore)
            self._copied: dict[tuple[str, str], Connection] = {}
            for connection in copied:  # each file of a damaged bag has its own connection
                if _key(connection) not in self._copied:
                    self._try_to_add(connection)

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Appends the frame's messages; the frame must be a bag's."""
        if not isinstance(frame, BagFrame):
            raise TypeError(f"expected a BagFrame, which holds its message, and got {type(frame).__name__}")
        with self._named_errors():
            self._copy(*frame.others, frame.message)
            if result.error is not None:
                return
            for target in result.targets or (None,):
                message = self._track(frame.header, target, result.processing_ms)
                data = self._typestore.serialize_cdr(message, TRACK_TYPE)
                self._writer.write(self._tracks, frame.message[1], data)

    def close(self) -> None:
        """Completes the bag and moves it to its final place."""
        with self._named_errors():
            self._copy(*self._images.rest)
            self._writer.close()
            if self.path.exists():
                shutil.rmtree(self.path)
            os.replace(self._part / self.path.name, self.path)
            self._part.rmdir()

    def discard(self) -> None:
        """Removes the bag."""
        self._writer.abort()
        shutil.rmtree(self._part, ignore_errors=True)

    def _try_to_add(self, connection: Connection) -> None:
        try:
            self._copied[_key(connection)] = self._add(connection)
        except (TypesysError, KeyError) as error:  # the bag lacks its definition, and it is not a standard type
            print(f"{connection.topic} is not copied: {connection.msgtype} is not known ({error})", file=sys.stderr)

    def _add(self, connection: Connection) -> Connection:
        known = {"msgdef": connection.msgdef.data, "rihs01": connection.digest}
        kind = known if all(known.values()) else {"typestore": self._typestore}
        ext = connection.ext
        assert isinstance(ext, ConnectionExtRosbag2), "bags of ROS 1 are refused"
        qos, form = ext.offered_qos_profiles, ext.serialization_format
        return self._writer.add_connection(
            connection.topic, connection.msgtype, offered_qos_profiles=qos, serialization_format=form, **kind
        )

    def _copy(self, *messages: BagMessage) -> None:
        for connection, stamp, data in messages:
            if _key(connection) in self._copied:
                self._writer.write(self._copied[_key(connection)], stamp, data)

    def _track(self, header: Any, target: TargetResult | None, processing_ms: float) -> Any:
        make: Mapping[str, Any] = self._typestore.types
        kind = make[TRACK_TYPE]
        no_time = make["builtin_interfaces/msg/Duration"](sec=0, nanosec=0)  # nothing is published
        if target is None:
            nan = math.nan
            return kind(header, self._last_target, kind.IDLE, *_NO_BOX, nan, nan, nan, no_time, 0.0)
        self._last_target = target.target_id
        status = kind.TRACKING if target.state is TargetState.GIVEN else getattr(kind, target.state.name)
        box = target.box or _NO_BOX
        seen = target.confidence, target.score, target.iou
        return kind(header, target.target_id, status, *box, *seen, no_time, processing_ms / 1000.0)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, WriterError) as error:
            raise OSError(f"the bag {self._part} cannot be written: {error}") from error


def _key(connection: Connection) -> tuple[str, str]:
    return connection.topic, connection.msgtype


def track_typestore() -> Typestore:
    """The standard messages and this package's Track.

    Raises:
        FileNotFoundError: if the definition is not installed.
    """
    typestore = get_typestore(Stores.ROS2_JAZZY)
    typestore.register(get_types_from_msg(_track_definition().read_text(), TRACK_TYPE))
    return typestore


def _track_definition() -> Path:
    checkout = Path(__file__).resolve().parents[2] / "msg" / "Track.msg"
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    installed = [Path(prefix) / "share" / "atom_tracker" / "msg" / "Track.msg" for prefix in prefixes if prefix]
    for path in (checkout, *installed):
        if path.is_file():
            return path
    raise FileNotFoundError(
        "atom_tracker's msg/Track.msg is not found; open the ROS workspace: source install/setup.bash"
    )
