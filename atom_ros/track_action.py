# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The action `~/track_target`: a target as a goal, for behaviour trees and missions.

A goal is a coroutine in the executor that waits for its end without blocking. Any thread may end it: a client that
cancels, a request that removes the target, the tracker's thread with its reports, the clock.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from typing import TypeAlias

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.qos import QoSProfile

from atom_ros.answering import SERVICE_QOS, Spacing
from atom_ros.frame_buffer import NANOSECONDS, to_nanoseconds
from atom_ros.managed_node import ManagedNode, RCLError, answer_of
from atom_ros.outputs.messages import track_message
from atom_ros.report import Report
from atom_ros.targets import RemovedError, ReplacedError
from atom_ros.worker import Worker
from atom_tracker.action import TrackTarget
from atom_tracker.msg import Track

Goal: TypeAlias = TrackTarget.Goal
Result: TypeAlias = TrackTarget.Result

_FEEDBACK = QoSProfile(depth=10)
_RESULT_TIMEOUT = 60  # s for which an ended goal's result is available; every status message lists all of them
_MOST_GOALS = 100  # at a time; several may report on one target
_OPTIONS = ("lost_timeout", "max_duration", "feedback_rate")
_SEEN = (Track.TRACKING, Track.UNCERTAIN)
_LEAVES_TARGET = (Result.NONE, Result.CANCELED, Result.LOST)  # results after which the target still exists


class TargetGoal:
    """One goal, from its acceptance to its result. Thread-safe.

    Times are in seconds of the node's clock. If the clock jumps back or starts, elapsed times are kept.
    """

    def __init__(self, request: Goal, send: Callable[[Track], None] = lambda track: None) -> None:
        """Args: `send` publishes feedback."""
        self.request = request
        self.send = send
        self.end: Future[tuple[int, str]] = Future()  # error code and message
        self.target_id = 0  # 0 until it is learned
        self.is_owner = False  # the target was set by this goal
        self._lock = threading.Lock()
        self._track = Track()
        self._track.confidence = math.nan
        self._sequence = 0  # of the newest frame
        self._frames = self._frames_seen = 0
        self._confidences = 0.0  # their sum
        self._seen_time = self._lost_time = 0.0
        self._now = self._begun = self._last_frame = self._last_seen = 0.0
        self._next_feedback = 0.0  # time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.end.done()

    def finish(self, code: int, message: str) -> None:
        """Ends the goal; only the first end counts."""
        with self._lock:
            if not self.end.done():
                self.end.set_result((code, message))

    def follow(self, target_id: int, is_owner: bool, now: float) -> bool:
        """Starts following a learned target; returns False if the goal has ended in the meantime."""
        with self._lock:
            if self.end.done():
                return False
            self.target_id, self.is_owner = target_id, is_owner
            self._now = self._begun = self._last_frame = self._last_seen = now
            return True

    def see(self, report: Report, now: float) -> Track | None:
        """Processes a frame's report; returns its Track if feedback is due."""
        with self._lock:
            if self.end.done() or report.frame.sequence <= self._sequence:
                return None
            self._advance(now)
            track = track_message(report, round(now * NANOSECONDS))
            elapsed, self._last_frame = now - self._last_frame, now
            self._frames += 1
            if track.status in _SEEN:
                self._frames_seen += 1
                self._confidences += track.confidence
                self._seen_time += elapsed
                self._last_seen = now
            else:
                self._lost_time += elapsed
            is_new = track.status != self._track.status
            self._sequence, self._track = report.frame.sequence, track
            return track if self._is_due(is_new) else None

    def pass_time(self, now: float, is_paused: bool) -> tuple[int, str] | None:
        """Returns the reason if the goal ends now by the clock, else None."""
        with self._lock:
            self._advance(now, is_paused)
            request, unseen = self.request, now - self._last_seen
            if 0 < request.max_duration <= now - self._begun:
                return Result.NONE, f"target {self.target_id} was followed for {request.max_duration:g} s"
            if not 0 < request.lost_timeout <= unseen:
                return None
            if now - self._last_frame >= request.lost_timeout:
                return Result.LOST, f"no image of target {self.target_id} came for {unseen:.1f} s"
            return Result.LOST, f"target {self.target_id} was not seen for {unseen:.1f} s"

    def result(self, code: int, message: str) -> Result:
        """The result for the client."""
        with self._lock:
            mean = self._confidences / self._frames_seen if self._frames_seen else math.nan
            return Result(
                error_code=code,
                error_msg=message,
                target_id=self.target_id,
                track=self._track,
                frames=self._frames,
                frames_seen=self._frames_seen,
                duration=self._now - self._begun,
                seen_time=self._seen_time,
                lost_time=self._lost_time,
                mean_confidence=mean,
            )

    def _advance(self, now: float, is_paused: bool = False) -> None:
        step, is_set = now - self._now, now < self._now or self._now == 0.0
        self._now = now
        if is_set:
            self._begun += step
        if is_set or is_paused:
            self._last_frame += step
            self._last_seen += step

    def _is_due(self, is_new: bool) -> bool:
        """Whether to send feedback now, at the client's rate in real time."""
        now, rate = time.monotonic(), self.request.feedback_rate
        period = 1.0 / rate if rate > 0 else 0.0
        if now < self._next_feedback and not is_new:
            return False
        is_late = now - self._next_feedback > period
        self._next_feedback = now + period if is_late or is_new else self._next_feedback + period
        return True


class TrackAction:
    """The action server, from the node's construction to `destroy`."""

    def __init__(self, node: ManagedNode, forget: Callable[[int], None]) -> None:
        """Creates the server.

        Args:
            node: the tracker's node, with the parameter `max_targets`.
            forget: called in any thread with the number of a target that a goal's end removed.
        """
        self._node = node
        self._forget = forget
        self._worker: Worker | None = None
        self._goals: dict[bytes, TargetGoal] = {}  # by the goal's id
        self._lock = threading.Lock()
        self._space = Spacing()
        self._server = ActionServer(
            node,
            TrackTarget,
            "~/track_target",
            self._execute,
            callback_group=ReentrantCallbackGroup(),
            goal_callback=self._on_goal,
            cancel_callback=self._on_cancel,
            goal_service_qos_profile=SERVICE_QOS,
            result_service_qos_profile=SERVICE_QOS,
            cancel_service_qos_profile=SERVICE_QOS,
            feedback_pub_qos_profile=_FEEDBACK,
            result_timeout=_RESULT_TIMEOUT,
        )

    def start(self, worker: Worker) -> None:
        """Allows goals from now on."""
        self._worker = worker

    def stop(self, reason: str = "the node was deactivated", code: int = Result.INACTIVE) -> None:
        """Ends all goals; new ones are aborted until `start`. May be called from any thread."""
        self._worker = None
        for goal in self._open():
            goal.finish(code, reason)

    def destroy(self) -> None:
        """Removes the server from the node."""
        self.stop()
        self._server.destroy()

    def publish(self, reports: Sequence[Report]) -> None:
        """Sends each goal's feedback on one frame; called in the tracker's thread."""
        if not self._goals:
            return
        by_id = {report.target_id: report for report in reports}
        self._end_of_the_gone()
        for goal in self._open():
            if goal.target_id in by_id:
                self._see(goal, by_id[goal.target_id])

    def target_removed(self, target_id: int | None = None) -> None:
        """Ends the goals of a target, or of all, after a request removed it."""
        for goal in self._open():
            if goal.target_id and target_id in (None, goal.target_id):
                goal.finish(Result.REMOVED, f"target {goal.target_id} was removed")

    def check(self) -> None:
        """Ends the goals whose time is over; the executor calls it periodically."""
        worker = self._worker
        if worker is None or not self._goals:
            return
        self._end_of_the_gone()
        now = self._now()
        for goal in self._open():
            reason = goal.pass_time(now, worker.is_paused) if goal.target_id else None
            if reason is not None:
                goal.finish(*reason)

    # A goal, step by step

    async def _execute(self, handle: ServerGoalHandle) -> Result:
        key, goal = bytes(handle.goal_id.uuid), TargetGoal(handle.request, lambda track: _send(handle, track))
        if handle.is_cancel_requested:
            goal.finish(Result.CANCELED, "canceled before it began")
        with self._lock:
            self._goals[key] = goal
        try:
            self._begin(goal)
            code, message = await answer_of(self._node.running_executor, goal.end)
        finally:
            with self._lock:
                del self._goals[key]
        if code in _LEAVES_TARGET and goal.is_owner and not goal.request.keep_target:
            self._remove(goal.target_id)
        if code == Result.NONE:
            handle.succeed()
        elif code == Result.CANCELED:
            handle.canceled()
        else:
            handle.abort()
        self._space()
        return goal.result(code, message)

    def _on_goal(self, _: Goal) -> GoalResponse:
        self._space()
        return GoalResponse.ACCEPT  # a rejection cannot give a reason

    def _on_cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        goal = self._goals.get(bytes(handle.goal_id.uuid))
        if goal is not None:
            goal.finish(Result.CANCELED, "canceled by the client")
        return CancelResponse.ACCEPT

    def _begin(self, goal: TargetGoal) -> None:
        """Requests or looks up the goal's target, or ends the goal with the reason of the failure."""
        request, worker = goal.request, self._worker
        box = (request.x, request.y, request.width, request.height)
        problem = _problem(request) or self._no_room()
        if worker is None:
            goal.finish(Result.INACTIVE, "the node is not active; activate it first")
        elif problem:
            goal.finish(Result.REFUSED, problem)
        elif goal.is_over:
            return
        elif any(box):  # NaN included
            learned = worker.set_target(box, to_nanoseconds(request.stamp), request.target_id, request.class_id)
            learned.add_done_callback(lambda future: self._learned(goal, worker, future))
        elif request.target_id in worker.target_ids:
            self._follow(goal, worker, request.target_id, is_owner=False)
        else:
            followed = ", ".join(map(str, worker.target_ids)) or "none"
            goal.finish(Result.REFUSED, f"there is no target {request.target_id}; followed now: {followed}")

    def _learned(self, goal: TargetGoal, worker: Worker, future: Future[int]) -> None:
        """Called in the tracker's thread, or at once if the box is refused."""
        try:
            self._follow(goal, worker, future.result(), is_owner=True)
        except CancelledError:
            goal.finish(Result.INACTIVE, "the node was deactivated meanwhile")
        except ReplacedError as error:
            goal.finish(Result.REPLACED, str(error))
        except RemovedError as error:
            goal.finish(Result.REMOVED, str(error))
        except (LookupError, ValueError) as error:
            goal.finish(Result.REFUSED, str(error))
        except Exception as error:  # the boundary: the client gets every failure of the tracker
            goal.finish(Result.FAILED, f"{type(error).__name__}: {error}")

    def _follow(self, goal: TargetGoal, worker: Worker, target_id: int, is_owner: bool) -> None:
        if is_owner:
            for other in self._open():
                if other is not goal and other.is_owner and other.target_id == target_id:
                    other.finish(Result.REPLACED, f"a newer goal has set target {target_id}")
        if not goal.follow(target_id, is_owner, self._now()):  # it ended while the target was learned
            if is_owner and not goal.request.keep_target:
                self._remove(target_id)
            return
        for report in worker.newest_reports():
            if report.target_id == target_id:
                self._see(goal, report)

    def _see(self, goal: TargetGoal, report: Report) -> None:
        track = goal.see(report, self._now())
        if track is not None:
            goal.send(track)

    def _remove(self, target_id: int) -> None:
        worker = self._worker
        if worker is not None and worker.remove_target(target_id):
            self._forget(target_id)

    # All goals

    def _end_of_the_gone(self) -> None:
        """Ends the goals whose targets the tracker dropped without a request."""
        worker = self._worker
        if worker is None:
            return
        ids = worker.target_ids
        for goal in self._open():
            if goal.target_id and goal.target_id not in ids:
                if ids and self._node.get_parameter("max_targets").value == 1:
                    goal.finish(Result.REPLACED, f"target {ids[-1]} has taken the place of target {goal.target_id}")
                else:
                    goal.finish(Result.REMOVED, f"target {goal.target_id} is not followed any more")

    def _no_room(self) -> str:
        if len(self._goals) <= _MOST_GOALS:
            return ""
        return f"{_MOST_GOALS} goals are under way, which is the most there may be; cancel one first"

    def _open(self) -> list[TargetGoal]:
        with self._lock:
            return [goal for goal in self._goals.values() if not goal.is_over]

    def _now(self) -> float:
        return self._node.get_clock().now().nanoseconds / NANOSECONDS


def _problem(request: Goal) -> str:
    """The error in a goal's options, "" if there is none."""
    for name in _OPTIONS:
        value = getattr(request, name)
        if not (math.isfinite(value) and value >= 0):
            return f"{name} is {value:g}; expected 0 or a positive number"
    if not request.target_id and not any((request.x, request.y, request.width, request.height)):
        return "the goal has neither a box nor a target_id; send the box of a new target, or a followed one's number"
    return ""


def _send(handle: ServerGoalHandle, track: Track) -> None:
    with contextlib.suppress(RCLError, InvalidHandle):  # at the process's end
        handle.publish_feedback(TrackTarget.Feedback(track=track))
