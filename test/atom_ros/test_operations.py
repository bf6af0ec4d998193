# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""How the node is run, over DDS, with a tracker whose answers and failures are given: no network, and no GPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions
from node_rig import Rig
from number_tracker import BOX, OUT_OF_MEMORY
from rcl_interfaces.msg import Log, ParameterValue, SetParametersResult
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from robot import wait_until
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger

from atom_tracker.msg import Track, TrackArray
from atom_tracker.srv import ListTargets, RemoveTarget, SetTarget


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
    assert rig.begin() is starts
    assert list(rig.trackers) == (["cpu"] if starts else [])


def test_requests_are_answered_while_the_network_is_loaded(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(autostart=False)
    assert rig.begin(), "without autostart there is nothing to do"
    rig.load_gate.clear()
    configuring = rig.ask(ChangeState, "change_state", transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert rig.loading.wait(60)
    assert rig.state() == State.TRANSITION_STATE_CONFIGURING
    assert rig.call(GetParameters, "get_parameters", names=["max_targets"]).values[0].integer_value == 1
    assert "not active" in rig.set_target().message
    for transition in (
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
        Transition.TRANSITION_ON_CONFIGURE_SUCCESS,  # the state machine would take it
    ):
        assert not rig.change_state(transition)
    assert rig.call(GetAvailableTransitions, "get_available_transitions").available_transitions == []
    wait_until(lambda: rig.robot.diagnostics()["lifecycle"] == "configuring", "the state in the diagnostics")
    assert not configuring.done()
    rig.load_gate.set()
    wait_until(configuring.done, "the answer")
    assert configuring.result().success
    assert rig.change_state(Transition.TRANSITION_ACTIVATE)
    assert rig.call(ChangeState, "change_state", transition=Transition(label="deactivate")).success
    assert not rig.call(ChangeState, "change_state", transition=Transition(label="deactivate")).success
    assert rig.state() == State.PRIMARY_STATE_INACTIVE


def test_a_target_that_is_being_learned_when_the_node_is_deactivated_is_refused(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig().start()
    rig.show()
    tracker = rig.trackers["auto"]
    tracker.gate.clear()
    x, y, width, height = BOX
    learning = rig.ask(SetTarget, "set_target", x=x, y=y, width=width, height=height)
    assert tracker.busy.wait(60)
    deactivating = rig.ask(ChangeState, "change_state", transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    wait_until(lambda: rig.state() == State.TRANSITION_STATE_DEACTIVATING, "the transition")
    assert "not active" in rig.set_target().message
    assert not deactivating.done(), "it waits for the tracker"
    tracker.gate.set()
    wait_until(lambda: learning.done() and deactivating.done(), "both answers")
    assert deactivating.result().success
    assert not learning.result().success and "deactivated meanwhile" in learning.result().message
    assert learning.result().target_id == 0


def test_a_set_of_parameters_is_taken_whole_or_not_at_all(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig().start()

    def message(**values: object) -> list:
        return [Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()]

    for name, value, expected in (
        ("on_gpu_error", "sometimes", "expected one of cpu, inactive"),
        ("max_targets", 101, "Min: 1, Max: 100"),
        ("tracker__redetection_iou", 1.5, "Min: 0.0, Max: 1.0"),
        ("tracker__redetection", 1, "type"),
        ("weights", "resnet18", "only while the node is unconfigured, and it is active; deactivate and clean it up"),
        ("autostart", False, "read-only"),
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


def test_all_parameters_can_be_changed_while_unconfigured(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig().start()
    changes = {
        "weights": "resnet18",
        "device": "cpu",
        "precision": "bfloat16",
        "engine": "torch",
        "qos.depth": 3,
        "qos.reliability": "best_effort",
        "rectified": True,
        "publish_tf": True,
        "tracker.search_area_factor": 4.0,
    }

    def change() -> SetParametersResult:
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in changes.items()]
        return rig.call(SetParametersAtomically, "set_parameters_atomically", parameters=parameters).result

    assert not change().successful
    assert rig.change_state(Transition.TRANSITION_DEACTIVATE)
    assert not change().successful, "the network is loaded"
    assert rig.change_state(Transition.TRANSITION_CLEANUP)
    assert change().successful
    assert rig.change_state(Transition.TRANSITION_CONFIGURE)
    assert rig.loaded == ("resnet18", "cpu", "bfloat16", "torch")
    live = Parameter("tracker.not_found_threshold", value=0.5).to_parameter_msg()
    assert rig.call(SetParameters, "set_parameters", parameters=[live]).results[0].successful
    assert rig.change_state(Transition.TRANSITION_ACTIVATE)
    config = rig.trackers["cpu"].config
    assert (config.search_area_factor, config.not_found_threshold) == (4.0, 0.5)
    (image,) = rig.robot.node.get_subscriptions_info_by_topic("/operations/image")
    assert image.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_all_targets_of_an_image_in_one_message_and_in_a_list(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_targets=3).start()
    arrays: list[TrackArray] = []
    rig.robot.node.create_subscription(TrackArray, "tracker/tracks", arrays.append, 10)
    wait_until(lambda: rig.show() and arrays, "the first TrackArray")
    assert list(arrays[-1].tracks) == [], "no target"
    assert rig.call(ListTargets, "list_targets").message == "0 targets"

    assert [rig.set_target().target_id for _ in range(3)] == [1, 2, 3]
    assert rig.call(RemoveTarget, "remove_target", target_id=2).success
    given = rig.call(ListTargets, "list_targets")
    assert (given.success, given.paused, given.message) == (True, False, "2 targets")
    assert [(t.target_id, t.status, t.confidence) for t in given.tracks] == [(1, 1, 1.0), (3, 1, 1.0)], (
        "as they were set"
    )

    message = rig.publish()
    wait_until(lambda: arrays[-1].header == message.header, "the image's TrackArray")
    assert [(t.target_id, t.header) for t in arrays[-1].tracks] == [(1, message.header), (3, message.header)]
    listed = rig.call(ListTargets, "list_targets").tracks
    assert [(t.target_id, t.header, t.confidence) for t in listed] == [
        (t.target_id, message.header, t.confidence) for t in arrays[-1].tracks
    ]
    assert rig.change_state(Transition.TRANSITION_DEACTIVATE)
    assert "not active" in rig.call(ListTargets, "list_targets").message


def test_a_paused_tracker_keeps_its_targets(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_targets=3).start()
    assert [rig.set_target().target_id for _ in range(2)] == [1, 2]
    rig.show()
    tracker = rig.trackers["auto"]
    paused = rig.call(SetBool, "pause", data=True)
    assert paused.success and paused.message == "paused with 2 targets"
    assert rig.call(SetBool, "pause", data=True).message == "paused with 2 targets", "again"
    wait_until(lambda: rig.robot.diagnostics()["message"] == "paused", "the state in the diagnostics")
    seen, tracks = len(tracker.tracked), len(rig.robot.tracks)
    ignored = int(rig.robot.diagnostics()["paused"])
    wait_until(
        lambda: rig.publish() and int(rig.robot.diagnostics()["paused"]) > ignored, "images that are passed over"
    )
    assert rig.set_target().target_id == 3, "a target can be set all the same"
    assert (len(tracker.tracked), len(rig.robot.tracks)) == (seen, tracks)

    resumed = rig.call(SetBool, "pause", data=False)
    assert resumed.success and resumed.message == "following 3 targets"
    track = rig.show()
    assert track.status == Track.TRACKING
    stamps = [rig.robot.tracks[-1].header.stamp.sec]
    assert stamps[0] == tracker.tracked[-1] and len(tracker.tracked) == seen + 1, "no image of the pause is made up for"
    wait_until(lambda: rig.robot.diagnostics()["dropped"] == "0", "the diagnostics")

    assert rig.change_state(Transition.TRANSITION_DEACTIVATE)
    assert "not active" in rig.call(SetBool, "pause", data=True).message


def test_messages_that_can_repeat_with_the_images_are_throttled(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig().start()
    lines: list[str] = []
    rig.robot.node.create_subscription(Log, "/rosout", lambda log: lines.append(log.msg), 1000)
    for i in range(40):  # a camera whose stamps go to and fro
        rig.jump(100 * (i % 2))
    rig.show()
    wait_until(lambda: any("jumped back" in line for line in lines), "the log")
    assert sum("jumped back" in line for line in lines) == 1
    for _ in range(30):
        rig.set_target()
        rig.show()
    rig.call(Trigger, "clear_target")
    assert sum(line.startswith("Target") for line in lines) <= 11


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
    rig.camera = rig.robot.camera(Image, "cameras/left")
    rig.robot.node.create_subscription(Track, "found", rig.robot.tracks.append, 100)
    rig.robot.track_topic = "/operations/found"
    rig.start()
    assert rig.show().status == Track.IDLE
    assert rig.set_target().success
    assert rig.robot.diagnostics()["image topic"] == "/operations/cameras/left"
