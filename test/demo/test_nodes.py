# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's camera and client as processes over real DDS; the test plays the other parts."""

import array
import json
import os
import random
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from demo.processes import Processes

rclpy = pytest.importorskip("rclpy", reason="the demo's nodes need ROS 2")
pytest.importorskip("atom_tracker.msg", reason="the interfaces are not built")

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from atom_tracker.msg import Track  # noqa: E402
from atom_tracker.srv import SetTarget  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0  # s; far more than anything takes


class Partner:
    """A node in a domain of the test's own, and the processes in the same domain."""

    def __init__(self, logs: Path) -> None:
        domain = random.SystemRandom().randint(1, 101)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("partner", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"ROS_DOMAIN_ID": str(domain), "PYTHONPATH": path}
        self.processes = Processes(logs, environment)

    def spin(self, until, seconds: float = DEADLINE) -> bool:
        """Runs callbacks until a condition holds; returns whether it did."""
        deadline = time.monotonic() + seconds
        while not until() and time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.05)
        return bool(until())

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def partner(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    partner = Partner(tmp_path / "logs")
    with partner.processes:
        yield partner
    partner.close()


@pytest.fixture
def clip(tmp_path):
    """Three grey frames of 40 x 24 px, of levels 50, 100 and 150; the red channel is 20 above them."""
    (tmp_path / "clip" / "img").mkdir(parents=True)
    for index in range(3):
        image = np.full((24, 40, 3), 50 * (index + 1), np.uint8)
        image[:, :, 2] += 20
        cv2.imwrite(str(tmp_path / "clip" / "img" / f"{index}.png"), image)
    (tmp_path / "clip" / "groundtruth_rect.txt").write_text("3,4.5,10,12\n" * 3)
    return tmp_path / "clip"


def nanoseconds(stamp) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


def levels(images: list[Image]) -> list[int]:
    return [image.data[0] for image in images]


def start_camera(partner: Partner, clip: Path, *options: str) -> tuple[list[Image], Path]:
    """Starts the camera with the two subscribers that it waits for; returns the images to come, and its record."""
    images: list[Image] = []
    partner.node.create_subscription(Image, "camera/image", images.append, QoSProfile(depth=10))
    partner.node.create_subscription(Image, "camera/image", lambda _: None, QoSProfile(depth=10))
    record = clip.parent / "camera.jsonl"
    partner.processes.start("camera", [sys.executable, "-m", "demo.camera", str(clip), str(record), *options])
    return images, record


def resume(partner: Partner) -> None:
    client = partner.node.create_client(Trigger, "camera/resume")
    assert partner.spin(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    assert partner.spin(future.done)


def test_camera_in_lockstep_waits_for_each_track(partner, clip):
    tracks = partner.node.create_publisher(Track, "tracker/track", 10)
    images, record = start_camera(partner, clip, "--lockstep")
    assert partner.spin(lambda: tracks.get_subscription_count() == 1)
    assert partner.spin(lambda: len(images) >= 1)
    tracks.publish(Track(header=images[-1].header))
    shown = len(images)
    assert not partner.spin(lambda: len(images) > shown, seconds=1.5)  # held: nobody has resumed
    resume(partner)
    for index in (1, 2):
        assert partner.spin(lambda index=index: levels(images)[-1] == 50 * (index + 1))
        shown = len(images)
        assert not partner.spin(lambda shown=shown: len(images) > shown, seconds=0.5)
        tracks.publish(Track(header=images[-1].header))
    assert partner.spin(lambda: partner.processes.has_ended("camera"))
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["stamp_ns"] for line in lines] == [nanoseconds(image.header.stamp) for image in images]
    assert [50 * (line["index"] + 1) for line in lines] == levels(images)


def test_camera_in_real_time_keeps_its_pace_and_describes_its_images(partner, clip):
    images, record = start_camera(partner, clip, "--fps", "5")
    assert partner.spin(lambda: len(images) >= 2)  # the first frame, again and again
    resume(partner)
    assert partner.spin(lambda: partner.processes.has_ended("camera"))
    assert partner.spin(lambda: levels(images)[-2:] == [100, 150])
    assert set(levels(images)[:-2]) == {50}
    stamps = np.array([json.loads(line)["stamp_ns"] for line in record.read_text().splitlines()])
    assert (stamps[-1] - stamps[-2]) / 1e9 > 0.1  # about 0.2, less where frame 1 was late
    image = images[-1]
    assert (image.height, image.width, image.step, image.encoding) == (24, 40, 120, "bgr8")
    assert image.header.frame_id == "street_camera_optical"
    assert list(image.data[:3]) == [150, 150, 170]


def test_client_sets_the_target_resumes_and_records(partner, clip):
    node, requests, resumed, record = partner.node, [], [], clip.parent / "client.json"
    camera = node.create_publisher(Image, "camera/image", QoSProfile(depth=1))
    tracks = node.create_publisher(Track, "tracker/track", 10)

    def set_target(request, response):
        requests.append(request)
        response.success = len(requests) == 2  # refused once
        response.message = "no such image"
        return response

    def on_resume(_, response):
        resumed.append(True)
        return response

    node.create_service(SetTarget, "tracker/set_target", set_target)
    node.create_service(Trigger, "camera/resume", on_resume)
    partner.processes.start("client", [sys.executable, "-m", "demo.client", str(clip), str(record)])
    assert partner.spin(lambda: camera.get_subscription_count() == 1 and tracks.get_subscription_count() == 1)
    image = Image(height=1, width=1, encoding="bgr8", step=3, data=array.array("B", [0, 0, 0]))
    image.header.stamp.sec = 7
    camera.publish(image)
    assert not partner.spin(lambda: requests, seconds=1.0)  # the tracker has not seen the image yet
    tracks.publish(Track(header=image.header))
    assert partner.spin(lambda: resumed)
    assert [(r.stamp.sec, r.x, r.y, r.width, r.height) for r in requests] == [(7, 3.0, 4.5, 10.0, 12.0)] * 2

    nan = float("nan")
    seen = Track(target_id=1, status=Track.TRACKING, x=1.0, y=2.0, width=3.0, height=4.0, confidence=0.5, iou=0.25)
    seen.header.stamp.sec, seen.processing_time = 8, 0.03125
    lost = Track(target_id=1, status=Track.LOST, x=nan, y=nan, width=nan, height=nan, confidence=0.125, iou=nan)
    searched = Track(target_id=1, status=Track.SEARCHING, x=nan, y=nan, width=nan, height=nan, iou=nan)
    for track in (seen, lost, searched):
        tracks.publish(track)
    assert not partner.processes.has_ended("client")
    node.destroy_publisher(camera)
    assert partner.spin(lambda: partner.processes.has_ended("client"))
    written = json.loads(record.read_text())
    assert written["initialize_ms"] > 0
    idle, first, second, third = written["tracks"]
    assert (idle["stamp_ns"], idle["state"], idle["confidence"]) == (7 * 10**9, "IDLE", 0.0)
    assert (first["stamp_ns"], first["state"], first["box"]) == (8 * 10**9, "TRACKING", [1, 2, 3, 4])
    assert (first["confidence"], first["iou"], first["processing_ms"]) == (0.5, 0.25, 31.25)
    assert (second["state"], second["box"], second["iou"], second["confidence"]) == ("LOST", None, None, 0.125)
    assert (third["state"], third["box"]) == ("SEARCHING", None)
    assert second["received_ns"] >= first["received_ns"]
