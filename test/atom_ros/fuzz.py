# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Sends the node what no node should get: `make fuzz ARGS="--items 10000 --seed 0"`.

The node runs as a process, as a user starts it. In each round come one to eight hostile items (see hostile.py), then a
good image. Every request must be answered, and the good target found where it is; an item after which this does not
happen in time counts as a hang. In the end the process must still be there, end at Ctrl-C with status 0, and have grown
by no more than `--growth` in the second half. A line every 500 items says how far it is.
"""

from __future__ import annotations

import argparse
import collections
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from geometry_msgs.msg import PoseStamped
from hostile import Call, Hostile, Publication
from rclpy.publisher import Publisher
from rclpy.task import Future
from robot import Robot, TrackerProcess
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import ImageMarker, MarkerArray

from atom_ros.benchmark.command import scene, target_box
from atom_ros.images import image_message
from atom_tracker.msg import Track
from atom_tracker.srv import SetTarget

WIDTH, HEIGHT = 320, 240
CYCLE = 60  # images, after which the good target is back where it began
PERIOD = 100_000_000  # ns from one good image to the next
TIMEOUT = (
    600.0  # s for an answer or a Track; what takes longer is called a hang, also on a machine with much other work
)
NEAR = 12.0  # px from the target's true centre
# Good images after which the target must be found again. In a valid image that shows nothing but noise the tracker may
# take something for it, and then has to search the whole image.
PATIENCE = 60
GOOD_TARGET = 1  # its number
_REPORT = 500  # items between two lines


class FuzzError(AssertionError):
    """The node did not stand what was sent."""


@dataclass
class Result:
    """What was seen."""

    kinds: collections.Counter[str] = field(default_factory=collections.Counter)
    rounds: int = 0
    not_at_once: int = 0  # rounds whose first good image did not show the target, but a later one did
    most_images: int = 1  # good images in the round that took most of them
    slowest_answer: float = 0.0  # s
    slowest_track: float = 0.0  # s
    memory: list[float] = field(default_factory=list)  # MB of the process, after each round
    targets: list[int] = field(default_factory=list)  # followed then; each takes memory of its own

    def growth(self) -> float:
        """MB from the first to the last fifth of the second half, by their medians, where there are most targets."""
        middle = len(self.memory) // 2
        second = list(zip(self.memory[middle:], self.targets[middle:], strict=True))
        most = max((count for _, count in second), default=0)
        half = [memory for memory, count in second if count == most] or [0.0]
        fifth = max(1, len(half) // 5)
        return statistics.median(half[-fifth:]) - statistics.median(half[:fifth])

    def summary(self) -> str:
        """Lines for a person."""
        lines = [f"{count:6d}  {kind}" for kind, count in sorted(self.kinds.items())]
        tenth = max(1, len(self.memory) // 10)
        course = " ".join(
            f"{statistics.median(self.memory[i : i + tenth]):.0f}" for i in range(0, len(self.memory), tenth)
        )
        targets = " ".join(
            f"{statistics.mean(self.targets[i : i + tenth]):.1f}" for i in range(0, len(self.targets), tenth)
        )
        return "\n".join(
            [
                *lines,
                f"{sum(self.kinds.values())} hostile items, {self.rounds} good images waited for; "
                f"in {self.not_at_once} rounds it took more than one to find the target, at most {self.most_images}",
                f"slowest answer {self.slowest_answer:.2f} s, slowest Track {self.slowest_track:.2f} s",
                f"memory, MB, by tenths: {course}",
                f"targets, by tenths: {targets}",
            ]
        )


class Fuzz:
    """The robot that sends it all."""

    def __init__(self, process: TrackerProcess, robot: Robot, seed: int, compressed: bool) -> None:
        self._process = process
        self._robot = robot
        self._compressed = compressed
        self._pictures = [scene(i, WIDTH, HEIGHT) for i in range(CYCLE)]
        self._rng = np.random.default_rng(seed)
        self._hostile = Hostile(seed, image_message(Header(), self._pictures[0], "bgr8"), compressed)
        self._publishers: dict[str, Publisher] = {}
        self._clients: dict[str, object] = {}
        self._index = 0
        self._recent: collections.deque[Publication | Call] = collections.deque(maxlen=16)
        self.result = Result()
        for message_type, topic in (
            (Image, "tracker/debug_image"),  # so that all outputs are made
            (CompressedImage, "tracker/debug_image/compressed"),
            (ImageMarker, "tracker/image_markers"),
            (MarkerArray, "tracker/markers"),
            (PoseStamped, "tracker/position"),
        ):
            robot.node.create_subscription(message_type, topic, lambda _: None, 1)

    def start(self) -> None:
        """Shows the target until the node sees it, and sets it."""
        self._wait(lambda: self._good_tracks(self._show(), timeout=1.0), "the first Track")
        x, y, width, height = self._box()
        answer = self._robot.call(
            SetTarget, "tracker/set_target", SetTarget.Request(x=x, y=y, width=width, height=height)
        )
        if not answer.success or answer.target_id != GOOD_TARGET:
            raise FuzzError(f"the good target was refused: {answer}")

    def run(self, items: int) -> Result:
        """Sends the items. Raises FuzzError, naming the last ones, if the node ends, hangs or loses the target."""
        reported = 0
        while (left := items - sum(self.result.kinds.values())) > 0:
            self._send(min(left, int(self._rng.integers(1, 9))))
            self._find_target()
            self.result.rounds += 1
            sent = sum(self.result.kinds.values())
            if sent // _REPORT > reported:
                reported = sent // _REPORT
                print(f"{sent} items, {self._process.megabytes():.0f} MB", flush=True)
            self.result.memory.append(self._process.megabytes())
            self.result.targets.append(len({track.target_id for track in list(self._robot.tracks)}))
        return self.result

    def _send(self, count: int) -> None:
        futures: dict[Future, Call] = {}
        self._hostile.stamp = self._stamp()
        start = time.monotonic()
        for _ in range(count):
            item = self._hostile.item()
            self._recent.append(item)
            self.result.kinds[item.kind] += 1
            if isinstance(item, Call):
                futures[self._client(item).call_async(item.request)] = item
            else:
                self._publisher(item.message_type, item.topic).publish(item.payload)
            time.sleep(self._rng.uniform(0.0, 0.02))  # most images are processed before the next one replaces them
        for future, call in futures.items():
            self._wait(future.done, f"the answer to {call}")
        if futures:
            self.result.slowest_answer = max(self.result.slowest_answer, time.monotonic() - start)

    def _find_target(self) -> None:
        seen = []
        for attempt in range(PATIENCE):
            start = time.monotonic()
            message = self._show()
            self._wait(lambda message=message: self._good_tracks(message), "the Track of a good image")
            track = self._good_tracks(message)[-1]
            self.result.slowest_track = max(self.result.slowest_track, time.monotonic() - start)
            if track.target_id == GOOD_TARGET and self._is_near(track):
                self.result.not_at_once += attempt > 0
                self.result.most_images = max(self.result.most_images, attempt + 1)
                return
            seen.append((track.status, track.confidence, track.x, track.y))
        raise self._error(f"the good target is not found again: {seen}")

    def _show(self) -> Image | CompressedImage:
        """Publishes the next good image."""
        self._robot.tracks.clear()
        self._index += 1
        picture = self._pictures[self._index % CYCLE]
        header = Header(frame_id="camera")
        header.stamp.sec, header.stamp.nanosec = divmod(self._stamp(), 1_000_000_000)
        if self._compressed:
            _, data = cv2.imencode(".jpg", picture)
            message = CompressedImage(header=header, format="jpeg", data=data.tobytes())
            self._publisher(CompressedImage, "image/compressed").publish(message)
        else:
            message = image_message(header, picture, "bgr8")
            self._publisher(Image, "image").publish(message)
        return message

    def _good_tracks(self, message: Image | CompressedImage, timeout: float = 0.0) -> list[Track]:
        """The Tracks of the good target, or of no target, for an image."""
        deadline = time.monotonic() + timeout
        while True:
            tracks = [t for t in self._robot.tracks_at(message.header.stamp) if t.target_id <= GOOD_TARGET]
            if tracks or time.monotonic() >= deadline:
                return tracks
            time.sleep(0.005)

    def _is_near(self, track: Track) -> bool:
        x, y, width, height = self._box()
        distance = np.hypot(track.x + track.width / 2 - x - width / 2, track.y + track.height / 2 - y - height / 2)
        return bool(distance < NEAR)  # NaN, while LOST, is not

    def _box(self) -> tuple[float, float, float, float]:
        return target_box(self._index % CYCLE, WIDTH, HEIGHT)

    def _stamp(self) -> int:
        return 1_000_000_000_000 + self._index * PERIOD

    def _publisher(self, message_type: type, topic: str) -> Publisher:
        if topic not in self._publishers:
            self._publishers[topic] = publisher = self._robot.camera(message_type, topic)
            if topic != "/clock":  # it is heard only while use_sim_time is on
                self._wait(lambda: publisher.get_subscription_count() > 0, f"a subscription of {topic}")
        return self._publishers[topic]

    def _client(self, call: Call) -> object:
        if call.name not in self._clients:
            self._clients[call.name] = client = self._robot.node.create_client(call.service_type, call.name)
            self._wait(client.service_is_ready, f"the service {call.name}")
        return self._clients[call.name]

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            if not self._process.is_running():
                raise self._error(f"the process ended before {what}")
            if time.monotonic() > deadline:
                raise self._error(f"waited {TIMEOUT:g} s in vain for {what}")
            time.sleep(0.002)

    def _error(self, text: str) -> FuzzError:
        items = "\n".join(f"  {str(item)[:300]}" for item in self._recent)
        log = "\n".join(self._process.log.read_text(errors="replace").splitlines()[-20:])
        return FuzzError(f"{text}\nafter {self.result.summary()}\nlast items:\n{items}\nend of the node's log:\n{log}")


def run(items: int, seed: int, compressed: bool, folder: Path, *ros_arguments: str) -> Result:
    """Starts the node, sends `items` hostile items and ends it; raises FuzzError if it does not stand them."""
    process = TrackerProcess(
        folder / "tracker.log",
        *("-r", "__ns:=/fuzz", "-p", "qos.reliability:=reliable", "-p", "qos.depth:=100", "-p", "max_targets:=5"),
        *(
            "-p",
            "buffer.megabytes:=16",
            "-p",
            f"image_transport:={'compressed' if compressed else 'raw'}",
        ),
        *ros_arguments,
    )
    robot = Robot("/fuzz")
    try:
        fuzz = Fuzz(process, robot, seed, compressed)
        fuzz.start()
        result = fuzz.run(items)
        counts = robot.diagnostics()
        names = ("received", "processed", "dropped", "failed", "duplicates", "out of order")
        print("images, by the node's own count:", ", ".join(f"{counts[name]} {name}" for name in names))
    finally:
        robot.close()
        status = process.stop()
    if status != 0:
        raise FuzzError(f"at Ctrl-C the node ended with status {status}; its log:\n{process.log.read_text()[-3000:]}")
    return result


def main() -> int:
    """Runs from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=10_000, help="hostile messages and requests (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed sends the same items (%(default)s)")
    parser.add_argument("--compressed", action="store_true", help="jpeg and png images instead of raw ones")
    parser.add_argument("--growth", type=float, default=50.0, help="MB that the process may grow by (%(default)s)")
    parser.add_argument("--log", type=Path, help="folder for the node's log (a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.log or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        try:
            result = run(arguments.items, arguments.seed, arguments.compressed, folder.resolve())
        except FuzzError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
    print(result.summary())
    growth = result.growth()
    print(f"grown by {growth:.0f} MB in the second half; {time.monotonic() - start:.0f} s; 0 exits, 0 hangs")
    return int(growth > arguments.growth)


if __name__ == "__main__":
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    sys.exit(main())
