# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A webcam, a video file or a folder of images, and the tracker: `ros2 launch atom_tracker webcam.launch.py source:=0`.

The arguments of tracker.launch.py can be given, too: `device:=cpu box:=685,270,38,103`. All nodes end with the camera:
at the end of a file (`loop:=false`), or if there is no such camera.
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from atom_ros.launch_arguments import check_types, end_with

SHARE = Path(get_package_share_directory("atom_tracker"))

# For large images without loss, see docs/performance.md; the user's own settings have precedence.
_FAST_DDS = {"FASTRTPS_DEFAULT_PROFILES_FILE": str(SHARE / "config" / "fastdds.xml")}
_OWN_FAST_DDS = {"FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS"}

# The camera's parameters: type, default and description.
CAMERA_PARAMETERS = {
    "source": (str, "0", "Camera (0, /dev/video0), video file or folder of images"),
    "fps": (float, "0.0", "Frames per second of a file or a folder; 0.0: the file's own"),
    "loop": (bool, "true", "Restart a file or a folder at its end"),
    "frame_id": (str, "camera_optical_frame", "Frame of the images"),
    "calibration": (str, "", "YAML file of camera_calibration; empty: no camera_info"),
}
TYPES = {name: value_type for name, (value_type, _, _) in CAMERA_PARAMETERS.items()}


def generate_launch_description() -> LaunchDescription:
    """Returns the camera, the tracker and, if asked for, the window in which to draw the target's box."""
    namespace = LaunchConfiguration("namespace")
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (_, default, description) in CAMERA_PARAMETERS.items()
    ]
    arguments += [
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes"),
        DeclareLaunchArgument(
            "select", default_value="true", choices=["true", "false"], description="Open the window to draw a target in"
        ),
        DeclareLaunchArgument(
            "fixed_frame", default_value=LaunchConfiguration("frame_id"), description="RViz's; by default the images'"
        ),
        # The camera is reliable, so nothing is lost if the tracker is reliable, too.
        DeclareLaunchArgument(
            "reliability", default_value="reliable", description="Of the tracker's image subscription"
        ),
    ]
    window = Node(
        package="atom_tracker",
        executable="select_target",
        namespace=namespace,
        arguments=["image_raw"],
        condition=IfCondition(LaunchConfiguration("select")),
        output="screen",
    )
    tracker = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "tracker.launch.py")),
        launch_arguments={"image": "image_raw", "reliability": LaunchConfiguration("reliability")}.items(),
    )
    return LaunchDescription(
        [*arguments, OpaqueFunction(function=_check), tracker, OpaqueFunction(function=_camera), window]
    )


def _check(context: LaunchContext) -> None:
    """Before any process starts: launch would leave one behind that has just been started when an error ends it."""
    check_types({name: context.launch_configurations[name] for name in TYPES}, TYPES)


def _camera(context: LaunchContext) -> list[Node]:
    node = Node(
        package="atom_tracker",
        executable="video_camera",
        name="camera",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            {
                name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
                for name, value_type in TYPES.items()
            }
        ],
        additional_env={} if _OWN_FAST_DDS & os.environ.keys() else _FAST_DDS,
        output="screen",
        on_exit=end_with("the camera"),
    )
    return [node]
