# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of noise for the tests of what reads them."""

from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
LOG_0 = 1_700_000_000_000_000_000
FRAMES = 20
STORAGES = ("sqlite3", "mcap")


def image(index: int, size: int = 300_000) -> bytes:
    """A serialized CompressedImage of noise, so that an mcap file has several chunks and a database many pages."""
    kinds = STORE.types
    header = kinds["std_msgs/msg/Header"](kinds["builtin_interfaces/msg/Time"](1, index), "camera")
    data = np.random.default_rng(index).integers(0, 256, size, np.uint8)
    message = kinds["sensor_msgs/msg/CompressedImage"](header, "jpeg", data)
    return STORE.serialize_cdr(message, "sensor_msgs/msg/CompressedImage")


def write(path: Path, storage: str, size: int = 300_000) -> Path:
    with Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        camera = writer.add_connection("/image", "sensor_msgs/msg/CompressedImage", typestore=STORE)
        for index in range(FRAMES):
            writer.write(camera, LOG_0 + index, image(index, size))
    return path


def file_of(bag: Path) -> Path:
    (file,) = [path for path in bag.iterdir() if path.suffix in (".db3", ".mcap")]
    return file
