# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Measures the node's overhead over the tracker: `python -m atom_ros.benchmark --size 640x480 --fps 30 --seconds 10`.

Three processes, as on a robot: a camera, the node, and this listener. The phases:

- idle: without a target, so transport and node alone. The overhead of an image is the time from its publication to the
  arrival of its Track message here, minus the tracker's computing time.
- tracking: with a target; the overhead is reported with and without the wait for the previous image.
- services: each service is called repeatedly while the tracker follows a target at full load.
- delay: whether results fall behind a camera that is faster than the tracker.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from atom_core.arguments import image_size
from atom_ros.benchmark.figures import Sample, Spread, delay_figures, overhead_figures
from atom_ros.frame_buffer import NANOSECONDS, to_nanoseconds
from atom_ros.images import image_message
from atom_tracker.msg import Track
from atom_tracker.srv import ListTargets, RemoveTarget, SetTarget

_NAMESPACE = "/benchmark"
_PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"
_TIMEOUT = 300.0  # s, for the node to load and to learn a target on a busy machine
_TARGET = 0.15  # side of the target, as a share of the image's height
_PHASES = ("idle", "tracking", "services", "delay")
_CYCLE = 60  # images in one cycle of the target's path
_COUNTS = ("received", "processed", "dropped", "failed", "duplicates", "out of order")  # in the diagnostics
_ATTEMPTS = 30  # to set a target
_PAUSES = (0.01, 0.06)  # s between two calls of a service: at any moment of the tracker's work
_DISCOVERY_SECONDS = 0.5  # for the middleware: the first answer to a new client takes it 80 ms


def main(argv: list[str] | None = None) -> int:
    """Measures, prints a few lines for each phase, and returns the exit status."""
    arguments = _parse_arguments(argv)
    results: dict[str, Any] = _describe(arguments, sys.argv[1:] if argv is None else argv)
    parameters = {name: getattr(arguments, name) for name in ("weights", "device")}
    try:
        with running_node(parameters | {"qos.reliability": arguments.reliability}) as (_, listener):
            for phase in arguments.phases:
                results["phases"][phase] = _measure(listener, phase, arguments)
                print("\n".join(_lines(phase, results["phases"][phase], arguments)), flush=True)
    except (RuntimeError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    if arguments.output:
        from atom_core.evaluation.store import write_whole

        write_whole(arguments.output, json.dumps(results, indent=1, allow_nan=False))
        print(f"written: {arguments.output}")
    return 0


class Listener:
    """Receives the node's messages and calls its services, in its own thread."""

    def __init__(self, tracker: subprocess.Popen) -> None:
        self._tracker = tracker
        self.samples: list[Sample] = []
        self.newest: Track | None = None
        self.counts: dict[str, int] = {}  # of the newest diagnostics
        self.last_arrival = 0.0  # time.monotonic()
        self._node = Node("listener", namespace=_NAMESPACE)
        self._node.create_subscription(Track, "tracker/track", self._on_track, 100)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._clients: dict[str, Client] = {}
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits; raises RuntimeError if the tracker's process ends first, TimeoutError if that takes too long."""

        def is_done() -> bool:
            if self._tracker.poll() is not None:
                raise RuntimeError(f"the tracker ended with status {self._tracker.returncode}, before {what}")
            return condition()

        wait_until(is_done, what)

    def call(self, service_type: type, name: str, request: object) -> tuple[Any, float]:
        """Calls one of the node's services; returns its answer and the time that it took, ms."""
        if name not in self._clients:
            self._clients[name] = self._node.create_client(service_type, f"tracker/{name}")
            self.wait_until(self._clients[name].service_is_ready, f"the service {name}")
            time.sleep(_DISCOVERY_SECONDS)
        client = self._clients[name]
        answered = threading.Event()
        start = end = time.perf_counter()

        def note_the_time(_: object) -> None:
            nonlocal end
            end = time.perf_counter()
            answered.set()

        future = client.call_async(request)
        future.add_done_callback(note_the_time)
        self.wait_until(answered.is_set, f"the answer of {name}")
        return future.result(), (end - start) * 1000.0

    def set_target(self, box: tuple[float, ...], stamp: object | None = None) -> tuple[int, float]:
        """Sets the target on the image of that stamp, by default the newest.

        Returns:
            its number, and the time until the answer, ms.

        Raises:
            RuntimeError: if it is refused.
        """
        x, y, width, height = box
        request = SetTarget.Request(x=x, y=y, width=width, height=height)
        if stamp is not None:
            request.stamp = stamp
        answer, elapsed = self.call(SetTarget, "set_target", request)
        if not answer.success:
            raise RuntimeError(f"set_target was refused: {answer.message}")
        return answer.target_id, elapsed

    def clear(self) -> None:
        """Forgets the images measured so far."""
        self.samples.clear()

    def close(self) -> None:
        """Ends the thread."""
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()

    def _on_track(self, track: Track) -> None:
        now = time.time_ns()
        self.last_arrival = time.monotonic()
        stamp = to_nanoseconds(track.header.stamp)
        latency = track.latency.sec * NANOSECONDS + track.latency.nanosec
        self.samples.append(Sample(stamp, stamp + latency, now, 1000.0 * track.processing_time))
        self.newest = track

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        values = {value.key: value.value for value in message.status[0].values}
        self.counts = {key: int(values[key]) for key in _COUNTS}


@contextlib.contextmanager
def running_node(parameters: dict[str, str]) -> Iterator[tuple[subprocess.Popen, Listener]]:
    """The node's process with these parameters, and a listener to its topics."""
    command = [sys.executable, "-m", "atom_ros.run_tracker", "--ros-args", "-r", f"__ns:={_NAMESPACE}"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    tracker = subprocess.Popen(command)
    rclpy.init()
    listener = Listener(tracker)
    try:
        yield tracker, listener
    finally:
        listener.close()
        rclpy.try_shutdown()
        tracker.terminate()
        tracker.wait()


class RunningCamera(NamedTuple):
    """The camera's process, see `run_camera`."""

    process: SpawnProcess
    seen: Event
    go: Event


@contextlib.contextmanager
def running_camera(
    size: tuple[int, int], fps: float, images: int, reliability: str, profiles: Path | None = None
) -> Iterator[RunningCamera]:
    """A camera, killed at the end; only the camera uses the Fast DDS `profiles`."""
    context = multiprocessing.get_context("spawn")
    seen, go = context.Event(), context.Event()
    process = context.Process(target=run_camera, args=(*size, fps, images, reliability, seen, go))
    with _environment(_PROFILES, profiles):
        process.start()
    try:
        yield RunningCamera(process, seen, go)
    finally:
        process.kill()
        process.join()


def _measure(listener: Listener, phase: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Runs one camera from beginning to end; returns the samples and counts."""
    images = round(arguments.fps * arguments.seconds)
    figures: dict[str, Any] = {}
    with running_camera(arguments.size, arguments.fps, images, arguments.camera, arguments.profiles) as camera:
        listener.clear()
        listener.wait_until(lambda: len(listener.samples) >= 3, "the first Track messages")
        if phase != "idle":
            listener.set_target(target_box(0, *arguments.size))
        camera.seen.set()
        _settle(listener)
        before = dict(listener.counts)
        listener.clear()
        camera.go.set()
        if phase == "services":
            figures["services_ms"] = _call_services(listener, arguments)
        camera.process.join()
        _settle(listener)
    counts = {key: listener.counts[key] - before[key] for key in before}
    figures |= {"published": images, "lost": images - counts["received"], **counts}
    if not listener.samples:
        raise RuntimeError(f"no Track came; {figures['lost']} of {images} images were lost in transport")
    figures |= overhead_figures(listener.samples)
    if phase == "delay":
        figures |= delay_figures(listener.samples, 1000.0 / arguments.fps)
    return figures


def _call_services(listener: Listener, arguments: argparse.Namespace) -> dict:
    """Calls every service in turn while images come, at least once; returns the answers' times by service."""
    times: dict[str, list[float]] = {}
    end = time.monotonic() + arguments.seconds - 2.0
    listener.wait_until(lambda: len(listener.samples) > 0, "the first Track messages")
    while not times or time.monotonic() < end:
        for name, elapsed in call_services(listener, arguments.size, repetitions=8, pauses=_PAUSES).items():
            times.setdefault(name, []).extend(elapsed)
    return {name: asdict(Spread.of(values)) for name, values in times.items()}


def call_services(
    listener: Listener, size: tuple[int, int], repetitions: int = 1, pauses: tuple[float, float] = (0.0, 0.0)
) -> dict[str, list[float]]:
    """Calls every service in turn, and leaves the target set; returns how long the answers took, ms, by service.

    Args:
        listener: which hears the node.
        size: width and height of the images, px.
        repetitions: of the calls that change nothing.
        pauses: least and most seconds before each call.
    """
    times: dict[str, list[float]] = {}
    generator = np.random.default_rng(0)

    def call(service_type: type, name: str, request: object) -> None:
        time.sleep(generator.uniform(*pauses))
        times.setdefault(name, []).append(listener.call(service_type, name, request)[1])

    def set_target() -> int:
        """Sets the target where it was in the newest image with a Track, like a person with a mouse or a detector."""
        for attempt in range(_ATTEMPTS):
            newest = listener.newest
            assert newest is not None, "the first Tracks were waited for"
            box = target_box(int(newest.header.frame_id.split()[-1]), *size)
            try:
                number, elapsed = listener.set_target(box, newest.header.stamp)
                break
            except RuntimeError:  # on a busy machine the newest Track may be of an image that the node no longer keeps
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(1.0)
        times.setdefault("set_target", []).append(elapsed)
        return number

    threshold = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.25)
    changes = [Parameter(name="tracker.not_found_threshold", value=threshold)]
    number = set_target()
    for _ in range(repetitions):
        call(GetParameters, "get_parameters", GetParameters.Request(names=["device", "max_targets"]))
        call(SetParameters, "set_parameters", SetParameters.Request(parameters=changes))
        call(GetState, "get_state", GetState.Request())
        call(ListTargets, "list_targets", ListTargets.Request())
    call(RemoveTarget, "remove_target", RemoveTarget.Request(target_id=number))
    set_target()
    call(Trigger, "clear_target", Trigger.Request())
    call(SetBool, "pause", SetBool.Request(data=True))
    call(SetBool, "pause", SetBool.Request(data=False))
    set_target()
    return times


def _lines(phase: str, figures: dict, arguments: argparse.Namespace) -> list[str]:
    """The printed lines of a phase."""
    width, height = arguments.size
    count = "{published} images published, {lost} lost in transport, {dropped} dropped by the node, {failed} failed"
    lines = [
        f"{width}x{height} {arguments.fps:g} Hz {arguments.reliability} {phase}: {count.format(**figures)}, "
        f"{figures['tracks']} tracks",
        f"  overhead: {Spread(**figures['overhead_ms'])}",
    ]
    if phase != "idle":
        lines.append(f"  without the wait for the previous image: {Spread(**figures['own_overhead_ms'])}")
        lines.append(f"  the tracker's own time: {Spread(**figures['processing_ms'])}")
    for name, spread in figures.get("services_ms", {}).items():
        lines.append(f"  {name}: {Spread(**spread)} ({spread['count']} calls)")
    if phase == "delay":
        lines.append(f"  delay: {Spread(**figures['delay_ms'])}")
        lines.append(f"  beyond one frame time and the image's tracking time: {Spread(**figures['excess_ms'])}")
        for minute in figures["minutes"]:
            delay, excess = Spread(**minute["delay_ms"]), Spread(**minute["excess_ms"])
            lines.append(f"  minute {minute['minute']}: delay {delay}; beyond {excess}; {delay.count} tracks")
    return lines


def _describe(arguments: argparse.Namespace, argv: list[str]) -> dict[str, object]:
    """The conditions of the measurement, and a place for the figures."""
    import torch  # here, since the camera's process does not need it and would start seconds later

    from atom_core.evaluation.store import describe_machine

    return {
        "run": {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": " ".join(["python -m atom_ros.benchmark", *argv]),
            "load_average": os.getloadavg()[0],  # over the last minute; near 0 on an idle machine
            "fastdds_profiles": os.environ.get(
                _PROFILES, ""
            ),  # of all processes; --profiles applies to the camera alone
        },
        "machine": describe_machine(torch.get_num_threads()),
        "size": list(arguments.size),
        "fps": arguments.fps,
        "phases": {},
    }


@contextlib.contextmanager
def _environment(name: str, value: Path | None) -> Iterator[None]:
    """Sets a variable for processes started in the block; None leaves it unchanged."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = str(value.resolve())
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def _settle(listener: Listener) -> None:
    """Waits until no Tracks come for long enough that the diagnostics (once a second) count all images."""

    def is_settled() -> bool:
        received, *fates = listener.counts.values()
        return time.monotonic() - listener.last_arrival > 2.5 and received == sum(fates)

    listener.wait_until(lambda: bool(listener.counts), "the diagnostics")
    listener.wait_until(is_settled, "the end of the images")


def run_camera(width: int, height: int, fps: float, images: int, reliability: str, seen: Event, go: Event) -> None:
    """The camera's process: publishes the first image until `seen` is set (or for some minutes), and after `go` all.

    The frame_id ends with the image's number in the scene.
    """
    rclpy.init()
    node = Node("camera", namespace=_NAMESPACE)
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy[reliability.upper()])
    publisher = node.create_publisher(Image, "image", qos)
    messages = [image_message(Header(frame_id=f"camera {i}"), scene(i, width, height), "bgr8") for i in range(_CYCLE)]

    def publish(message: Image) -> None:
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), NANOSECONDS)
        publisher.publish(message)

    wait_until(lambda: publisher.get_subscription_count() > 0, "the node's subscription")
    for _ in range(1000):
        publish(messages[0])
        if seen.wait(0.2):
            break
    go.wait()
    start = time.monotonic()
    for i in range(images):
        time.sleep(max(0.0, start + i / fps - time.monotonic()))
        publish(messages[i % _CYCLE])
    time.sleep(1.0)  # for a reliable publisher to resend lost messages
    node.destroy_node()
    rclpy.shutdown()


def target_box(index: int, width: int, height: int) -> tuple[float, float, float, float]:
    """The target's box in image number `index`: one circle in `_CYCLE` images."""
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
    """Raises TimeoutError, naming `what`, if the condition does not become true."""
    deadline = time.monotonic() + _TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_TIMEOUT:g} s in vain for {what}")
        time.sleep(0.02)


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that become the node's parameters of the same names."""
    parser.add_argument("--weights", default="default", help="as the node's parameter (%(default)s)")
    parser.add_argument("--device", default="auto", help="as the node's parameter (%(default)s)")


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"'{text}' is not a file")
    return Path(text)


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=image_size, default=(640, 480), help="of the images, WIDTHxHEIGHT (640x480)")
    parser.add_argument("--fps", type=float, default=30.0, help="images per second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase (%(default)s)")
    parser.add_argument(
        "--phases", nargs="+", choices=_PHASES, default=("idle", "tracking"), help="what to measure (idle tracking)"
    )
    choices = ("best_effort", "reliable")
    parser.add_argument(
        "--reliability", choices=("auto", *choices), default="auto", help="as the node's parameter (%(default)s)"
    )
    parser.add_argument("--camera", choices=choices, default="reliable", help="the camera's reliability (%(default)s)")
    parser.add_argument("--profiles", type=_file, metavar="XML", help="Fast DDS profiles of the camera")
    add_node_arguments(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON file to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
