# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the tracker: `ros2 launch atom_tracker tracker.launch.py image:=/camera/image_raw`.

`ros2 launch atom_tracker tracker.launch.py --show-args` lists the arguments.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(get_package_share_directory("atom_tracker"))

# Arguments that are parameters of the node. Empty means: as in the parameter file.
NODE_PARAMETERS = {"weights": str, "device": str, "image_transport": str, "autostart": bool}


def generate_launch_description() -> LaunchDescription:
    """Returns the tracker and, if asked for, RViz with its debug image."""
    in_file = "; empty: as in the parameter file"
    return LaunchDescription(
        [
            DeclareLaunchArgument("image", default_value="image", description="Topic of the camera's images"),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of the node, one for each camera"
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(SHARE / "config" / "tracker.yaml"),
                description="Parameter file; the arguments below have precedence over it",
            ),
            DeclareLaunchArgument(
                "weights",
                default_value="",
                description="Name of a shipped network, or path of a .safetensors file" + in_file,
            ),
            DeclareLaunchArgument("device", default_value="", description="auto, cpu, cuda or cuda:<index>" + in_file),
            DeclareLaunchArgument(
                "image_transport",
                default_value="",
                choices=["", "raw", "compressed"],
                description="How the images come; compressed subscribes to <image>/compressed" + in_file,
            ),
            DeclareLaunchArgument(
                "autostart",
                default_value="",
                choices=["", "true", "false"],
                description="Configure and activate at once; false leaves it to a lifecycle manager" + in_file,
            ),
            DeclareLaunchArgument(
                "rviz", default_value="false", choices=["true", "false"], description="Show the debug image in RViz"
            ),
            OpaqueFunction(function=_tracker),
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=LaunchConfiguration("namespace"),
                arguments=["-d", str(SHARE / "rviz" / "tracker.rviz")],
                remappings=[("/tracker/debug_image", "tracker/debug_image")],  # into the namespace
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )


def _tracker(context: LaunchContext) -> list[LifecycleNode]:
    """The node; only the arguments that were given override the parameter file."""
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, value_type in NODE_PARAMETERS.items()
        if LaunchConfiguration(name).perform(context)
    }
    node = LifecycleNode(
        package="atom_tracker",
        executable="tracker_node",
        name="tracker",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), overrides],
        remappings=[("image", LaunchConfiguration("image"))],
        output="screen",
    )
    return [node]
