# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The tracker as a ROS 2 lifecycle node.

Three parts work side by side. The executor's one thread takes images and requests, and never computes: an image goes
into a one-slot mailbox and into the buffer of recent images, a request becomes a command whose answer is awaited as a
future. The worker's thread owns the tracker (see worker.py). The middleware has its own threads.

A single-threaded executor suffices, since a service callback that awaits does not hold the thread. Following a target
at 640x480 and 30 Hz, rclpy's multi-threaded one took more processor time for each image.
"""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import Trigger

from atom_core.multi_tracker import MultiTracker
from atom_ros import parameters
from atom_ros.answering import answer_always
from atom_ros.diagnostics import Condition, Statistics, diagnostic_array
from atom_ros.events import StateLog, summary
from atom_ros.frame_buffer import Arrival, FrameBuffer, to_nanoseconds
from atom_ros.gpu import (
    GPU_ERRORS,
    describe,
    free_gpu_memory,
    gpu_megabytes,
    keep_loaded,
    process_megabytes,
    release_loaded,
)
from atom_ros.image_input import ImageInput
from atom_ros.images import ImageMessage
from atom_ros.outputs import Outputs
from atom_ros.report import Report
from atom_ros.target_inputs import TargetInputs
from atom_ros.worker import Worker
from atom_tracker.srv import RemoveTarget, SetTarget

T = TypeVar("T")

_MEGABYTE = 1_000_000
_DIAGNOSTICS_PERIOD = 1.0  # s


class TrackerNode(LifecycleNode):
    """Follows targets through a camera's images; topics, services and parameters are described in the README.

    Configuring loads the network, activating subscribes to the images, deactivating drops the targets and cleaning up
    frees the network.
    """

    def __init__(self, load_tracker: Callable[..., MultiTracker] | None = None, **node_arguments: object) -> None:
        """Declares the parameters and creates the services.

        Args:
            load_tracker: makes the tracker from a weights' name, a device's, a configuration and a precision's;
                `MultiTracker.from_pretrained` unless given.
            node_arguments: those of rclpy's Node, without a name.

        Raises:
            ValueError, rclpy.exceptions.ParameterException: if a parameter's value is wrong.
        """
        super().__init__("tracker", **node_arguments)
        answer_always(self)
        self._load_tracker = load_tracker or MultiTracker.from_pretrained
        self._settings = parameters.declare(self)
        self.add_on_set_parameters_callback(self._validate_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)

        self._statistics = Statistics()
        self._state_log = StateLog(self.get_logger().info)
        self._last_target_id = 0
        self._fault = ""  # what went wrong with the GPU, until the node is configured or activated anew
        # From configure to cleanup:
        self._tracker: MultiTracker | None = None
        self._outputs: Outputs | None = None
        # While active:
        self._buffer: FrameBuffer | None = None
        self._worker: Worker | None = None
        self._inputs: TargetInputs | None = None
        self._images: ImageInput | None = None

        # Requests wait for the worker; in a group of their own they keep nothing else waiting, nor one another.
        group = ReentrantCallbackGroup()
        self.create_service(SetTarget, "~/set_target", self._on_set_target, callback_group=group)
        self.create_service(RemoveTarget, "~/remove_target", self._on_remove_target, callback_group=group)
        self.create_service(Trigger, "~/clear_target", self._on_clear_target, callback_group=group)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A steady clock: how the node fares is of interest also while simulated time stands still.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_PERIOD, self._publish_diagnostics, clock=clock)
        backward = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump_handle = self.get_clock().create_jump_callback(backward, post_callback=self._on_time_jump)

    # Lifecycle

    def start(self) -> bool:
        """Configures and activates, if the parameter autostart asks for it; returns False where that fails."""
        if not self._settings.autostart:
            return True
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the network, runs it once, and creates the publishers."""
        settings = self._settings
        try:
            self._tracker = self._load()
        except Exception as error:  # whatever is wrong with the weights or the GPU, the node stays and says so
            self.get_logger().error(f"Cannot use weights '{settings.weights}' on device '{settings.device}': {error}")
            self._free()
            return TransitionCallbackReturn.FAILURE
        self._outputs = Outputs(self, self._statistics, settings)
        self.get_logger().info(
            f"Loaded network {self._tracker.network_name} on {self._tracker.device} ({self._tracker.execution})"
        )
        keep_loaded()
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Starts the worker and subscribes to the images."""
        settings = self._settings
        if self._tracker is None:
            self.get_logger().error("The network went with the GPU; clean up and configure to load it again")
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
            wants_image=self._outputs.wants_image,
            leave_gpu=self._leave_gpu,
            last_target_id=self._last_target_id,
        )
        self._outputs.start()
        self._inputs = TargetInputs(self, self._worker.set_target, settings.box, settings.target_topics)
        self._images = ImageInput(self, self._image_topic(), settings, self._on_image, self._statistics.count_lost)
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
        """Goes back to unconfigured after a transition that raised."""
        self.get_logger().error(f"Leaving the state '{state.label}' failed; the node is unconfigured now")
        self._stop()
        self._free()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stops the worker before its publishers go away."""
        self._stop()
        self._jump_handle.unregister()
        super().destroy_node()

    def _stop(self) -> None:
        if self._images is not None:
            self._images.destroy()
        if self._inputs is not None:
            self._inputs.destroy()
        if self._worker is not None:
            self._worker.stop()
            self._last_target_id = self._worker.last_target_id
            self._outputs.stop()
            if self._tracker is not None:
                self._tracker.clear()
        self._images = self._inputs = self._worker = self._buffer = None
        self._state_log.clear()

    def _free(self) -> None:
        if self._outputs is not None:
            self._outputs.destroy()
        self._outputs = self._tracker = None
        self._fault = ""
        release_loaded()
        free_gpu_memory()

    # The tracker and its device

    def _load(self) -> MultiTracker:
        """Loads the network and runs it once; on the CPU if the GPU fails in that and the parameters allow it."""
        settings = self._settings
        try:
            tracker = self._load_tracker(settings.weights, settings.device, settings.tracker, settings.precision)
            tracker.warm_up()
            return tracker
        except GPU_ERRORS as error:
            if settings.on_gpu_error != "cpu":
                raise
            reason = describe(error)
        tracker = None
        return self._load_on_cpu(reason)

    def _load_on_cpu(self, reason: str) -> MultiTracker:
        self._fault = f"on the CPU, since the GPU failed: {reason}"
        self.get_logger().error(f"The GPU failed; going on on the CPU: {reason}")
        free_gpu_memory()
        settings = self._settings
        tracker = self._load_tracker(settings.weights, "cpu", settings.tracker, "float32")
        tracker.warm_up()
        return tracker

    def _leave_gpu(self, reason: str) -> MultiTracker | None:
        """Called in the worker's thread when the GPU has failed: a tracker on the CPU, or the way to inactive."""
        if self._settings.on_gpu_error == "cpu":
            self._tracker = None
            try:
                self._tracker = self._load_on_cpu(reason)
                return self._tracker
            except Exception as error:  # the file of weights may be gone, or the memory used up
                reason = f"{reason}; nor can the CPU be used: {error}"
        self._fault = f"the GPU failed: {reason}"
        self.get_logger().error(f"The GPU failed; the node deactivates itself: {reason}")
        free_gpu_memory()
        self.executor.create_task(self._deactivate_itself)
        return None

    def _deactivate_itself(self) -> None:
        if self._worker is not None:
            self.trigger_deactivate()

    # Images in, reports out

    def _image_topic(self) -> str:
        """The full name, which remapping has been applied to: `<image>/compressed` follows a remapped image."""
        topic = self.resolve_topic_name("image")
        return f"{topic}/compressed" if self._settings.image_transport == "compressed" else topic

    def _on_image(self, message: ImageMessage) -> None:
        if self._worker is None:
            return
        arrival, frame = self._buffer.add(message)
        self._statistics.count_received(arrival)
        if arrival is Arrival.RESTART:
            self.get_logger().info("The images' stamps jumped back: older images forgotten")
        if frame is not None:
            self._worker.put_frame(frame)
            self._inputs.image_arrived()

    def _on_time_jump(self, jump: TimeJump) -> None:
        if self._buffer is not None:
            self._buffer.clear()
            self.get_logger().info("The clock was set back: older images forgotten")

    def _publish(self, reports: Sequence[Report], image: np.ndarray | None) -> None:
        """Called in the worker's thread."""
        self._outputs.publish(reports, image)
        self._state_log.update(reports)

    def _publish_diagnostics(self) -> None:
        tracker = self._tracker
        condition = Condition(
            lifecycle=self._state_machine.current_state[1],
            state=summary(self._state_log.states),
            topic=self._image_topic(),
            device=str(tracker.device) if tracker else "",
            network=f"{tracker.network_name} ({tracker.weights_sha256[:12]})" if tracker else "",
            execution=tracker.execution if tracker else "",
            fault=self._fault,
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
            response.target_id = await self._answer(self._active_worker().set_target(box, stamp, request.target_id))
            response.success, response.message = True, f"following target {response.target_id}"
        except Exception as error:  # a refusal, or a failure of the tracker: either way the caller is told
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

    def _forget(self, target_id: int | None = None) -> None:
        """Deletes what is shown and told of a target, or of all, without waiting for the next image."""
        self._outputs.forget(target_id)
        self._state_log.forget(target_id)

    def _active_worker(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("the node is not active; activate it first")
        return self._worker

    async def _answer(self, future: concurrent.futures.Future[T]) -> T:
        """Waits for the worker without holding the executor's thread."""
        answered = Future(executor=self.executor)
        executor = self.executor
        # Through the executor, which this wakes: the future is completed in the worker's thread.
        future.add_done_callback(lambda _: executor.create_task(answered.set_result, None))
        await answered
        return future.result()

    def _refusal(self, error: Exception) -> str:
        if isinstance(error, concurrent.futures.CancelledError):
            return "the node was deactivated meanwhile"
        if not isinstance(error, ValueError | LookupError | RuntimeError):
            self.get_logger().error(f"Request failed: {type(error).__name__}: {error}")
        return str(error)

    # Parameters

    def _validate_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        try:
            parameters.with_changes(self, changes)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, _: list[Parameter]) -> None:
        self._settings = parameters.with_changes(self, ())
        if self._worker is not None:
            self._worker.configure(self._settings)


def _cleared(count: int) -> str:
    if count > 1:
        return f"{count} targets cleared"
    return "target cleared" if count else "there was no target"


def spin(node: TrackerNode, executor: Executor) -> None:
    """Serves the node until shutdown.

    rclpy lets what a callback or a message's conversion raises end the spin, such as a string that is no UTF-8. Such a
    message is logged, and the node goes on.
    """
    while executor.context.ok():
        try:
            executor.spin()
        except (KeyboardInterrupt, ExternalShutdownException):
            return
        except Exception as error:
            node.get_logger().error(f"Message or request dropped: {type(error).__name__}: {error}")


def main(args: list[str] | None = None) -> int:
    """Runs the node; returns the exit status of the process."""
    rclpy.init(args=args)
    try:
        node = TrackerNode()
    except (ValueError, ParameterException) as error:
        print(f"tracker_node: {error}", file=sys.stderr)
        rclpy.shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if not node.start():
            return 1
        spin(node, executor)
        return 0
    except Exception:
        if rclpy.ok():
            raise
        return 0  # Ctrl-C while the network was loading: the transition could not be announced
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
