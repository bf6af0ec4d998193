# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Plays a bag to the tracker: `ros2 launch atom_tracker bag.launch.py bag:=<folder> image:=/camera/image_raw`.

All nodes take their time from the bag, and all end with its player: at the end of the bag, or if it cannot be played.
The arguments of tracker.launch.py can be given, too. If no image may be dropped, use `ros2 run atom_tracker track_bag`
instead.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from atom_ros.launch_arguments import check_path, check_program, check_types, end_with

SHARE = Path(get_package_share_directory("atom_tracker"))


def generate_launch_description() -> LaunchDescription:
    """Returns `ros2 bag play` and the tracker."""
    tracker = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "tracker.launch.py")),
        launch_arguments={"use_sim_time": "true"}.items(),
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="Folder of the bag, or its file"),
            DeclareLaunchArgument("rate", default_value="1.0", description="Playback speed; 1.0 is the recording's"),
            DeclareLaunchArgument(
                "loop", default_value="false", choices=["true", "false"], description="Restart at the end"
            ),
            DeclareLaunchArgument(
                "delay", default_value="10.0", description="Seconds to wait while the tracker loads its network"
            ),
            OpaqueFunction(function=_check),
            tracker,
            OpaqueFunction(function=_player),
        ]
    )


def _check(context: LaunchContext) -> None:
    """Before any process starts: launch would leave one behind that has just been started when an error ends it."""
    values = context.launch_configurations
    check_path("bag", values["bag"], "the folder of a bag, or its file")
    check_types({name: values[name] for name in ("rate", "delay")}, {"rate": float, "delay": float})
    check_program("ros2", "it plays the bag; source the setup file of ROS 2")


def _player(context: LaunchContext) -> list[ExecuteProcess]:
    bag, rate, delay = (LaunchConfiguration(name) for name in ("bag", "rate", "delay"))
    loop = ["--loop"] if context.launch_configurations["loop"] == "true" else []
    command = ["ros2", "bag", "play", bag, "--clock", "--rate", rate, "--delay", delay, *loop]
    return [ExecuteProcess(cmd=command, output="screen", on_exit=end_with("the bag's player"))]
