# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A camera as a process of its own, whose target's place follows from the image's stamp alone.

So a camera that is started again, and a tracker that is, go on with the same moving target:
`python moving_camera.py <namespace> <amplitude, px>`.
"""

from __future__ import annotations

import array
import math
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

WIDTH, HEIGHT, SIDE = 320, 240, 48
_PERIOD = 6.0  # s, of the target's movement to and fro
_RATE = 10.0  # images a second


def target_box(stamp: int, amplitude: float) -> tuple[float, float, float, float]:
    """The box at a stamp in ns. A search region reaches 96 px beyond the target's last place to each side."""
    x = WIDTH / 2 - SIDE / 2 + amplitude * math.sin(2 * math.pi * stamp / 1e9 / _PERIOD)
    return round(x) - 0.5, HEIGHT / 2 - SIDE / 2 - 0.5, float(SIDE), float(SIDE)


def start(namespace: str, amplitude: float) -> subprocess.Popen:
    """Starts the camera."""
    return subprocess.Popen([sys.executable, str(Path(__file__)), namespace, str(amplitude)])


def _texture(rng: np.random.Generator, width: int, height: int, cells: int) -> np.ndarray:
    coarse = rng.integers(40, 216, (cells, cells), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """The background and the target, grey."""
    rng = np.random.default_rng(3)
    return _texture(rng, WIDTH, HEIGHT, 8) // 2, _texture(rng, SIDE, SIDE, 6)


def main() -> None:
    """Publishes until the process is ended."""
    namespace, amplitude = sys.argv[1], float(sys.argv[2])
    background, patch = scene()
    rclpy.init()
    node = Node("camera", namespace=namespace)
    publisher = node.create_publisher(Image, "image", QoSProfile(depth=5))

    def publish() -> None:
        stamp = time.time_ns()
        x, y, _, _ = target_box(stamp, amplitude)
        image = background.copy()
        image[round(y + 0.5) : round(y + 0.5) + SIDE, round(x + 0.5) : round(x + 0.5) + SIDE] = patch
        message = Image(width=WIDTH, height=HEIGHT, step=WIDTH, encoding="mono8")
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
        message.data = array.array("B", image.tobytes())
        publisher.publish(message)

    node.create_timer(1 / _RATE, publish)
    rclpy.spin(node)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, ExternalShutdownException):
        sys.exit(0)
