# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: one table, and the frozen, validated `Settings` made from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from atom_core.config import LIVE, RENAMED, TrackerConfig
from atom_core.data.images import parse_pixel_range
from atom_core.networks.onnx_engine import is_onnx_file
from atom_ros.input.picking import parse_box
from atom_ros.start import accept_whole_numbers, help_text

if TYPE_CHECKING:
    from atom_core.boxes import Box

UNCONFIGURED = "unconfigured"  # the lifecycle state in which all parameters can be changed
ONLY_WHILE = f"changed only while the node is {UNCONFIGURED}"  # in the description of parameters that are not live
Value = bool | int | float | str

_TRACKER = "tracker."  # parameters with this prefix are fields of TrackerConfig
_DEFAULTS = TrackerConfig()


@dataclass(frozen=True)
class Spec:
    """One row of the table."""

    name: str
    default: Value
    description: str
    bounds: tuple[float, float] | None = None  # both included
    choices: tuple[str, ...] = ()
    live: bool = False  # can be changed at any time, otherwise while the node is unconfigured
    fixed: bool = False  # can be set at start only
    read: Callable[[Any], object] | None = None  # converts the value to the setting; raises ValueError

    def descriptor(self) -> ParameterDescriptor:
        """The descriptor, which `ros2 param describe` shows."""
        descriptor = ParameterDescriptor(name=self.name, description=self.description, read_only=self.fixed)
        constraints = [f"one of: {', '.join(self.choices)}"] if self.choices else []
        if not self.live and not self.fixed:
            constraints.append(ONLY_WHILE)
        descriptor.additional_constraints = "; ".join(constraints)
        if self.bounds is not None:
            low, high = self.bounds
            if isinstance(self.default, int):
                descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
            else:
                descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        return descriptor

    def check(self, value: Value) -> None:
        """Raises ValueError, naming the choices, if the value is none of them (rclpy checks types and bounds)."""
        if self.choices and value not in self.choices:
            raise ValueError(f"parameter {self.name} is '{value}'; expected one of {', '.join(self.choices)}")

    def setting(self, value: Value) -> object:
        """The setting from a value; raises ValueError, naming the value, if it is invalid."""
        try:
            return value if self.read is None else self.read(value)
        except ValueError as error:
            raise ValueError(f"parameter {self.name}: {error}") from error


def parse_engine(text: str) -> str:
    """The name of an engine, or the path of an ONNX file; raises ValueError if it is neither."""
    if text in ("auto", "openvino", "torch") or is_onnx_file(text):
        return text
    raise ValueError(f"'{text}'; expected auto, openvino, torch or the path of an .onnx file")


def _tracker_specs() -> Iterator[Spec]:
    """The fields of TrackerConfig that are parameters of the node."""
    for name, setting in TrackerConfig.settings().items():
        if setting.parameter:
            default = getattr(_DEFAULTS, name)
            yield Spec(_TRACKER + name, default, setting.text, setting.bounds, live=setting.parameter == LIVE)


TABLE = (
    Spec("autostart", True, "Configure and activate at start; false leaves both to a lifecycle manager.",
         fixed=True),
    Spec("weights", "default", "Network: the name of a shipped one, or the path of a .safetensors file."),
    Spec("device", "auto", "Where the network runs: auto (the GPU if there is one), cpu, cuda or cuda:<index>."),
    Spec("precision", "float32", "Of the networks; auto: bfloat16 on a CPU that has it, and int8 for resnet18, else "
         "float32.", choices=("auto", "float32", "float16", "bfloat16", "int8")),
    Spec("engine", "auto", "What runs the networks: openvino, torch, the path of an exported .onnx file, or auto: "
         "OpenVINO on the CPU, where it is installed, else PyTorch.", read=parse_engine),
    Spec("on_gpu_error", "cpu", "When the GPU fails or is out of memory: continue on the CPU, or become inactive.",
         choices=("cpu", "inactive"), live=True),
    Spec("image_transport", "raw", "raw: sensor_msgs/Image; compressed: CompressedImage on <image>/compressed.",
         choices=("raw", "compressed")),
    Spec("pixel_range", "", "Values shown as black and white in images of more than 8 bits: LOW,HIGH; empty: "
         "from each image.",
         live=True, read=parse_pixel_range),
    Spec("qos.reliability", "auto", "Of the image subscription; auto: reliable if all publishers are.",
         choices=("auto", "best_effort", "reliable")),
    Spec("qos.durability", "volatile", "Of the image subscription; transient_local for latched images.",
         choices=("volatile", "transient_local")),
    Spec("qos.depth", 1, "Images that the middleware keeps for the node.", (1, 100)),
    Spec("max_targets", 1, "Targets followed at once. With 1, a new target replaces the other; otherwise it is added.",
         (1, 100), live=True),
    Spec("box", "", "A target to set on the first image: x,y,width,height in px. Empty for none.",
         read=lambda text: parse_box(text) if text else None),
    Spec("target_topics", True, "Take targets also from clicks in rqt_image_view, ~/target_roi, ~/target_detection."),
    Spec("click_timeout", 10.0, "Two clicks make a target if the second comes within this many seconds.",
         (0.1, 3600.0), live=True),
    Spec("buffer.seconds", 10.0, "A box may be drawn on an image this old.", (0.1, 60.0)),
    Spec("buffer.megabytes", 256, "Maximum of image data kept for that; images up to 1.5 MB become JPEGs after a "
         "second (1080p at 30 fps: 190 MB a second).",
         (1, 16384)),
    Spec("stamp_tolerance", 0.05, "A box's stamp may miss its image's stamp by this many seconds.", (0.0, 1.0),
         live=True),
    Spec("stamp_wait", 0.5, "A box whose stamp is newer than all images waits this many seconds for its image.",
         (0.0, 10.0), live=True),
    Spec("relearn_overlap", 0.8, "A box that overlaps the tracker's own of its TRACKING target by this share (IoU) "
         "or more is not learned again; 1: it always is.", (0.0, 1.0), live=True),
    Spec("catch_up_seconds", 1.0, "Time for following a new target through the images since its own; "
         "afterwards the tracker jumps to the newest image.", (0.0, 10.0), live=True),
    Spec("rectified", False, "The images are rectified: camera_info's P counts, instead of K and D."),
    Spec("depth_tolerance", 0.02, "A depth image belongs to the image whose stamp is this near, in seconds.",
         (0.0, 1.0)),
    Spec("target_frame", "", "Frame of ~/position, such as odom, by the transforms of the image's time, where tf2_ros "
         "is installed. Empty: the camera's."),
    Spec("transform_wait", 0.2, "A position waits this many seconds for the transform of its image's time.",
         (0.0, 10.0)),
    Spec("publish_tf", False, "Publish each target's position as a transform, too, where tf2_msgs is installed."),
    Spec("tf_prefix", "target_", "Start of the name of a target's frame, which ends with its number."),
    *_tracker_specs(),
)  # fmt: skip

_SPECS: Mapping[str, Spec] = MappingProxyType({spec.name: spec for spec in TABLE})


def describe() -> str:
    """The text of `tracker_node --help`."""
    rows = [(spec.name, spec.default, spec.description) for spec in TABLE]
    text = "Follows targets through a camera's images. Services and topics: see the package's README."
    return help_text("tracker_node", text, rows, ("image", "camera_info", "depth"))


@dataclass(frozen=True)
class Settings:
    """The parameters' validated values. Fields are named as in the table, with _ for the dot."""

    autostart: bool
    weights: str
    device: str
    precision: str
    engine: str
    on_gpu_error: str
    image_transport: str
    pixel_range: tuple[float, float] | None
    qos_reliability: str
    qos_durability: str
    qos_depth: int
    max_targets: int
    box: Box | None
    target_topics: bool
    click_timeout: float  # s
    buffer_seconds: float
    buffer_megabytes: int
    stamp_tolerance: float  # s
    stamp_wait: float  # s
    relearn_overlap: float
    catch_up_seconds: float
    rectified: bool
    depth_tolerance: float  # s
    target_frame: str
    transform_wait: float  # s
    publish_tf: bool
    tf_prefix: str
    tracker: TrackerConfig

    @classmethod
    def from_values(cls, values: Mapping[str, Value]) -> Settings:
        """Validates a complete set of values, one for each row of the table.

        Raises:
            ValueError: naming the parameter, its value and the expected values.
        """
        own: dict[str, Any] = {}
        tracker: dict[str, Any] = {}
        for name, spec in _SPECS.items():
            spec.check(values[name])
            if name.startswith(_TRACKER):
                tracker[name.removeprefix(_TRACKER)] = values[name]
            else:
                own[name.replace(".", "_")] = spec.setting(values[name])
        return cls(**own, tracker=dataclasses.replace(_DEFAULTS, **tracker))

    def image_qos(self, reliability: ReliabilityPolicy) -> QoSProfile:
        """The quality of service of the image subscription, whose reliability may depend on the publishers."""
        return QoSProfile(
            depth=self.qos_depth,
            reliability=reliability,
            durability=DurabilityPolicy[self.qos_durability.upper()],
        )


def declare(node: Node) -> Settings:
    """Declares every parameter of the table on `node` and returns their values.

    Raises:
        ValueError, rclpy.exceptions.ParameterException: if a value from the command line or a file is not valid.
    """
    fractions = {spec.name for spec in TABLE if isinstance(spec.default, float)}
    fractions |= {_TRACKER + old for old, new in RENAMED.items() if _TRACKER + new in fractions}
    accept_whole_numbers(node, fractions)
    old = _values_of_old_names(node)
    node.declare_parameters("", [(spec.name, old.get(spec.name, spec.default), spec.descriptor()) for spec in TABLE])
    return with_changes(node, ())


def _values_of_old_names(node: Node) -> dict[str, Value]:
    """The values given under old parameter names, by the new names; logs a warning."""
    values = {}
    for old, new in ((_TRACKER + old, _TRACKER + new) for old, new in RENAMED.items()):
        value = node.declare_parameter(old, descriptor=ParameterDescriptor(dynamic_typing=True)).value
        node.undeclare_parameter(old)
        if value is None:
            continue
        expected = type(_SPECS[new].default)
        if not isinstance(value, expected):
            raise ValueError(
                f"parameter {old} is {value!r}; expected a {expected.__name__}, and it is called {new} now"
            )
        node.get_logger().warning(f"parameter {old} is called {new} now; the old name goes with the next release")
        values[new] = value
    return values


def with_changes(node: Node, changes: Iterable[Parameter], state: str = UNCONFIGURED) -> Settings:
    """Returns the node's settings after `changes` in a lifecycle state.

    Raises:
        ValueError: if they are invalid, or one cannot be changed in that state; the message says what to do.
    """
    values = {name: node.get_parameter(name).value for name in _SPECS}
    for parameter in changes:
        if parameter.name not in _SPECS:
            continue
        if state != UNCONFIGURED and not _SPECS[parameter.name].live and parameter.value != values[parameter.name]:
            raise ValueError(
                f"parameter {parameter.name} can be changed only while the node is {UNCONFIGURED}, and it is {state}; "
                "deactivate and clean it up first, and configure it afterwards"
            )
        values[parameter.name] = parameter.value
    return Settings.from_values(values)
