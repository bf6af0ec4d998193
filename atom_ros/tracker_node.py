# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The tracker as a ROS 2 lifecycle node.

Three parts run in parallel. The executor's single thread receives images and requests, and never computes: an image
goes into a one-slot mailbox and into the buffer of recent images, a request becomes a command whose answer is awaited
as a future. The worker's thread owns the tracker (see worker.py). The middleware has its own threads.

A single-threaded executor suffices, since a service callback that awaits does not block the thread. At 640x480 and 30
Hz, rclpy's multi-threaded executor used more CPU time per image.
"""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Callable, Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer
from std_srvs.srv import SetBool, Trigger

from atom_core.tracker import MultiTracker
from atom_ros import parameters, run_tracker
from atom_ros.answering import serve
from atom_ros.bond import ManagerBond
from atom_ros.frame_buffer import FrameBuffer, to_nanoseconds
from atom_ros.gpu import (
    GPU_ERRORS,
    describe,
    free_gpu_memory,
    gpu_megabytes,
    keep_loaded,
    process_megabytes,
    release_loaded,
)
from atom_ros.input.image_input import ImageInput
from atom_ros.input.target_inputs import TargetInputs
from atom_ros.input.watch import COMPRESSED, IMAGE, Input, InputWatch
from atom_ros.managed_node import ManagedNode, answer_of
from atom_ros.outputs.diagnostics import Condition, Statistics, diagnostic_array
from atom_ros.outputs.events import StateLog, summary
from atom_ros.outputs.messages import track_message
from atom_ros.outputs.publishers import Outputs
from atom_ros.report import Report
from atom_ros.track_action import TrackAction
from atom_ros.worker import Worker
from atom_tracker.srv import ListTargets, RemoveTarget, SetTarget

_MEGABYTE = 1_000_000
_DIAGNOSTICS_PERIOD = 1.0  # s
_EXPIRY_PERIOD = 0.1  # s
_LOG_INTERVAL = 5.0  # s between two messages of a kind


class TrackerNode(ManagedNode):
    """Tracks targets in a camera's images; the README describes topics, services and parameters.

    Configuring loads the network, activating subscribes to the images, deactivating drops the targets and cleaning up
    frees the network.
    """

    def __init__(self, load_tracker: Callable[..., MultiTracker] | None = None, **node_arguments: object) -> None:
        """Declares the parameters and creates the services.

        Args:
            load_tracker: makes the tracker from weights, device, configuration, precision and engine; by default
                `MultiTracker.from_pretrained`.
            node_arguments: for rclpy's Node, without a name.

        Raises:
            ValueError, rclpy.exceptions.ParameterException: if a parameter's value is invalid.
        """
        super().__init__("tracker", **node_arguments)
        self._load_tracker = load_tracker or MultiTracker.from_pretrained
        self._settings = parameters.declare(self)
        self.add_on_set_parameters_callback(self._validate_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)

        self._statistics = Statistics()
        self._state_log = StateLog(self.get_logger().info)
        self._last_target_id = 0
        self._fault = ""  # the GPU's fault, until the node is configured or activated again
        # From configure to cleanup:
        self._tracker: MultiTracker | None = None
        self._outputs: Outputs | None = None
        # While active:
        self._buffer: FrameBuffer | None = None
        self._worker: Worker | None = None
        self._inputs: TargetInputs | None = None
        self._images: ImageInput | None = None
        self._bond: ManagerBond | None = None
        self._expiry: Timer | None = None
        self._watch: InputWatch | None = None
        self._stopping: Worker | None = None  # no longer active, but its thread may be busy

        # Requests wait for the worker. In a separate reentrant group they do not block other callbacks.
        group = ReentrantCallbackGroup()
        serve(self, SetTarget, "~/set_target", self._on_set_target, group)
        serve(self, RemoveTarget, "~/remove_target", self._on_remove_target, group)
        serve(self, Trigger, "~/clear_target", self._on_clear_target, group)
        serve(self, ListTargets, "~/list_targets", self._on_list_targets, group)
        serve(self, SetBool, "~/pause", self._on_pause, group)
        self._action = TrackAction(self, self._forget)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A steady clock: diagnostics matter even while simulated time is stopped.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_PERIOD, self._publish_diagnostics, clock=clock)
        backward = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump_handle = self.get_clock().create_jump_callback(backward, post_callback=self._on_time_jump)

    # Lifecycle

    async def start(self) -> bool:
        """Configures and activates, if the parameter autostart is set; returns False on failure.

        The executor calls it, and must have the node.
        """
        if not self._settings.autostart:
            return True
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            try:
                if await self.change_state(transition) != TransitionCallbackReturn.SUCCESS:
                    return False
            except RuntimeError as error:  # a lifecycle manager was faster
                self.get_logger().warning(f"Not started by itself: {error}")
                return True
        return True

    def long_part(self, state_id: int) -> Callable[[], None] | None:
        """Loads the network when the node is configured, and waits for the tracker's thread when it stops."""
        if state_id == State.TRANSITION_STATE_CONFIGURING:
            settings = self._settings
            self.get_logger().info(f"Loading network {settings.weights} on device {settings.device} ...")
            return self._load_ahead
        if state_id in (State.TRANSITION_STATE_DEACTIVATING, State.TRANSITION_STATE_SHUTTINGDOWN):
            worker = self._close()
            return None if worker is None else worker.stop
        return None

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Uses the loaded network and creates the publishers."""
        settings = self._settings
        if self._tracker is None:
            self._free()
            return TransitionCallbackReturn.FAILURE
        self._outputs = Outputs(self, self._statistics, settings)
        self.get_logger().info(
            f"Loaded network {self._tracker.network_name} on {self._tracker.device} by {self._tracker.engine} "
            f"({self._tracker.execution}); the process takes {process_megabytes():.0f} MB"
        )
        keep_loaded()
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Starts the worker and subscribes to the images."""
        settings = self._settings
        outputs = self._outputs
        if self._tracker is None or outputs is None:
            self.get_logger().error("The network was lost with the GPU; clean up and configure to load it again")
            return TransitionCallbackReturn.FAILURE
        if self._tracker.device.type != "cpu":
            self._fault = ""
        self._buffer = FrameBuffer(settings.buffer_seconds, settings.buffer_megabytes * _MEGABYTE)
        self._worker = Worker(
            self._tracker,
            self._buffer,
            self._statistics,
            settings,
            self.get_logger(),
            publish=self._publish,
            wants_image=outputs.wants_image,
            leave_gpu=self._leave_gpu,
            last_target_id=self._last_target_id,
            set_class=outputs.set_class,
        )
        outputs.start(self.resolve_topic_name("image"))
        self._inputs = TargetInputs(self, self._worker.set_target, settings.box, settings.target_topics)
        self._action.start(self._worker)
        # Answers requests for missing images and ends goals even while no image comes.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._expiry = self.create_timer(_EXPIRY_PERIOD, self._check_times, clock=clock)
        self._images = ImageInput(
            self,
            self._image_topic(),
            settings,
            self._worker.put_image,
            on_new=self._inputs.image_arrived,
            on_lost=self._statistics.count_lost,
        )
        self._bond = ManagerBond(self)
        self._watch = self._watch_inputs(self._images, outputs)
        self.get_logger().info(f"Active on {self._image_topic()}; waiting for a target")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribes, stops the worker and drops the targets."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Removes the publishers and frees the network."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops and frees everything, from any state."""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Returns to unconfigured after a transition that raised."""
        self.get_logger().error(f"Leaving the state '{state.label}' failed; the node is unconfigured now")
        self._stop()
        self._free()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stops the worker before its publishers go away."""
        self._stop()
        self._action.destroy()
        self._jump_handle.unregister()
        super().destroy_node()

    def _close(self) -> Worker | None:
        """Stops taking images and requests; returns the worker, which may still be running."""
        self._action.stop()
        if self._images is not None:
            self._images.destroy()
        if self._inputs is not None:
            self._inputs.destroy()
        if self._bond is not None:
            self._bond.end()
        if self._expiry is not None:
            self.destroy_timer(self._expiry)
        self._stopping = self._worker or self._stopping
        self._images = self._inputs = self._bond = self._expiry = self._worker = self._buffer = None
        self._watch = None
        return self._stopping

    def _stop(self) -> None:
        worker = self._close()
        if worker is not None:
            worker.stop()
            self._last_target_id = worker.last_target_id
            if self._outputs is not None:
                self._outputs.stop()
            if self._tracker is not None:
                self._tracker.clear()
        self._stopping = None
        self._state_log.clear()

    def _free(self) -> None:
        if self._outputs is not None:
            self._outputs.destroy()
        self._outputs = self._tracker = None
        self._fault = ""
        release_loaded()
        free_gpu_memory()

    # The tracker and its device

    def _load_ahead(self) -> None:
        """Runs in a separate thread while the node is configured."""
        settings = self._settings
        try:
            self._tracker = self._load()
        except Exception as error:  # the node reports any error of the weights or the GPU and continues
            self.get_logger().error(f"Cannot use weights '{settings.weights}' on device '{settings.device}': {error}")

    def _load(self) -> MultiTracker:
        """Loads the network and runs it once; on the CPU if the GPU fails and the parameters allow it."""
        settings = self._settings
        try:
            return self._load_warm(settings.device, settings.precision)
        except GPU_ERRORS as error:
            if settings.on_gpu_error != "cpu":
                raise
            reason = describe(error)
        return self._load_on_cpu(
            reason
        )  # outside the handler, where the exception, and with it the loaded network, is freed

    def _load_on_cpu(self, reason: str) -> MultiTracker:
        self._fault = f"on the CPU, since the GPU failed: {reason}"
        self.get_logger().error(f"The GPU failed; continuing on the CPU: {reason}")
        free_gpu_memory()
        return self._load_warm("cpu", "float32")

    def _load_warm(self, device: str, precision: str) -> MultiTracker:
        settings = self._settings
        tracker = self._load_tracker(settings.weights, device, settings.tracker, precision, settings.engine)
        tracker.warm_up()
        return tracker

    def _leave_gpu(self, reason: str) -> MultiTracker | None:
        """Called in the worker's thread when the GPU has failed: a tracker on the CPU, or deactivates the node."""
        if self._settings.on_gpu_error == "cpu":
            self._tracker = None
            try:
                self._tracker = self._load_on_cpu(reason)
                return self._tracker
            except Exception as error:  # the weights' file may be missing, or memory exhausted
                reason = f"{reason}; nor can the CPU be used: {error}"
        self._fault = f"the GPU failed: {reason}"
        self.get_logger().error(f"The GPU failed; the node deactivates itself: {reason}")
        free_gpu_memory()
        self._action.stop(self._fault)
        self.running_executor.create_task(self._deactivate_itself)
        return None

    async def _deactivate_itself(self) -> None:
        if self._worker is not None:
            await self.change_state(Transition.TRANSITION_DEACTIVATE)

    # Images in, reports out

    def _image_topic(self) -> str:
        """The full name after remapping: `<image>/compressed` follows a remapped image."""
        topic = self.resolve_topic_name("image")
        return f"{topic}/compressed" if self._settings.image_transport == "compressed" else topic

    def _watch_inputs(self, images: ImageInput, outputs: Outputs) -> InputWatch:
        is_compressed = self._settings.image_transport == "compressed"
        image = Input(
            "image",
            self._image_topic(),
            COMPRESSED if is_compressed else IMAGE,
            lambda: images.received,
            qos=lambda: images.qos,
        )
        return InputWatch(self, [image, *outputs.spatial.inputs()])

    def _check_times(self) -> None:
        if self._worker is not None:
            self._worker.expire()
            self._action.check()

    def _on_time_jump(self, jump: TimeJump) -> None:
        if self._buffer is not None:
            self._buffer.clear()
            self.get_logger().info(
                "The clock was set back: older images forgotten", throttle_duration_sec=_LOG_INTERVAL
            )

    def _publish(self, reports: Sequence[Report], image: np.ndarray | None) -> None:
        """Called in the worker's thread."""
        if self._outputs is not None:
            self._outputs.publish(reports, image)
        self._state_log.update(reports)
        self._action.publish(reports)

    def _publish_diagnostics(self) -> None:
        tracker = self._tracker
        missing = self._watch.check() if self._watch is not None else {}
        condition = Condition(
            lifecycle=self.lifecycle_state,
            state=summary(self._state_log.states),
            topic=self._image_topic(),
            is_paused=self._worker is not None and self._worker.is_paused,
            device=str(tracker.device) if tracker else "",
            network=f"{tracker.network_name} ({tracker.weights_sha256[:12]})" if tracker else "",
            engine=tracker.engine if tracker else "",
            execution=tracker.execution if tracker else "",
            fault=self._fault,
            missing_image=missing.get("image", ""),
            inputs=self._outputs.spatial.condition(missing) if self._watch and self._outputs else {},
            memory=process_megabytes(),
            gpu_memory=gpu_megabytes(tracker.device) if tracker else 0.0,
        )
        stamp, name = self.get_clock().now().to_msg(), self.get_fully_qualified_name()
        self._diagnostics.publish(diagnostic_array(stamp, name, condition, self._statistics.snapshot()))

    # Requests

    async def _on_set_target(self, request: SetTarget.Request, response: SetTarget.Response) -> SetTarget.Response:
        box = (request.x, request.y, request.width, request.height)
        stamp = to_nanoseconds(request.stamp)
        try:
            worker = self._active_worker()
            target_id = await answer_of(self.running_executor, worker.set_target(box, stamp, request.target_id))
            if worker is not self._worker:
                raise concurrent.futures.CancelledError
            response.target_id = target_id
            response.success, response.message = True, f"following target {target_id}"
        except Exception as error:  # a refusal, or a failure of the tracker: either way the caller gets the reason
            response.message = self._refusal(error)
        return response

    def _on_remove_target(
        self, request: RemoveTarget.Request, response: RemoveTarget.Response
    ) -> RemoveTarget.Response:
        try:
            worker = self._active_worker()
            if request.target_id == 0:
                response.success, response.message = True, _cleared(worker.clear_targets())
                self._forget()
            elif worker.remove_target(request.target_id):
                self._forget(request.target_id)
                response.success, response.message = True, f"target {request.target_id} removed"
            else:
                followed = ", ".join(map(str, worker.target_ids)) or "none"
                response.message = f"there is no target {request.target_id}; followed now: {followed}"
        except RuntimeError as error:
            response.message = self._refusal(error)
        return response

    def _on_clear_target(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message = _cleared(self._active_worker().clear_targets())
            response.success = True
            self._forget()
        except RuntimeError as error:
            response.message = self._refusal(error)
        return response

    def _on_list_targets(self, _: ListTargets.Request, response: ListTargets.Response) -> ListTargets.Response:
        try:
            worker = self._active_worker()
        except RuntimeError as error:
            response.message = self._refusal(error)
            return response
        now = self.get_clock().now().nanoseconds
        response.tracks = [track_message(report, now) for report in worker.newest_reports()]
        response.success, response.paused = True, worker.is_paused
        response.message = _count(len(response.tracks))
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        try:
            worker = self._active_worker()
            worker.pause(request.data)
            count = _count(len(worker.target_ids))
            response.success = True
            response.message = f"paused with {count}" if request.data else f"following {count}"
            self.get_logger().info(response.message.capitalize(), throttle_duration_sec=_LOG_INTERVAL)
        except RuntimeError as error:
            response.message = self._refusal(error)
        return response

    def _forget(self, target_id: int | None = None) -> None:
        """Deletes the markers and the state of one target, or of all, without waiting for the next image."""
        if self._outputs is not None:
            self._outputs.forget(target_id)
        self._state_log.forget(target_id)
        self._action.target_removed(target_id)

    def _active_worker(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("the node is not active; activate it first")
        return self._worker

    def _refusal(self, error: Exception) -> str:
        if isinstance(error, concurrent.futures.CancelledError):
            return "the node was deactivated meanwhile"
        if not isinstance(error, ValueError | LookupError | RuntimeError):
            self.get_logger().error(
                f"Request failed: {type(error).__name__}: {error}", throttle_duration_sec=_LOG_INTERVAL
            )
        return str(error)

    # Parameters

    def _validate_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        try:
            parameters.with_changes(self, changes, self.lifecycle_state)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, _: list[Parameter]) -> None:
        self._settings = parameters.with_changes(self, ())
        if self._worker is not None:
            self._worker.configure(self._settings)


def _count(targets: int) -> str:
    return f"{targets} target{'' if targets == 1 else 's'}"


def _cleared(count: int) -> str:
    if count > 1:
        return f"{count} targets cleared"
    return "target cleared" if count else "there was no target"


def main(args: list[str] | None = None) -> int:
    """Runs the node, see `atom_ros.run_tracker`; returns the exit status of the process."""
    return run_tracker.main(args)


if __name__ == "__main__":
    sys.exit(main())
