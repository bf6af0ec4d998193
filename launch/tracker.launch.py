# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the tracker: `ros2 launch atom_tracker tracker.launch.py image:=/camera/image_raw`.

`ros2 launch atom_tracker tracker.launch.py --show-args` lists the arguments.
"""

from pathlib import Path

from ament_index_python.packages import get_package_prefix, get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from atom_ros.launch_arguments import check_file, check_types

SHARE = Path(get_package_share_directory("atom_tracker"))

# Arguments that are parameters of the node: type, choices and description.
NODE_PARAMETERS = {
    "weights": (str, None, "Name of a shipped network, or path of a .safetensors file"),
    "device": (str, None, "auto, cpu, cuda or cuda:<index>"),
    "image_transport": (str, ("raw", "compressed"), "Image transport; compressed: on <image>/compressed"),
    "reliability": (str, ("auto", "best_effort", "reliable"), "Reliability of the image subscription"),
    "max_targets": (int, None, "Targets followed at once"),
    "box": (str, None, "A target to set on the first image: x,y,width,height in px"),
    "target_frame": (str, None, "Frame of ~/position, such as odom; none: the camera's"),
    "publish_tf": (bool, ("true", "false"), "Publish each target's position as a transform, too"),
    "autostart": (bool, ("true", "false"), "Configure and activate at once; false leaves it to a lifecycle manager"),
    "use_sim_time": (bool, ("true", "false"), "Take the time from /clock, of a simulator or a bag"),
}
TYPES = {name: value_type for name, (value_type, _, _) in NODE_PARAMETERS.items()}
FULL_NAMES = {"reliability": "qos.reliability"}  # of parameters with shorter argument names
TOPICS = {
    "image": "Topic of the camera's images",
    "camera_info": "Topic of the camera's calibration; by default the camera_info beside the image",
    "depth": "Topic of the depth image that is aligned with the image",
}


def generate_launch_description() -> LaunchDescription:
    """Returns the tracker and, if asked for, RViz with its debug image and the web page."""
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", LaunchConfiguration("rviz_config"), "-f", LaunchConfiguration("fixed_frame")],
        # into the namespace
        remappings=[(f"/tracker/{name}", f"tracker/{name}") for name in ("debug_image", "markers")],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    web = Node(
        package="atom_tracker",
        executable="web",
        namespace=LaunchConfiguration("namespace"),
        arguments=["--host", LaunchConfiguration("web_host"), "--port", LaunchConfiguration("web_port")],
        condition=IfCondition(LaunchConfiguration("web")),
        output="screen",
    )
    return LaunchDescription(
        [*_arguments(), OpaqueFunction(function=_check), OpaqueFunction(function=_tracker), rviz, web]
    )


def _arguments() -> list[DeclareLaunchArgument]:
    topics = [_argument(name, name, description) for name, description in TOPICS.items()]
    parameters = [
        _argument(name, "", description + "; empty: as in the parameter file", choices and ("", *choices))
        for name, (_, choices, description) in NODE_PARAMETERS.items()
    ]
    return [
        *topics,
        _argument("namespace", "", "Namespace of the node, one for each camera"),
        _argument(
            "params_file",
            str(SHARE / "config" / "tracker.yaml"),
            "Parameter file; the arguments below have precedence over it",
        ),
        *parameters,
        _argument("respawn", "false", "Start the node again if it ends", ("true", "false")),
        _argument("rviz", "false", "Show the debug image in RViz", ("true", "false")),
        _argument("rviz_config", str(SHARE / "rviz" / "tracker.rviz"), "RViz's configuration file"),
        _argument(
            "fixed_frame",
            "camera_optical_frame",
            "RViz's fixed frame: the frame of the images, or one connected with it by transforms",
        ),
        _argument("web", "false", "Serve the web page, see docs/web.md", ("true", "false")),
        _argument("web_host", "127.0.0.1", "Address of the page; one that others reach asks for a token"),
        _argument("web_port", "8080", "Port of the page"),
    ]


def _argument(
    name: str, default: str, description: str, choices: tuple[str, ...] | None = None
) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)


def _check(context: LaunchContext) -> None:
    """Before any process starts: launch would leave one behind that has just been started when an error ends it."""
    values = context.launch_configurations
    # launch itself only warns, and the node would start with unexpected values
    check_file("params_file", values["params_file"], f"a copy of {SHARE}/config/tracker.yaml")
    if values["rviz"] == "true":
        check_file("rviz_config", values["rviz_config"], "a file that RViz has saved")
        get_package_prefix("rviz2")
    check_types({name: values[name] for name in TYPES}, TYPES)


def _tracker(context: LaunchContext) -> list[LifecycleNode]:
    """The node; only the arguments that were given override the parameter file."""
    overrides = {
        FULL_NAMES.get(name, name): ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, value_type in TYPES.items()
        if context.launch_configurations[name]
    }
    node = LifecycleNode(
        package="atom_tracker",
        executable="tracker_node",
        name="tracker",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), overrides],
        remappings=[(name, LaunchConfiguration(name)) for name in TOPICS],
        respawn=LaunchConfiguration("respawn").perform(context) == "true",
        respawn_delay=2.0,
        output="screen",
    )
    return [node]
