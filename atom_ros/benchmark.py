# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What the node costs beside the tracker: `python -m atom_ros.benchmark --size 640x480 --fps 30 --seconds 10`.

Three processes, as on a robot: a camera, the node, and this one, which listens. The overhead of an image is the time
from its publication to the arrival of its Track message here, less the tracker's own computing time. It is measured
without a target (transport and node alone) and with one (waiting for the tracker's processor cores included).
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from atom_ros.frame_buffer import NANOSECONDS, to_nanoseconds
from atom_ros.images import image_message
from atom_tracker.msg import Track
from atom_tracker.srv import SetTarget

_NAMESPACE = "/benchmark"
_TIMEOUT = 180.0  # s, for the node to load and to learn a target on a busy machine
_TARGET = 0.15  # side of the target, as a share of the image's height
_PHASES = ("idle", "tracking")
_CYCLE = 60  # images after which the target is back where it began


def main() -> int:
    """Measures, prints two lines, and returns the exit status."""
    arguments = _parse_arguments()
    command = [sys.executable, "-m", "atom_ros.tracker_node", "--ros-args", "-r", f"__ns:={_NAMESPACE}"]
    for name in ("weights", "device"):
        command += ["-p", f"{name}:={getattr(arguments, name)}"]
    command += ["-p", f"qos.reliability:={arguments.reliability}"]
    tracker = subprocess.Popen(command)
    rclpy.init()
    listener = Listener(tracker)
    try:
        for phase in arguments.phases:
            print(_measure(listener, phase, arguments), flush=True)
    finally:
        listener.close()
        rclpy.try_shutdown()
        tracker.terminate()
        tracker.wait()
    return 0


class Listener:
    """Receives what the node publishes, in a thread of its own."""

    def __init__(self, tracker: subprocess.Popen) -> None:
        self._tracker = tracker
        self.overhead_ms: list[float] = []
        self.processing_ms: list[float] = []
        self.counts: dict[str, int] = {}  # of the newest diagnostics
        self.last_arrival = 0.0  # time.monotonic()
        self._node = Node("listener", namespace=_NAMESPACE)
        self._node.create_subscription(Track, "tracker/track", self._on_track, 100)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._set_target = self._node.create_client(SetTarget, "tracker/set_target")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits; raises RuntimeError if the tracker's process ends meanwhile, TimeoutError if that takes too long."""

        def is_done() -> bool:
            if self._tracker.poll() is not None:
                raise RuntimeError(f"the tracker ended with status {self._tracker.returncode}, before {what}")
            return condition()

        wait_until(is_done, what)

    def set_target(self, box: tuple[float, ...]) -> None:
        """Sets the target on the newest image; raises RuntimeError if it is refused."""
        x, y, width, height = box
        self.wait_until(self._set_target.service_is_ready, "the service set_target")
        future = self._set_target.call_async(SetTarget.Request(x=x, y=y, width=width, height=height))
        self.wait_until(future.done, "the answer of set_target")
        if not future.result().success:
            raise RuntimeError(f"set_target was refused: {future.result().message}")

    def clear(self) -> None:
        """Forgets the images measured so far."""
        self.overhead_ms.clear()
        self.processing_ms.clear()

    def close(self) -> None:
        """Ends the thread."""
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()

    def _on_track(self, track: Track) -> None:
        now = time.time_ns()
        self.last_arrival = time.monotonic()
        self.overhead_ms.append((now - to_nanoseconds(track.header.stamp)) / 1e6 - track.processing_ms)
        self.processing_ms.append(track.processing_ms)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        values = {value.key: value.value for value in message.status[0].values}
        self.counts = {key: int(values[key]) for key in ("received", "processed", "dropped", "failed")}


def _measure(listener: Listener, phase: str, arguments: argparse.Namespace) -> str:
    """Runs one camera from beginning to end, and puts what was seen in a line."""
    context = multiprocessing.get_context("spawn")
    go = context.Event()
    width, height = arguments.size
    images = round(arguments.fps * arguments.seconds)
    camera = context.Process(target=run_camera, args=(width, height, arguments.fps, images, arguments.reliability, go))
    camera.start()
    try:
        listener.clear()
        listener.wait_until(lambda: len(listener.overhead_ms) >= 3, "the first Track messages")
        if phase == "tracking":
            listener.set_target(target_box(0, width, height))
        _settle(listener)
        before = dict(listener.counts)
        listener.clear()
        go.set()
        camera.join()
        _settle(listener)
    finally:
        camera.kill()
    received, dropped = (listener.counts[key] - before[key] for key in ("received", "dropped"))
    overhead = np.percentile(listener.overhead_ms, (50, 95))
    processing = np.median(listener.processing_ms)
    return (
        f"{width}x{height} {arguments.fps:g} Hz {arguments.reliability} {phase}: "
        f"overhead {overhead[0]:.1f} ms median, {overhead[1]:.1f} ms p95; processing {processing:.1f} ms median; "
        f"{images} images published, {images - received} lost on the way, {dropped} dropped by the node, "
        f"{len(listener.overhead_ms)} tracks"
    )


def _settle(listener: Listener) -> None:
    """Waits until no Track has come for so long that the diagnostics (once a second) know of them all."""
    listener.wait_until(lambda: time.monotonic() - listener.last_arrival > 2.5, "the end of the images")


def run_camera(width: int, height: int, fps: float, images: int, reliability: str, go: Event) -> None:
    """The camera's process: the first image until every subscriber is there and `go` is set, then all of them."""
    rclpy.init()
    node = Node("camera", namespace=_NAMESPACE)
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy[reliability.upper()])
    publisher = node.create_publisher(Image, "image", qos)
    messages = [image_message(Header(frame_id="camera"), scene(i, width, height), "bgr8") for i in range(_CYCLE)]

    def publish(message: Image) -> None:
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), NANOSECONDS)
        publisher.publish(message)

    wait_until(lambda: publisher.get_subscription_count() > 0, "the node's subscription")
    for _ in range(20):
        publish(messages[0])
        time.sleep(0.2)
    go.wait()
    start = time.monotonic()
    for i in range(images):
        time.sleep(max(0.0, start + i / fps - time.monotonic()))
        publish(messages[i % _CYCLE])
    time.sleep(1.0)  # for what a reliable publisher has still to send again
    node.destroy_node()
    rclpy.shutdown()


def target_box(index: int, width: int, height: int) -> tuple[float, float, float, float]:
    """The target's box in image number `index`: once round a circle in `_CYCLE` images."""
    side = round(_TARGET * height)
    angle = 2 * np.pi * index / _CYCLE
    x = round(width / 2 - side / 2 + 0.2 * height * np.cos(angle))
    y = round(height / 2 - side / 2 + 0.2 * height * np.sin(angle))
    return x - 0.5, y - 0.5, float(side), float(side)


def scene(index: int, width: int, height: int) -> np.ndarray:
    """Image number `index`, (height, width, 3) uint8: a textured square moving over a dim textured background."""
    generator = np.random.default_rng(0)
    image = _texture(generator, width, height, 24) // 2
    x, y, side, _ = target_box(index, width, height)
    first_row, first_column, side = round(y + 0.5), round(x + 0.5), round(side)
    patch = _texture(generator, side, side, 4)
    image[first_row : first_row + side, first_column : first_column + side] = patch
    return image


def _texture(generator: np.random.Generator, width: int, height: int, cells: int) -> np.ndarray:
    coarse = generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Raises TimeoutError, naming `what`, if the condition does not come true."""
    deadline = time.monotonic() + _TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_TIMEOUT:g} s in vain for {what}")
        time.sleep(0.02)


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=_size, default=(640, 480), help="of the images, WIDTHxHEIGHT (640x480)")
    parser.add_argument("--fps", type=float, default=30.0, help="images a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each of the two measurements (%(default)s)")
    parser.add_argument("--phases", nargs="+", choices=_PHASES, default=_PHASES, help="what to measure (both)")
    parser.add_argument("--reliability", choices=("best_effort", "reliable"), default="best_effort")
    parser.add_argument("--weights", default="default", help="as the node's parameter (%(default)s)")
    parser.add_argument("--device", default="auto", help="as the node's parameter (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
