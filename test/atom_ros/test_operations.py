# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""How the node is run, over DDS, with a tracker whose answers and failures are given: no network, and no GPU."""

from __future__ import annotations

import array
import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from number_tracker import BOX, OUT_OF_MEMORY, NumberTracker
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from robot import Robot, wait_until
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from atom_ros.tracker_node import TrackerNode, spin
from atom_tracker.msg import Track
from atom_tracker.srv import RemoveTarget, SetTarget


class Rig:
    """A node in this process, and the robot around it."""

    def __init__(self, name: str = "tracker", *ros_arguments: str, **parameters: object) -> None:
        self.trackers: dict[str, NumberTracker] = {}  # by the device that was asked for
        self.load_failures: dict[str, Exception] = {}
        self._name = name
        self.robot = Robot("/operations", tracker=name)
        self._camera = self.robot.camera(Image, "image")
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = TrackerNode(
            self._load,
            namespace="/operations",
            context=self._context,
            cli_args=["--ros-args", *ros_arguments],
            parameter_overrides=[
                # A best-effort reader that has not found its writer yet loses what that sends it.
                Parameter("qos.reliability", value="reliable"),
                *(Parameter(key, value=value) for key, value in parameters.items()),
            ],
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=spin, args=(self.node, self._executor), daemon=True)
        self._count = 0

    def start(self) -> Rig:
        assert self.node.start()
        self._thread.start()
        wait_until(lambda: self._camera.get_subscription_count() > 0, "the node's subscription")
        wait_until(self._connects, "the first Track")
        return self

    def _connects(self) -> bool:
        """Whether an image comes through and its Track comes back: each writer and reader has found the other."""
        with contextlib.suppress(AssertionError):
            return bool(self.robot.track_of(self.publish(), timeout=1.0))
        return False

    def close(self) -> None:
        for tracker in self.trackers.values():
            tracker.gate.set()
        rclpy.shutdown(context=self._context)
        self._thread.join(60)
        self.node.destroy_node()
        self._executor.shutdown()
        self.robot.close()

    def _load(self, weights: str, device: str, config: object, precision: str) -> NumberTracker:
        if device in self.load_failures:
            raise self.load_failures[device]
        tracker = self.trackers[device] = NumberTracker("cpu" if device == "cpu" else "cuda")
        tracker.config = config
        return tracker

    def publish(self) -> Image:
        self._count += 1
        message = Image(height=2, width=2, step=2, encoding="mono8", data=array.array("B", [self._count] * 4))
        message.header.stamp.sec = self._count
        self._camera.publish(message)
        return message

    def show(self) -> Track:
        return self.robot.track_of(self.publish())

    def call(self, service_type: type, name: str, **fields: object) -> object:
        return self.robot.call(service_type, f"{self._name}/{name}", service_type.Request(**fields))

    def set_target(self) -> SetTarget.Response:
        x, y, width, height = BOX
        return self.call(SetTarget, "set_target", x=x, y=y, width=width, height=height)

    def change_state(self, transition: int) -> bool:
        return self.call(ChangeState, "change_state", transition=Transition(id=transition)).success

    def state(self) -> int:
        return self.call(GetState, "get_state").current_state.id


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(*arguments: str, **parameters: object) -> Rig:
        rigs.append(Rig(*arguments, **parameters))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


def test_requests_are_answered_while_the_tracker_is_busy(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_targets=5).start()
    rig.show()
    assert [rig.set_target().target_id for _ in range(3)] == [1, 2, 3]
    tracker = rig.trackers["auto"]
    tracker.gate.clear()
    held_up = rig.publish()
    assert tracker.busy.wait(60)

    # Until the gate opens, the tracker's thread does nothing else.
    assert rig.call(RemoveTarget, "remove_target", target_id=2).message == "target 2 removed"
    assert "followed now: 1, 3" in rig.call(RemoveTarget, "remove_target", target_id=2).message
    refused = rig.call(SetTarget, "set_target", x=50.0, y=50.0, width=3.0, height=3.0)
    assert not refused.success and "outside the image of 2 x 2" in refused.message
    unknown = rig.call(SetTarget, "set_target", target_id=2, width=3.0, height=3.0)
    assert not unknown.success and "there is no target 2; followed now: 1, 3" in unknown.message
    assert rig.call(GetParameters, "get_parameters", names=["max_targets"]).values[0].integer_value == 5
    assert rig.state() == State.PRIMARY_STATE_ACTIVE
    assert rig.call(Trigger, "clear_target").message == "2 targets cleared"

    tracker.gate.set()
    track = rig.robot.track_of(held_up)
    assert track.status == Track.IDLE, "what was cleared is in no report after the answer"


def test_out_of_gpu_memory_it_goes_on_on_the_cpu_with_its_targets(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_targets=2).start()
    rig.show()
    assert [rig.set_target().target_id for _ in range(2)] == [1, 2]
    rig.trackers["auto"].failure = OUT_OF_MEMORY
    message = rig.publish()
    wait_until(lambda: len(rig.robot.tracks_at(message.header.stamp)) == 2, "both targets")
    assert [(t.target_id, t.status) for t in rig.robot.tracks_at(message.header.stamp)] == [
        (1, Track.TRACKING),
        (2, Track.TRACKING),
    ]
    assert rig.trackers["auto"].target_ids == () and rig.trackers["cpu"].target_ids == (1, 2)
    wait_until(lambda: rig.robot.diagnostics()["device"] == "cpu", "the new device")
    assert "CUDA out of memory" in rig.robot.diagnostics()["GPU fault"]
    rig.show()
    wait_until(lambda: rig.robot.diagnostics()["level"] == DiagnosticStatus.WARN, "the warning")
    assert rig.robot.diagnostics()["failed"] == "0"


def test_out_of_gpu_memory_it_becomes_inactive_if_asked_to(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(on_gpu_error="inactive").start()
    rig.show()
    rig.set_target()
    rig.trackers["auto"].failure = OUT_OF_MEMORY
    refused = rig.set_target()
    assert not refused.success and "CUDA out of memory" in refused.message
    wait_until(lambda: rig.state() == State.PRIMARY_STATE_INACTIVE, "the deactivation")
    wait_until(lambda: rig.robot.diagnostics()["lifecycle"] == "inactive", "the new state")
    assert rig.robot.diagnostics()["level"] == DiagnosticStatus.ERROR
    assert "CUDA out of memory" in rig.robot.diagnostics()["message"]
    assert list(rig.trackers) == ["auto"] and rig.trackers["auto"].target_ids == ()

    rig.trackers["auto"].failure = None  # whoever had the memory is gone
    assert rig.change_state(Transition.TRANSITION_ACTIVATE)
    wait_until(lambda: rig.publish() and rig.robot.tracks[-1].status == Track.IDLE, "images")
    assert rig.set_target().target_id == 2
    wait_until(lambda: rig.robot.diagnostics()["GPU fault"] == "", "the end of the fault")


def test_without_memory_on_the_cpu_either_it_becomes_inactive(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig().start()
    rig.show()
    rig.set_target()
    rig.trackers["auto"].failure = OUT_OF_MEMORY
    rig.load_failures["cpu"] = MemoryError("no memory left")
    rig.publish()
    wait_until(lambda: rig.state() == State.PRIMARY_STATE_INACTIVE, "the deactivation")
    assert not rig.change_state(Transition.TRANSITION_ACTIVATE), "there is no network to activate"
    assert rig.change_state(Transition.TRANSITION_CLEANUP)
    assert rig.change_state(Transition.TRANSITION_CONFIGURE)
    assert rig.change_state(Transition.TRANSITION_ACTIVATE)


@pytest.mark.parametrize(("on_gpu_error", "starts"), [("cpu", True), ("inactive", False)])
def test_out_of_gpu_memory_while_loading(make_rig: Callable[..., Rig], on_gpu_error: str, starts: bool) -> None:
    rig = make_rig(on_gpu_error=on_gpu_error)
    rig.load_failures["auto"] = torch.cuda.OutOfMemoryError("CUDA out of memory.")
    assert rig.node.start() is starts
    assert list(rig.trackers) == (["cpu"] if starts else [])
    rig._thread.start()


def test_a_set_of_parameters_is_taken_whole_or_not_at_all(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig().start()

    def message(**values: object) -> list:
        return [Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()]

    for name, value, expected in (
        ("on_gpu_error", "sometimes", "expected one of cpu, inactive"),
        ("max_targets", 101, "Min: 1, Max: 100"),
        ("tracker__redetection_iou", 1.5, "Min: 0.0, Max: 1.0"),
        ("tracker__redetection", 1, "type"),
        ("weights", "resnet18", "read-only"),
        ("no_such_parameter", 1, "undeclared"),
    ):
        values = message(stamp_tolerance=0.5, max_targets=7) + message(**{name: value})
        result = rig.call(SetParametersAtomically, "set_parameters_atomically", parameters=values).result
        assert not result.successful and expected in result.reason, name
        results = rig.call(SetParameters, "set_parameters", parameters=message(**{name: value})).results
        assert not results[0].successful and expected in results[0].reason, name
    names = ["max_targets", "stamp_tolerance"]
    kept = rig.call(GetParameters, "get_parameters", names=names).values
    assert (kept[0].integer_value, kept[1].double_value) == (1, 0.05)

    good = message(stamp_tolerance=0.5, max_targets=7, tracker__redetection=False)
    assert rig.call(SetParametersAtomically, "set_parameters_atomically", parameters=good).result.successful
    assert rig.call(GetParameters, "get_parameters", names=names).values[0].integer_value == 7
    wait_until(lambda: not rig.trackers["auto"].config.redetection, "the tracker's new configuration")


def test_what_rclpy_raises_at_is_refused_in_an_answer(make_rig: Callable[..., Rig]) -> None:
    """Without a response the client would wait for ever."""
    rig = make_rig().start()
    wrong = ParameterMessage(name="max_targets", value=ParameterValue(type=255))
    right = Parameter("max_targets", value=7).to_parameter_msg()
    results = rig.call(SetParameters, "set_parameters", parameters=[wrong, right, wrong]).results
    assert [result.successful for result in results] == [False, True, False]
    assert "255 is not a valid" in results[0].reason and "255 is not a valid" in results[2].reason
    result = rig.call(SetParametersAtomically, "set_parameters_atomically", parameters=[right, wrong]).result
    assert not result.successful and "255 is not a valid" in result.reason
    assert rig.call(GetParameters, "get_parameters", names=["max_targets"]).values[0].integer_value == 7

    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP, 200):
        assert not rig.change_state(transition), "not possible in the state active"
    assert rig.state() == State.PRIMARY_STATE_ACTIVE
    assert rig.show().status == Track.IDLE


def test_the_diagnostics_know_of_a_removal_before_the_next_image(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_targets=3).start()
    assert [rig.set_target().target_id for _ in range(3)] == [1, 2, 3]
    rig.show()
    wait_until(lambda: rig.robot.diagnostics()["state"] == "1: TRACKING, 2: TRACKING, 3: TRACKING", "all targets")
    assert rig.call(RemoveTarget, "remove_target", target_id=2).success
    wait_until(lambda: rig.robot.diagnostics()["state"] == "1: TRACKING, 3: TRACKING", "two targets")
    assert rig.call(Trigger, "clear_target").success
    wait_until(lambda: rig.robot.diagnostics()["state"] == "IDLE", "no target")


def test_a_renamed_node_takes_its_names_along(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig("eye", "-r", "__node:=eye", "-r", "image:=cameras/left", "-r", "~/track:=found")
    rig._camera = rig.robot.camera(Image, "cameras/left")
    rig.robot.node.create_subscription(Track, "found", rig.robot.tracks.append, 100)
    rig.robot.track_topic = "/operations/found"
    rig.start()
    assert rig.show().status == Track.IDLE
    assert rig.set_target().success
    assert rig.robot.diagnostics()["image topic"] == "/operations/cameras/left"
