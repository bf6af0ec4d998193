# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The node as a robot sees it: two tracker processes, each with its own camera and client, over DDS.

The front camera's images are raw and reliable, the rear camera's compressed and best effort, under simulated time.
"""

from __future__ import annotations

import array
import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from robot import TIMEOUT, Robot, TrackerProcess, wait_until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from atom_tracker.msg import Track
from atom_tracker.srv import RemoveTarget, SetTarget

WIDTH, HEIGHT = 320, 240
TARGET_WIDTH, TARGET_HEIGHT = 48, 40


def _texture(generator: np.random.Generator, width: int, height: int, cells: int) -> np.ndarray:
    coarse = generator.integers(40, 216, (cells, cells), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


_GENERATOR = np.random.default_rng(3)
# All is grey, so that a picture is the same one in every encoding.
BACKGROUND = _texture(_GENERATOR, WIDTH, HEIGHT, 8) // 2
PATCH = _texture(_GENERATOR, TARGET_WIDTH, TARGET_HEIGHT, 6)


class Camera:
    """Publishes a textured patch that moves over a textured background, 0.1 s from image to image."""

    def __init__(self, robot: Robot, frame_id: str, compressed: bool = False) -> None:
        self._robot = robot
        self._frame_id = frame_id
        self._compressed = compressed
        if compressed:
            self._publisher = robot.camera(CompressedImage, "image/compressed", "BEST_EFFORT")
        else:
            self._publisher = robot.camera(Image, "image")
        self.stamp = 1_000_000_000_000  # ns
        self.x, self.y = 60, 90  # the patch's first pixel

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.x - 0.5, self.y - 0.5, float(TARGET_WIDTH), float(TARGET_HEIGHT)

    def picture(self, visible: bool = True) -> np.ndarray:
        image = BACKGROUND.copy()
        if visible:
            image[self.y : self.y + TARGET_HEIGHT, self.x : self.x + TARGET_WIDTH] = PATCH
        return image

    def publish(self, visible: bool = True, encoding: str = "bgr8", **changes: object) -> Image | CompressedImage:
        """Publishes the picture and returns its message; `changes` are fields to set otherwise."""
        self.stamp += 100_000_000
        message = _compress(self.picture(visible)) if self._compressed else _encode(self.picture(visible), encoding)
        message.header.frame_id = self._frame_id
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self.stamp, 1_000_000_000)
        for field, value in changes.items():
            setattr(message, field, value)
        self._publisher.publish(message)
        return message

    def show(self, visible: bool = True, encoding: str = "bgr8") -> Track:
        """Publishes the picture and waits for its Track; again if a best-effort image may have been lost."""
        if self._compressed:
            with contextlib.suppress(AssertionError):
                return self._robot.track_of(self.publish(visible, encoding), timeout=60.0)
        return self._robot.track_of(self.publish(visible, encoding))

    def move(self, x: int = 3, y: int = 1) -> None:
        self.x, self.y = self.x + x, self.y + y

    def connect(self, process: TrackerProcess) -> None:
        """Publishes until the first Track is there: what is sent while two nodes discover one another may be lost."""
        for _ in range(round(TIMEOUT)):
            assert process.is_running(), process.log.read_text()
            message = self.publish(visible=False)
            with contextlib.suppress(AssertionError):
                self._robot.track_of(message, timeout=1.0)
                return
        raise AssertionError(f"no Track from the node in {TIMEOUT:g} s")


def _encode(grey: np.ndarray, encoding: str, padding: int = 0) -> Image:
    """A grey picture as an Image message: what each encoding makes of R = G = B."""
    neutral = np.full_like(grey, 128)
    planes = {
        "mono8": lambda: grey,
        "mono16": lambda: grey.astype(np.uint16) * 257,
        "16UC1": lambda: grey.astype(np.uint16) * 5 + 1000,
        "32FC1": lambda: grey.astype(np.float32) / 50 + 0.5,
        "rgb8": lambda: np.dstack([grey] * 3),
        "bgr8": lambda: np.dstack([grey] * 3),
        "rgba8": lambda: np.dstack([grey] * 3 + [neutral]),
        "bgra8": lambda: np.dstack([grey] * 3 + [neutral]),
        "uyvy": lambda: np.dstack([neutral, grey]),
        "yuv422": lambda: np.dstack([neutral, grey]),
        "yuyv": lambda: np.dstack([grey, neutral]),
        "yuv422_yuy2": lambda: np.dstack([grey, neutral]),
        "nv12": lambda: np.vstack([grey, neutral[: HEIGHT // 2]]),
    }
    pixels = planes[encoding]() if encoding in planes else grey  # a Bayer image of a grey scene is the grey image
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    message = Image(width=WIDTH, height=HEIGHT, encoding=encoding, step=rows.shape[1])
    message.data = array.array("B", rows.tobytes())
    return message


def _compress(grey: np.ndarray, extension: str = ".jpg") -> CompressedImage:
    _, data = cv2.imencode(extension, np.dstack([grey] * 3))
    return CompressedImage(format=extension[1:], data=array.array("B", data.tobytes()))


ENCODINGS = (
    ["rgb8", "bgr8", "mono8", "bgra8", "rgba8", "yuv422", "uyvy", "yuyv", "yuv422_yuy2", "nv12", "mono16"]
    + [f"bayer_{pattern}8" for pattern in ("rggb", "bggr", "gbrg", "grbg")]
    + ["16UC1", "32FC1"]
)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TrackerProcess]]:
    """Both trackers: they load side by side."""
    folder = tmp_path_factory.mktemp("tracker")
    common = ["-p", "device:=cpu"]
    front = TrackerProcess(folder / "front.log", "-r", "__ns:=/front", "-p", "qos.reliability:=reliable", *common)
    rear = TrackerProcess(
        folder / "rear.log",
        *("-r", "__ns:=/rear", "-p", "image_transport:=compressed", "-p", "use_sim_time:=true", *common),
    )
    yield {"front": front, "rear": rear}
    statuses = {"front": front.stop(), "rear": rear.stop()}
    print(front.log.read_text(), rear.log.read_text())
    assert statuses == {"front": 0, "rear": 0}


@pytest.fixture(scope="module")
def robot(processes: dict[str, TrackerProcess]) -> Iterator[Robot]:
    robot = Robot("/front")
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def camera(robot: Robot, processes: dict[str, TrackerProcess]) -> Camera:
    camera = Camera(robot, "front_optical")
    camera.connect(processes["front"])
    return camera


@pytest.fixture
def target(robot: Robot, camera: Camera) -> int:
    """The number of a target that the front tracker follows now."""
    track = camera.show()
    if track.status not in (Track.TRACKING, Track.UNCERTAIN) or _distance(track, camera) > 12:
        return _set_target(robot, camera.box).target_id
    return track.target_id


@pytest.fixture(scope="module")
def rear_robot(processes: dict[str, TrackerProcess]) -> Iterator[Robot]:
    robot = Robot("/rear")
    yield robot
    robot.close()


def _set_target(robot: Robot, box: tuple[float, ...], stamp: int = 0, target_id: int = 0) -> SetTarget.Response:
    x, y, width, height = box
    request = SetTarget.Request(x=x, y=y, width=width, height=height, target_id=target_id)
    request.stamp.sec, request.stamp.nanosec = divmod(stamp, 1_000_000_000)
    return robot.call(SetTarget, "tracker/set_target", request)


def _distance(track: Track, camera: Camera) -> float:
    """From the centre of a Track's box to the true one, in px."""
    x, y, width, height = camera.box
    return math.hypot(track.x + track.width / 2 - x - width / 2, track.y + track.height / 2 - y - height / 2)


def _is_without_box(track: Track) -> bool:
    return all(math.isnan(value) for value in (track.x, track.y, track.width, track.height, track.iou))


def _set_parameters(robot: Robot, service: type, **values: float) -> object:
    """Sets parameters of the group `tracker`; all are doubles."""
    request = service.Request()
    for name, value in values.items():
        request.parameters.append(Parameter(name=f"tracker.{name}", value=ParameterValue(type=3, double_value=value)))
    name = "set_parameters_atomically" if service is SetParametersAtomically else "set_parameters"
    return robot.call(service, f"tracker/{name}", request)


def _set_max_targets(robot: Robot, count: int) -> object:
    value = ParameterValue(type=2, integer_value=count)
    request = SetParameters.Request(parameters=[Parameter(name="max_targets", value=value)])
    return robot.call(SetParameters, "tracker/set_parameters", request).results[0]


def _learn_every_box(robot: Robot) -> None:
    """Also one that nearly equals the tracker's own is learned again, under a new number."""
    value = ParameterValue(type=3, double_value=1.0)
    request = SetParameters.Request(parameters=[Parameter(name="relearn_overlap", value=value)])
    assert robot.call(SetParameters, "tracker/set_parameters", request).results[0].successful


def _set_redetection(robot: Robot, on: bool) -> object:
    value = ParameterValue(type=1, bool_value=on)
    request = SetParameters.Request(parameters=[Parameter(name="tracker.redetection", value=value)])
    return robot.call(SetParameters, "tracker/set_parameters", request).results[0]


def _remove_target(robot: Robot, target_id: int) -> RemoveTarget.Response:
    return robot.call(RemoveTarget, "tracker/remove_target", RemoveTarget.Request(target_id=target_id))


def _get_tracker_parameter(robot: Robot, name: str) -> float:
    request = GetParameters.Request(names=[f"tracker.{name}"])
    return robot.call(GetParameters, "tracker/get_parameters", request).values[0].double_value


def _change_state(robot: Robot, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return robot.call(ChangeState, "tracker/change_state", request).success


def _state(robot: Robot) -> int:
    return robot.call(GetState, "tracker/get_state", GetState.Request()).current_state.id


def test_every_image_has_its_track_before_there_is_a_target(robot: Robot, camera: Camera) -> None:
    for _ in range(3):
        message = camera.publish()
        track = robot.track_of(message)
        assert track.header == message.header
        assert track.header.frame_id == "front_optical"
        assert (track.status, track.target_id, track.processing_time) == (Track.IDLE, 0, 0.0)
        assert _is_without_box(track) and math.isnan(track.confidence)


def test_a_target_is_followed_through_each_image(robot: Robot, camera: Camera) -> None:
    camera.show()
    answer = _set_target(robot, camera.box)
    assert answer.success, answer.message
    assert answer.target_id == 1
    for _ in range(8):
        camera.move()
        message = camera.publish()
        track = robot.track_of(message)
        assert track.header == message.header
        assert (track.status, track.target_id) == (Track.TRACKING, 1)
        assert _distance(track, camera) < 12
        assert track.width > 20 and track.height > 20
        assert track.confidence > 0.25 and 0 <= track.iou <= 1
        assert track.processing_time > 0


def test_the_target_is_lost_and_found_again(camera: Camera, target: int) -> None:
    for status in (Track.LOST, Track.SEARCHING, Track.SEARCHING):
        track = camera.show(visible=False)
        assert (track.status, track.target_id) == (status, target)
        assert _is_without_box(track)
        assert track.confidence < 0.25
    track = camera.show()
    assert (track.status, track.target_id) == (Track.TRACKING, target)
    assert _distance(track, camera) < 12


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings(camera: Camera, target: int, encoding: str) -> None:
    track = camera.show(encoding=encoding)
    assert (track.status, track.target_id) == (Track.TRACKING, target)
    assert _distance(track, camera) < 12


def test_padded_rows(robot: Robot, camera: Camera, target: int) -> None:
    padded = _encode(camera.picture(), "bgr8", padding=52)
    track = robot.track_of(camera.publish(step=padded.step, data=padded.data))
    assert track.status == Track.TRACKING
    assert _distance(track, camera) < 12


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((math.nan, 90.0, 48.0, 40.0), "finite"),
        ((60.0, 90.0, math.inf, 40.0), "finite"),
        ((60.0, 90.0, -48.0, 40.0), "small"),
        ((60.0, 90.0, 0.0, 0.0), "small"),
        ((400.0, 90.0, 48.0, 40.0), "outside the image of 320 x 240"),
        ((-100.0, -100.0, 48.0, 40.0), "outside the image of 320 x 240"),
    ],
)
def test_a_wrong_box_is_refused_and_the_target_kept(
    robot: Robot, camera: Camera, target: int, box: tuple[float, ...], reason: str
) -> None:
    answer = _set_target(robot, box)
    assert not answer.success and answer.target_id == 0
    assert reason in answer.message
    assert camera.show().target_id == target


def test_a_stamp_outside_the_buffer_is_refused_with_its_range(robot: Robot, camera: Camera, target: int) -> None:
    camera.show()
    answer = _set_target(robot, camera.box, stamp=camera.stamp + 60_000_000_000)
    assert not answer.success
    seconds, nanoseconds = divmod(camera.stamp, 1_000_000_000)
    assert f"to {seconds}.{nanoseconds:09d}" in answer.message
    assert "the buffer holds" in answer.message
    assert camera.show().target_id == target


def test_a_box_may_be_drawn_on_an_image_ten_images_old(robot: Robot, camera: Camera, target: int) -> None:
    _learn_every_box(robot)
    camera.show()
    old_stamp, old_box = camera.stamp, camera.box
    for _ in range(10):
        camera.move(-4, 1)
        camera.show()
    answer = _set_target(robot, old_box, old_stamp)
    assert answer.success, answer.message
    assert answer.target_id == target + 1
    camera.move(-4, 1)
    track = camera.show()
    assert (track.status, track.target_id) == (Track.TRACKING, target + 1)
    assert _distance(track, camera) < 12
    stamps = [(track.header.stamp.sec, track.header.stamp.nanosec) for track in robot.tracks]
    assert stamps == sorted(set(stamps)), "one Track for each image, in their order"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": array.array("B", bytes(100))}, "data has 100 bytes"),
        ({"height": 0}, "320 x 0"),
        ({"step": 1}, "step is 1"),
        ({"encoding": "nonsense"}, "encoding 'nonsense'"),
    ],
)
def test_a_wrong_image_is_counted_and_the_target_kept(
    robot: Robot, camera: Camera, target: int, changes: dict[str, object], reason: str
) -> None:
    before = int(robot.diagnostics()["failed"])
    answered = len(robot.tracks)
    camera.publish(**changes)
    wait_until(lambda: int(robot.diagnostics()["failed"]) == before + 1, "the count of wrong images")
    assert robot.diagnostics()["level"] == DiagnosticStatus.ERROR
    assert reason in robot.diagnostics()["last error"]
    assert len(robot.tracks) == answered
    track = camera.show()
    assert (track.status, track.target_id) == (Track.TRACKING, target)


def test_the_debug_image_is_drawn_while_somebody_looks(robot: Robot, camera: Camera, target: int) -> None:
    images: list[Image] = []
    subscription = robot.node.create_subscription(Image, "tracker/debug_image", images.append, 10)
    try:
        wait_until(lambda: camera.show() and images, "a debug image")
        message = camera.publish()
        wait_until(lambda: images[-1].header == message.header, "the debug image of the last image")
    finally:
        robot.node.destroy_subscription(subscription)
    image = images[-1]
    assert (image.width, image.height, image.encoding, image.step) == (WIDTH, HEIGHT, "rgb8", 3 * WIDTH)
    pixels = np.frombuffer(image.data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    assert not np.array_equal(pixels[:, :, 0], pixels[:, :, 1]), "colour was drawn on the grey picture"


def test_thresholds_change_live_and_stay_in_their_range(robot: Robot, camera: Camera, target: int) -> None:
    assert _set_parameters(robot, SetParameters, not_found_threshold=1.0).results[0].successful
    try:
        wait_until(lambda: camera.show().status == Track.SEARCHING, "the new threshold to take effect")
        for value in (1.5, math.nan, -math.inf):
            refused = _set_parameters(robot, SetParameters, not_found_threshold=value).results[0]
            assert not refused.successful and "Min: -1.0, Max: 1.0" in refused.reason
        assert _get_tracker_parameter(robot, "not_found_threshold") == 1.0
    finally:
        assert _set_parameters(robot, SetParameters, not_found_threshold=0.25).results[0].successful
    wait_until(lambda: camera.show().status == Track.TRACKING, "the old threshold to take effect")


def test_a_target_that_left_is_taken_up_where_it_comes_back(robot: Robot, camera: Camera, target: int) -> None:
    """No box as long as it is away, then TRACKING on the other side of the image."""
    before = camera.x, camera.y
    try:
        wait_until(lambda: camera.show(visible=False).status == Track.SEARCHING, "the search to begin")
        camera.x, camera.y = (230, 160) if camera.x < WIDTH / 2 else (30, 20)
        shown: list[Track] = []

        def is_back() -> bool:
            shown.append(camera.show())
            return shown[-1].status == Track.TRACKING

        wait_until(is_back, "the target to be re-detected")
        assert all(track.status == Track.SEARCHING and _is_without_box(track) for track in shown[:-1])
        assert len(shown) >= 3 and shown[-1].target_id == target and _distance(shown[-1], camera) < 12
    finally:
        camera.x, camera.y = before


def test_with_the_search_switched_off_it_stays_lost(robot: Robot, camera: Camera, target: int) -> None:
    assert _set_redetection(robot, False).successful
    try:
        assert [camera.show(visible=False).status for _ in range(3)] == [Track.LOST] * 3
    finally:
        assert _set_redetection(robot, True).successful


def test_parameters_are_set_all_or_none(robot: Robot, camera: Camera) -> None:
    answer = _set_parameters(robot, SetParametersAtomically, learning_rate=0.5, not_found_threshold=-7.0)
    assert not answer.result.successful
    assert _get_tracker_parameter(robot, "learning_rate") == 0.01


def test_what_shapes_the_tracker_is_not_changed_while_it_runs(robot: Robot, camera: Camera) -> None:
    answer = _set_parameters(robot, SetParameters, search_area_factor=4.0).results[0]
    assert not answer.successful and "only while the node is unconfigured" in answer.reason


def test_stamps_that_jump_back_empty_the_buffer(robot: Robot, camera: Camera, target: int) -> None:
    camera.show()
    old_stamp, old_box = camera.stamp, camera.box
    camera.stamp -= 100_000_000_000
    assert camera.show().target_id == target
    answer = _set_target(robot, old_box, old_stamp)
    assert not answer.success
    assert "holds 1 images" in answer.message
    camera.stamp = old_stamp


@pytest.mark.parametrize(("behind", "counter"), [(0, "duplicates"), (30_000_000, "out of order")])
def test_images_that_are_not_newer_are_ignored_and_counted(
    robot: Robot, camera: Camera, target: int, behind: int, counter: str
) -> None:
    before = int(robot.diagnostics()[counter])
    camera.show()
    camera.stamp -= 100_000_000 + behind  # publishing adds 100 ms
    answered = len(robot.tracks)
    camera.publish()
    wait_until(lambda: int(robot.diagnostics()[counter]) == before + 1, f"the count of {counter}")
    assert "ignored" in robot.diagnostics()["message"]
    assert len(robot.tracks) == answered
    camera.stamp += behind
    assert camera.show().target_id == target


def test_the_camera_may_change_its_resolution(robot: Robot, camera: Camera, target: int) -> None:
    """The same view in half the pixels has the target at half its place; a message tells its place in its own image."""
    small = np.ascontiguousarray(camera.picture()[::2, ::2])
    changes = {"width": WIDTH // 2, "height": HEIGHT // 2, "step": WIDTH // 2}
    message = camera.publish(encoding="mono8", data=array.array("B", small.tobytes()), **changes)
    track = robot.track_of(message)
    assert (track.status, track.target_id) == (Track.TRACKING, target)
    assert abs(track.x - camera.box[0] / 2) < 6 and abs(track.y - camera.box[1] / 2) < 6
    track = camera.show()
    assert track.status == Track.TRACKING and _distance(track, camera) < 12


def test_several_targets(robot: Robot, camera: Camera, target: int) -> None:
    assert _set_max_targets(robot, 2).successful
    try:
        camera.show()
        corner = (10.0, 10.0, 60.0, 60.0)  # of the background
        added = _set_target(robot, corner)
        assert added.success and added.target_id > target
        refused = _set_target(robot, corner)
        assert not refused.success and "max_targets is 2" in refused.message
        camera.move()
        message = camera.publish()
        wait_until(lambda: len(robot.tracks_at(message.header.stamp)) == 2, "a Track for each target")
        first, second = robot.tracks_at(message.header.stamp)
        assert (first.target_id, first.status) == (target, Track.TRACKING) and _distance(first, camera) < 12
        assert second.target_id == added.target_id and abs(second.x - 10) < 12 and abs(second.y - 10) < 12
        wait_until(
            lambda: robot.diagnostics()["state"] == f"{target}: TRACKING, {added.target_id}: TRACKING", "both states"
        )

        again = _set_target(robot, camera.box, target_id=target)
        assert again.success and again.target_id == target, "its number is kept"
        assert _remove_target(robot, added.target_id).success
        again = _remove_target(robot, added.target_id)
        assert not again.success and again.message == f"there is no target {added.target_id}; followed now: {target}"
        message = camera.publish()
        assert robot.track_of(message).target_id == target
        camera.show()
        assert len(robot.tracks_at(message.header.stamp)) == 1
    finally:
        assert _set_max_targets(robot, 1).successful


def test_each_change_of_state_is_a_line_in_the_log(
    camera: Camera, target: int, processes: dict[str, TrackerProcess]
) -> None:
    log = processes["front"].log
    time.sleep(10)  # the log takes ten changes in ten seconds, and other tests made some
    wait_until(lambda: camera.show().status == Track.TRACKING, "a target that is surely seen")
    before = log.read_text()
    camera.show(visible=False)
    statuses = [camera.show().status for _ in range(12)]
    assert Track.TRACKING in statuses
    wait_until(lambda: "-> TRACKING" in log.read_text()[len(before) :], "the event in the log")
    lines = [line for line in log.read_text()[len(before) :].splitlines() if "Target" in line]
    assert f"Target {target}: TRACKING -> LOST (confidence" in lines[0]
    # Found again, it may be in doubt for some frames.
    assert len(lines) == 2 + (Track.UNCERTAIN in statuses)
    assert f"Target {target}: {'UNCERTAIN' if Track.UNCERTAIN in statuses else 'LOST'} -> TRACKING" in lines[-1]


def test_the_target_is_cleared(robot: Robot, camera: Camera, target: int) -> None:
    _learn_every_box(robot)
    newest = _set_target(robot, camera.box).target_id
    answer = robot.call(Trigger, "tracker/clear_target", Trigger.Request())
    assert answer.success and answer.message == "target cleared"
    track = camera.show()
    assert (track.status, track.target_id) == (Track.IDLE, newest)
    assert _is_without_box(track)
    answer = robot.call(Trigger, "tracker/clear_target", Trigger.Request())
    assert answer.success and answer.message == "there was no target"
    assert _remove_target(robot, 0).message == "there was no target"


def test_two_trackers_follow_their_own_targets(
    robot: Robot, camera: Camera, target: int, rear_robot: Robot, processes: dict[str, TrackerProcess]
) -> None:
    """The rear one also: a box before any image, compressed images over best effort, simulated time."""
    refused = _set_target(rear_robot, (60.0, 90.0, 48.0, 40.0))
    assert not refused.success and "no image has arrived" in refused.message

    rear_camera = Camera(rear_robot, "rear_optical", compressed=True)
    rear_camera.connect(processes["rear"])
    rear_camera.x = 200
    rear_camera.show()
    answer = _set_target(rear_robot, rear_camera.box)
    assert answer.success and answer.target_id == 1
    for _ in range(3):
        camera.move(2, 0)
        rear_camera.move(-2, 0)
        front, rear = camera.show(), rear_camera.show()
        assert (front.header.frame_id, front.target_id) == ("front_optical", target)
        assert (rear.header.frame_id, rear.target_id) == ("rear_optical", 1)
        assert _distance(front, camera) < 12 and _distance(rear, rear_camera) < 12

    _check_simulated_time(rear_robot, rear_camera)
    assert all(track.header.frame_id == "front_optical" for track in robot.tracks)


def _check_simulated_time(robot: Robot, camera: Camera) -> None:
    """Latency is counted by the simulated clock, and its jump back empties the buffer."""
    clock = robot.node.create_publisher(Clock, "/clock", 10)

    def set_clock(nanoseconds: int) -> None:
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(nanoseconds, 1_000_000_000)
        clock.publish(message)

    def latency() -> float:
        duration = camera.show().latency
        return duration.sec + duration.nanosec / 1e9

    def clock_is_ahead() -> bool:
        set_clock(camera.stamp + 600_000_000)  # 0.5 s after the next image
        return abs(latency() - 0.5) < 1e-3

    wait_until(clock_is_ahead, "the latency by the simulated clock")
    stamp = camera.stamp
    set_clock(1_000_000_000)
    wait_until(lambda: not _set_target(robot, camera.box, stamp).success, "the buffer to be emptied")


def test_lifecycle_there_and_back(
    robot: Robot, camera: Camera, target: int, processes: dict[str, TrackerProcess]
) -> None:
    assert _state(robot) == State.PRIMARY_STATE_ACTIVE

    assert _change_state(robot, Transition.TRANSITION_DEACTIVATE)
    assert _state(robot) == State.PRIMARY_STATE_INACTIVE
    answer = _set_target(robot, camera.box)
    assert not answer.success and "not active" in answer.message
    answered = len(robot.tracks)
    camera.publish()
    assert "inactive" in _diagnostics_message(robot, "inactive")
    assert len(robot.tracks) == answered

    assert _change_state(robot, Transition.TRANSITION_ACTIVATE)
    _expect_idle(camera, processes["front"], target)

    assert _change_state(robot, Transition.TRANSITION_DEACTIVATE)
    assert _change_state(robot, Transition.TRANSITION_CLEANUP)
    assert _state(robot) == State.PRIMARY_STATE_UNCONFIGURED
    assert _change_state(robot, Transition.TRANSITION_CONFIGURE)
    assert _change_state(robot, Transition.TRANSITION_ACTIVATE)
    _expect_idle(camera, processes["front"], target)
    camera.show()
    assert _set_target(robot, camera.box).target_id == target + 1
    camera.move()
    assert _distance(camera.show(), camera) < 12

    assert _change_state(robot, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert _state(robot) == State.PRIMARY_STATE_FINALIZED


def _diagnostics_message(robot: Robot, expected: str) -> str:
    wait_until(lambda: robot.diagnostics()["message"] == expected, f"diagnostics that say {expected}")
    return robot.diagnostics()["message"]


def _expect_idle(camera: Camera, process: TrackerProcess, target_id: int) -> None:
    """After an activation: the target is gone, and its number is not given again."""
    camera.connect(process)
    track = camera.show()
    assert (track.status, track.target_id) == (Track.IDLE, target_id)


def test_no_request_ended_a_process(processes: dict[str, TrackerProcess]) -> None:
    assert all(process.is_running() for process in processes.values())


def test_missing_weights_end_the_process_with_a_reason(tmp_path: Path) -> None:
    process = TrackerProcess(tmp_path / "log", "-p", "weights:=no_such_network")
    assert process.wait() == 1
    assert "no_such_network" in process.log.read_text()


def test_a_wrong_parameter_ends_the_process_with_a_reason(tmp_path: Path) -> None:
    process = TrackerProcess(tmp_path / "log", "-p", "qos.reliability:=sometimes")
    assert process.wait() == 2
    assert "expected one of auto, best_effort, reliable" in process.log.read_text()
