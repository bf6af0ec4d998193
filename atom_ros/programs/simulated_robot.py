# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`ros2 run atom_tracker simulated_robot`: a simulated robot with a drawn camera.

It obeys cmd_vel, for testing a follower without a robot or a simulator: see docs/follower.md. The world has a plane, a
distant round wall with a pattern, and a target that walks in a circle as soon as the robot moves.
"""

from __future__ import annotations

import array
import math
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import Quaternion, TransformStamped, Twist, Vector3
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from atom_ros.ending import Ending
from atom_ros.images import image_message
from atom_ros.programs.camera_program import LoopNode, run_program
from atom_ros.start import accept_whole_numbers, help_text, wants_help

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # an optional package: without it there are no transforms
    TFMessage = None

PARAMETERS = (  # name, default, description
    ("fps", 10.0, "Images per second."),
    ("walking_speed", 0.3, "The target's speed, in m/s."),
    (
        "lockstep",
        False,
        "Continue only after a command answers the image, however long that takes; for slow computers.",
    ),
    ("seed", 0, "Seed of the patterns."),
)
WIDTH, HEIGHT = 320, 240
FOCAL_LENGTH = 300.0  # px
TARGET_WIDTH, TARGET_HEIGHT = 0.6, 1.0  # m
_CENTER_X, _CENTER_Y = (WIDTH - 1) / 2, (HEIGHT - 1) / 2  # of the image, px
_START, _RADIUS = 3.0, 5.0  # m in front of the robot; of the circle
_WALL = 20.0  # m
_NEAREST = 0.3  # m; the camera does not see anything nearer
_PATIENCE = 1.0  # s until an unanswered image is sent again, in lockstep
_STOP_AFTER = 0.5  # s without a command, like a motor controller
_RELIABLE = QoSProfile(depth=1)
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_OPTICAL = Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)  # of a forward-looking camera (REP 103)


@dataclass
class World:
    """The positions of robot and target, and the camera's view.

    The robot starts at the origin facing x; y is to its left. Lengths are in m, angles in rad.
    """

    walking_speed: float = 0.3  # m/s
    seed: int = 0
    x: float = 0.0
    y: float = 0.0
    heading: float = 0.0
    walked: float = 0.0  # by the target, m
    is_hidden: bool = False  # the target
    _wall: np.ndarray = field(init=False)
    _target: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        around = round(2 * math.pi * FOCAL_LENGTH)
        wall = _pattern(rng, around, HEIGHT, 40, 6) // 2 + 40
        self._wall = np.concatenate((wall, wall[:, :WIDTH]), axis=1)
        self._target = _pattern(rng, 60, 100, 4, 6)

    def move(self, seconds: float, forwards: float, turn: float) -> None:
        """Drives for `seconds` at `forwards` m/s and `turn` rad/s to the left, and lets the target walk."""
        middle = self.heading + turn * seconds / 2
        self.x += forwards * seconds * math.cos(middle)
        self.y += forwards * seconds * math.sin(middle)
        self.heading += turn * seconds
        self.walked += self.walking_speed * seconds

    @property
    def target(self) -> tuple[float, float]:
        """The target's position, on a circle to the left."""
        angle = self.walked / _RADIUS
        return _START + _RADIUS * math.sin(angle), _RADIUS * (1.0 - math.cos(angle))

    @property
    def place(self) -> tuple[float, float]:
        """The target's position relative to the robot: m forwards, and m to the left."""
        dx, dy = self.target[0] - self.x, self.target[1] - self.y
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        return dx * cos + dy * sin, dy * cos - dx * sin

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """The target's box in the image: x, y, width, height in px; None if the camera does not see it."""
        depth, left = self.place
        if depth < _NEAREST or self.is_hidden:
            return None
        width, height = FOCAL_LENGTH * TARGET_WIDTH / depth, FOCAL_LENGTH * TARGET_HEIGHT / depth
        x, y = _CENTER_X - FOCAL_LENGTH * left / depth - width / 2, _CENTER_Y - height / 2
        return (x, y, width, height) if -width < x < WIDTH and -height < y < HEIGHT else None

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """The camera's images: (HEIGHT, WIDTH, 3) uint8 RGB, and (HEIGHT, WIDTH) float32 depths in m."""
        first = round(-self.heading * FOCAL_LENGTH) % (self._wall.shape[1] - WIDTH)
        image = self._wall[:, first : first + WIDTH].copy()
        depth = np.full((HEIGHT, WIDTH), _WALL, np.float32)
        if self.box is not None:
            x, y, width, height = self.box
            left, right = max(0, math.ceil(x)), min(WIDTH, math.ceil(x + width))
            top, bottom = max(0, math.ceil(y)), min(HEIGHT, math.ceil(y + height))
            # The share of each pixel that the target covers, since its edges may lie between pixels.
            columns = (np.arange(left, right, dtype=np.float32) - x) / width * self._target.shape[1] - 0.5
            rows = (np.arange(top, bottom, dtype=np.float32) - y) / height * self._target.shape[0] - 0.5
            if columns.size and rows.size:
                x_map, y_map = np.meshgrid(columns, rows)
                drawn = cv2.remap(self._target, x_map, y_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                image[top:bottom, left:right] = drawn
                depth[top:bottom, left:right] = self.place[0]
        return image, depth


def _pattern(rng: np.random.Generator, width: int, height: int, columns: int, rows: int) -> np.ndarray:
    coarse = rng.integers(0, 216, (rows, columns, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


class SimulatedRobot(LoopNode):
    """The node; `run` does the work."""

    def __init__(self, **node_arguments: Any) -> None:
        """Args: as for rclpy's Node, without a name. Raises ValueError if a parameter cannot be used."""
        super().__init__("robot", **node_arguments)
        accept_whole_numbers(self, [name for name, default, _ in PARAMETERS if isinstance(default, float)])
        values = {name: self.declare_parameter(name, default).value for name, default, _ in PARAMETERS}
        if not 0 < values["fps"] < math.inf:
            raise ValueError(f"fps is {values['fps']:g}; expected a positive number")
        self._period, self._lockstep = 1.0 / values["fps"], values["lockstep"]
        self.world = World(values["walking_speed"], values["seed"])
        self.command = Twist()  # the newest
        self._heard = 0.0  # its time.monotonic()
        self._has_moved = False
        self._answered = threading.Event()
        self._stopped = threading.Event()
        self._images = self.create_publisher(Image, "camera/image_raw", _RELIABLE)
        self._depths = self.create_publisher(Image, "camera/depth", _RELIABLE)
        self._infos = self.create_publisher(CameraInfo, "camera/camera_info", _RELIABLE)
        self._transforms = None
        if TFMessage is not None:
            self._transforms = self.create_publisher(TFMessage, "/tf", 10)
            self._mounts = self.create_publisher(TFMessage, "/tf_static", _LATCHED)
            mount = _transform(Header(frame_id="base_link"), "camera_optical_frame", 0.0, 0.0, _OPTICAL)
            self._mounts.publish(TFMessage(transforms=[mount]))
        self.create_subscription(Twist, "cmd_vel", self._on_command, 1)
        self.context.on_shutdown(self.stop)

    def stop(self) -> None:
        """Has `run` return; may be called from any thread."""
        self._stopped.set()
        self._answered.set()

    def run(self) -> None:
        """Publishes the camera's images and moves, until `stop` is called or ROS is shut down."""
        box = ",".join(f"{value:.0f}" for value in self.world.box or ())
        self.get_logger().info(f"The target's box is {box}; it walks as soon as the robot moves")
        while not self._stopped.is_set():
            self._answered.clear()
            self._publish()
            if not self._lockstep:
                self._stopped.wait(self._period)
                self._move()
            elif self._answered.wait(_PATIENCE):
                self._move()

    def _on_command(self, command: Twist) -> None:
        self.command, self._heard = command, time.monotonic()
        self._answered.set()

    def _move(self) -> None:
        forwards, turn = self.command.linear.x, self.command.angular.z
        if not self._lockstep and time.monotonic() - self._heard > _STOP_AFTER:
            forwards = turn = 0.0
        self._has_moved |= bool(forwards or turn)
        if self._has_moved:
            self.world.move(self._period, forwards, turn)

    def _publish(self) -> None:
        header = Header(frame_id="camera_optical_frame", stamp=self.get_clock().now().to_msg())
        image, depth = self.world.images()
        if self._transforms is not None:
            odometry = Header(frame_id="odom", stamp=header.stamp)
            half = self.world.heading / 2
            rotation = Quaternion(z=math.sin(half), w=math.cos(half))
            transform = _transform(odometry, "base_link", self.world.x, self.world.y, rotation)
            self._transforms.publish(TFMessage(transforms=[transform]))
        self._infos.publish(_camera_info(header))
        message = Image(header=header, width=WIDTH, height=HEIGHT, step=4 * WIDTH, encoding="32FC1")
        message.data = array.array("B", depth.tobytes())
        self._depths.publish(message)
        self._images.publish(image_message(header, image))


def _camera_info(header: Header) -> CameraInfo:
    k = (FOCAL_LENGTH, 0.0, _CENTER_X, 0.0, FOCAL_LENGTH, _CENTER_Y, 0.0, 0.0, 1.0)
    return CameraInfo(header=header, width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5, k=k)


def _transform(header: Header, child: str, x: float, y: float, rotation: Quaternion) -> TransformStamped:
    transform = TransformStamped(header=header, child_frame_id=child)
    transform.transform.translation = Vector3(x=x, y=y)
    transform.transform.rotation = rotation
    return transform


def main(args: list[str] | None = None) -> int:
    """Drives until Ctrl-C; returns the exit status of the process."""
    ending = Ending()
    if wants_help(args):
        text = "A simulated robot with a drawn camera, which obeys cmd_vel and sees a walking target."
        print(help_text("simulated_robot", text, PARAMETERS, ["camera/image_raw", "cmd_vel"]))
        return 0
    return run_program("simulated_robot", SimulatedRobot, args, ending)


if __name__ == "__main__":
    sys.exit(main())
