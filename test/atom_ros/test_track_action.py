# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The action ~/track_target: a goal's arithmetic, and goals over DDS with a tracker whose answers are given."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from node_rig import Rig
from number_tracker import BOX
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.task import Future
from robot import wait_until
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger

from atom_core.result import TrackState
from atom_ros.frame_buffer import Frame
from atom_ros.report import Report, Status
from atom_ros.track_action import TargetGoal
from atom_tracker.action import TrackTarget
from atom_tracker.msg import Track
from atom_tracker.srv import ListTargets, RemoveTarget

Result = TrackTarget.Result
BOX_FIELDS = dict(zip(("x", "y", "width", "height"), BOX, strict=True))


# Arithmetic


def _report(number: int, status: Status = Status.TRACKING, confidence: float = 0.5) -> Report:
    box = BOX if status in (Status.TRACKING, Status.UNCERTAIN) else None
    return Report(Frame(number, Image()), 7, status, box, confidence)


def _goal(**options: float) -> TargetGoal:
    goal = TargetGoal(TrackTarget.Goal(**options))
    assert goal.follow(7, is_owner=True, now=100.0)
    return goal


def test_a_result_adds_up() -> None:
    goal = _goal()
    states = [(Status.TRACKING, 0.9), (Status.UNCERTAIN, 0.3), (Status.LOST, 0.0), (Status.SEARCHING, 0.0)]
    for number, (status, confidence) in enumerate(states, start=1):
        assert goal.see(_report(number, status, confidence), now=100.0 + number).status == status
        assert goal.see(_report(number), now=100.0 + number) is None, "a frame counts once"
    assert goal.pass_time(105.5, is_paused=False) is None
    result = goal.result(Result.LOST, "gone")
    assert (result.error_code, result.error_msg, result.target_id) == (Result.LOST, "gone", 7)
    assert (result.frames, result.frames_seen, result.track.status) == (4, 2, Track.SEARCHING)
    assert (result.duration, result.seen_time, result.lost_time) == (5.5, 2.0, 2.0)
    assert result.mean_confidence == pytest.approx(0.6)


def test_a_goal_that_never_followed_has_an_empty_result() -> None:
    result = TargetGoal(TrackTarget.Goal()).result(Result.REFUSED, "no")
    assert (result.target_id, result.track.status, result.frames, result.duration) == (0, Track.IDLE, 0, 0.0)
    assert math.isnan(result.mean_confidence)


def test_the_loss_is_timed_from_the_last_image_that_showed_the_target() -> None:
    goal = _goal(lost_timeout=2.0)
    goal.see(_report(1), now=101.0)
    goal.see(_report(2, Status.LOST), now=102.9)
    assert goal.pass_time(102.9, is_paused=False) is None
    assert goal.pass_time(103.0, is_paused=False) == (Result.LOST, "target 7 was not seen for 2.0 s")
    goal.see(_report(3), now=103.0)
    assert goal.pass_time(104.9, is_paused=False) is None, "it is seen again"
    assert goal.pass_time(105.0, is_paused=False) == (Result.LOST, "no image of target 7 came for 2.0 s")


def test_a_pause_is_no_loss_but_part_of_the_duration() -> None:
    goal = _goal(lost_timeout=2.0, max_duration=10.0)
    goal.see(_report(1), now=101.0)
    assert goal.pass_time(102.0, is_paused=False) is None
    assert goal.pass_time(107.0, is_paused=True) is None
    goal.see(_report(2), now=107.5)
    assert goal.result(0, "").seen_time == pytest.approx(2.5)  # 1 to 101, and 6.5 less the pause of 5
    assert goal.pass_time(109.9, is_paused=True) is None
    assert goal.pass_time(110.0, is_paused=True) == (Result.NONE, "target 7 was followed for 10 s")


def test_a_clock_that_is_set_back_changes_nothing_that_was_measured() -> None:
    goal = _goal(lost_timeout=2.0)
    goal.see(_report(1), now=101.0)
    goal.pass_time(102.0, is_paused=False)
    assert goal.pass_time(5.0, is_paused=False) is None
    assert goal.pass_time(5.9, is_paused=False) is None
    assert goal.result(0, "").duration == pytest.approx(2.9)
    assert goal.pass_time(6.0, is_paused=False) is not None, "1 s before the jump and 1 s after it"


def test_simulated_time_that_begins_late_is_no_loss() -> None:
    goal = TargetGoal(TrackTarget.Goal(lost_timeout=2.0, max_duration=10.0))
    assert goal.follow(7, is_owner=True, now=0.0)
    assert goal.pass_time(0.0, is_paused=False) is None
    assert goal.pass_time(1.7e9, is_paused=False) is None
    assert goal.pass_time(1.7e9 + 3.0, is_paused=False) == (Result.LOST, "no image of target 7 came for 3.0 s")


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 300), (1.0, 10), (10.0, 100), (12.0, 120), (1000.0, 300)])
def test_feedback_comes_at_the_client_s_rate(rate: float, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 s of 30 images a second; the client's second is that of the wall."""
    goal, clock = _goal(feedback_rate=rate), [50.0]
    monkeypatch.setattr("atom_ros.track_action.time.monotonic", lambda: clock[0])
    sent = 0
    for number in range(1, 301):
        clock[0] = 50.0 + number / 30
        sent += goal.see(_report(number), now=100.0) is not None
    assert abs(sent - expected) <= 1


def test_a_change_of_state_is_fed_back_at_once() -> None:
    goal = _goal(feedback_rate=0.001)
    states = [Status.TRACKING, Status.TRACKING, Status.LOST, Status.LOST, Status.TRACKING]
    sent = [goal.see(_report(n, status), now=100.0) is not None for n, status in enumerate(states, start=1)]
    assert sent == [True, False, True, False, True]


def test_only_the_first_end_counts() -> None:
    goal = _goal()
    goal.finish(Result.CANCELED, "first")
    goal.finish(Result.REMOVED, "second")
    assert goal.end.result() == (Result.CANCELED, "first")
    assert goal.see(_report(1), now=101.0) is None
    assert not goal.follow(8, is_owner=True, now=101.0)


# Over DDS


class SentGoal:
    """A goal that the node has accepted, as its client sees it."""

    def __init__(self, client: ActionClient, goal: TrackTarget.Goal) -> None:
        self.tracks: list[Track] = []
        wait_until(client.server_is_ready, "the action server")
        accepted = client.send_goal_async(goal, lambda message: self.tracks.append(message.feedback.track))
        wait_until(accepted.done, "the answer to the goal")
        self.handle = accepted.result()
        assert self.handle.accepted
        self._result = self.handle.get_result_async()

    @property
    def is_over(self) -> bool:
        return self._result.done()

    def result(self, status: int, code: int) -> Result:
        """Waits for the end, which is to be this one."""
        wait_until(self._result.done, "the result")
        answer = self._result.result()
        assert (answer.status, answer.result.error_code) == (status, code), answer.result.error_msg
        return answer.result

    def aborted(self, code: int) -> Result:
        return self.result(GoalStatus.STATUS_ABORTED, code)

    def cancel(self) -> Future:
        return self.handle.cancel_goal_async()

    def canceled(self) -> Result:
        self.cancel()
        return self.result(GoalStatus.STATUS_CANCELED, Result.CANCELED)

    def is_following(self) -> SentGoal:
        wait_until(lambda: self.tracks, "the first feedback")
        return self


class GoalRig(Rig):
    """The rig, and a client of the action."""

    def __init__(self) -> None:
        super().__init__(max_targets=3)
        self.start()
        self.client = ActionClient(self.robot.node, TrackTarget, "tracker/track_target")
        self.sent: list[SentGoal] = []

    def send(self, **fields: object) -> SentGoal:
        """Sends a goal, with a box unless it names a target."""
        if not fields.keys() & {"target_id", "width"}:
            fields = BOX_FIELDS | fields
        self.sent.append(SentGoal(self.client, TrackTarget.Goal(**fields)))
        return self.sent[-1]

    @property
    def tracker(self) -> object:
        return self.trackers["auto"]

    def end_goals(self) -> None:
        """Removes all targets and waits for the ends of all goals sent so far."""
        self.call(Trigger, "clear_target")
        wait_until(lambda: all(goal.is_over for goal in self.sent), "the end of all goals")
        self.sent.clear()

    @property
    def followed(self) -> tuple[int, ...]:
        return tuple(track.target_id for track in self.call(ListTargets, "list_targets").tracks)

    def set(self, **parameters: object) -> None:
        values = [Parameter(name, value=value).to_parameter_msg() for name, value in parameters.items()]
        assert self.call(SetParameters, "set_parameters", parameters=values).results[0].successful


@pytest.fixture(scope="module")
def shared_rig() -> Iterator[GoalRig]:
    rig = GoalRig()
    yield rig
    rig.client.destroy()
    rig.close()


@pytest.fixture
def rig(shared_rig: GoalRig) -> Iterator[GoalRig]:
    """The one node of all tests, without a target and with room for three."""
    yield shared_rig
    shared_rig.tracker.gate.set()
    shared_rig.tracker.failure, shared_rig.tracker.state = None, TrackState.TRACKING
    shared_rig.set(max_targets=3, relearn_overlap=1.0)
    shared_rig.end_goals()


def test_feedback_until_the_client_cancels(rig: GoalRig) -> None:
    rig.show()
    goal = rig.send().is_following()
    number = goal.tracks[0].target_id
    assert (goal.tracks[0].status, goal.tracks[0].confidence) == (Track.TRACKING, 1.0), "the given box"
    for _ in range(3):
        track = rig.show()
        assert track.target_id == number
        wait_until(lambda stamp=track.header.stamp: goal.tracks[-1].header.stamp == stamp, "the image's feedback")
    assert [t.header.stamp.sec - goal.tracks[0].header.stamp.sec for t in goal.tracks] == [0, 1, 2, 3]
    assert goal.tracks[-1].x == track.x and goal.tracks[-1].confidence == track.confidence
    assert goal.handle.status == GoalStatus.STATUS_EXECUTING
    result = goal.canceled()
    assert (result.target_id, result.frames, result.frames_seen) == (number, 4, 4)
    assert result.track.header.stamp == track.header.stamp
    assert 0 < result.seen_time <= result.duration and result.lost_time == 0
    assert rig.followed == (), "it was this goal's target"


def test_a_target_may_be_kept(rig: GoalRig) -> None:
    goal = rig.send(keep_target=True).is_following()
    number = goal.canceled().target_id
    assert rig.followed == (number,)


def test_goals_report_on_a_followed_target_and_leave_it(rig: GoalRig) -> None:
    number = rig.set_target().target_id
    first, second = (rig.send(target_id=number).is_following() for _ in range(2))
    track = rig.show()
    wait_until(lambda: first.tracks[-1].header.stamp == second.tracks[-1].header.stamp == track.header.stamp, "both")
    assert first.canceled().target_id == number
    assert rig.followed == (number,) and not second.is_over
    assert rig.call(RemoveTarget, "remove_target", target_id=number).success
    assert f"target {number} was removed" in second.aborted(Result.REMOVED).error_msg


def test_clearing_ends_all_goals(rig: GoalRig) -> None:
    goals = [rig.send().is_following() for _ in range(3)]
    assert sorted(rig.followed) == sorted(goal.tracks[0].target_id for goal in goals)
    refused = rig.send().aborted(Result.REFUSED)
    assert "max_targets is 3" in refused.error_msg and refused.target_id == 0
    rig.call(Trigger, "clear_target")
    for goal in goals:
        goal.aborted(Result.REMOVED)
    rig.send().is_following().canceled()


def test_a_loss_for_good_ends_the_goal(rig: GoalRig) -> None:
    goal = rig.send(lost_timeout=0.5, feedback_rate=0.01).is_following()
    rig.show()
    rig.tracker.state = TrackState.LOST
    wait_until(lambda: rig.show() and goal.is_over, "the end")
    result = goal.aborted(Result.LOST)
    assert "not seen for 0." in result.error_msg
    assert [track.status for track in goal.tracks] == [Track.TRACKING, Track.LOST], "rare, but for a change of state"
    assert result.track.status == Track.LOST and math.isnan(result.track.x)
    assert result.frames_seen < result.frames and 0 < result.lost_time <= result.duration
    assert rig.followed == ()


def test_a_camera_that_dies_is_a_loss(rig: GoalRig) -> None:
    result = rig.send(lost_timeout=0.3).aborted(Result.LOST)
    assert "no image" in result.error_msg and result.track.status == Track.TRACKING


def test_a_pause_ends_no_goal(rig: GoalRig) -> None:
    rig.show()
    rig.call(SetBool, "pause", data=True)
    goal = rig.send(lost_timeout=0.3, max_duration=1.0).is_following()
    goal.result(GoalStatus.STATUS_SUCCEEDED, Result.NONE)
    rig.call(SetBool, "pause", data=False)


def test_success_is_when_the_time_is_over(rig: GoalRig) -> None:
    result = rig.send(max_duration=0.2).result(GoalStatus.STATUS_SUCCEEDED, Result.NONE)
    assert "followed for 0.2 s" in result.error_msg and result.duration >= 0.2
    assert rig.followed == ()


@pytest.mark.parametrize("by_goal", [True, False])
def test_a_new_target_replaces_the_only_one(rig: GoalRig, by_goal: bool) -> None:
    rig.set(max_targets=1)
    goal = rig.send().is_following()
    number = goal.tracks[0].target_id
    other = rig.send().is_following() if by_goal else rig.set_target()
    result = goal.aborted(Result.REPLACED)
    assert f"target {number + 1} has taken the place of target {number}" in result.error_msg
    assert rig.followed == (number + 1,), "the old goal's end does not touch it"
    assert not by_goal or not other.is_over


def test_a_newer_goal_takes_a_target_over(rig: GoalRig) -> None:
    goal = rig.send().is_following()
    number = goal.tracks[0].target_id
    watcher = rig.send(target_id=number).is_following()
    newer = rig.send(target_id=number, **BOX_FIELDS).is_following()
    assert f"a newer goal has set target {number}" in goal.aborted(Result.REPLACED).error_msg
    assert rig.followed == (number,) and not watcher.is_over
    assert newer.canceled().target_id == number
    assert "removed" in watcher.aborted(Result.REMOVED).error_msg, "with the goal that it belonged to"


def test_of_goals_for_one_target_the_newest_is_learned(rig: GoalRig) -> None:
    rig.set(max_targets=1)
    rig.show()
    rig.tracker.gate.clear()
    begun = rig.send()
    assert rig.tracker.busy.wait(60)
    waiting, newest = rig.send(), rig.send()
    assert "newer request" in waiting.aborted(Result.REPLACED).error_msg
    rig.tracker.gate.set()
    begun.aborted(Result.REPLACED)
    assert newest.is_following().canceled().target_id > 0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"x": 50.0, "y": 50.0, "width": 3.0, "height": 3.0}, "outside the image"),
        ({"x": math.nan, "y": 0.0, "width": 3.0, "height": 3.0}, "nan"),
        ({"target_id": 9999}, "there is no target 9999; followed now: none"),
        ({"target_id": 9999} | BOX_FIELDS, "there is no target 9999"),
        ({"target_id": 0}, "neither a box nor a target_id"),
        ({"lost_timeout": -1.0}, "lost_timeout is -1; expected 0 or a positive number"),
        ({"max_duration": math.inf}, "max_duration is inf"),
        ({"feedback_rate": math.nan}, "feedback_rate is nan"),
    ],
)
def test_a_wrong_goal_is_aborted_with_its_reason(rig: GoalRig, fields: dict[str, object], expected: str) -> None:
    rig.show()
    assert expected in rig.send(**fields).aborted(Result.REFUSED).error_msg
    assert rig.followed == ()


def test_a_target_that_cannot_be_learned_leaves_the_other_goals_alone(rig: GoalRig) -> None:
    goal = rig.send().is_following()
    rig.tracker.failure = RuntimeError("the network is upside down")
    assert "RuntimeError: the network is upside down" in rig.send().aborted(Result.FAILED).error_msg
    rig.tracker.failure = None
    track = rig.show()
    wait_until(lambda: goal.tracks[-1].header.stamp == track.header.stamp, "its next feedback")


def test_a_goal_can_be_canceled_while_its_target_is_learned(rig: GoalRig) -> None:
    rig.show()
    rig.tracker.gate.clear()
    goal = rig.send()
    assert rig.tracker.busy.wait(60)
    assert goal.canceled().target_id == 0, "at once"
    assert not rig.tracker.gate.is_set()
    rig.tracker.gate.set()
    rig.show()
    wait_until(lambda: not rig.followed and not rig.tracker.target_ids, "its removal")
    assert goal.tracks == []


def test_goals_end_with_the_node_s_activity(rig: GoalRig) -> None:
    goals = [rig.send().is_following() for _ in range(2)]
    rig.tracker.gate.clear()
    goals.append(rig.send())
    assert rig.tracker.busy.wait(60)
    deactivating = rig.ask(ChangeState, "change_state", transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    for goal in goals:
        assert "the node was deactivated" in goal.aborted(Result.INACTIVE).error_msg
    assert not deactivating.done(), "the results do not wait for the tracker"
    assert "not active" in rig.send().aborted(Result.INACTIVE).error_msg
    rig.tracker.gate.set()
    wait_until(deactivating.done, "the transition")
    assert "not active" in rig.send().aborted(Result.INACTIVE).error_msg
    assert rig.change_state(Transition.TRANSITION_ACTIVATE)
    wait_until(rig.connects, "the next Track")
    rig.send().is_following().canceled()


def test_every_goal_of_a_burst_is_answered(rig: GoalRig) -> None:
    rig.show()
    deep = QoSProfile(depth=100)
    client = ActionClient(
        rig.robot.node,
        TrackTarget,
        "tracker/track_target",
        goal_service_qos_profile=deep,
        result_service_qos_profile=deep,
    )
    wait_until(client.server_is_ready, "the action server")
    goals = [client.send_goal_async(TrackTarget.Goal(**BOX_FIELDS)) for _ in range(60)]
    wait_until(lambda: all(goal.done() for goal in goals), "60 answers", timeout=20)
    results = [goal.result().get_result_async() for goal in goals]
    wait_until(lambda: sum(result.done() for result in results) == 57, "the end of all that found no room", timeout=20)
    codes = [result.result().result.error_code for result in results if result.done()]
    assert codes == [Result.REFUSED] * 57
    rig.call(Trigger, "clear_target")
    wait_until(lambda: all(result.done() for result in results), "the others' end", timeout=20)
    client.destroy()
