# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Messages and requests that a node should never get, one after another from a seed.

None of them may end or change what is asked of the good target: no request here removes it or makes it LOST by a valid
parameter, and no image's stamp lies in the second after the good one's: the next good image would be older.
"""

from __future__ import annotations

import array
import copy
import ctypes
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from geometry_msgs.msg import Point
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest

from atom_ros.images import ENCODINGS
from atom_ros.parameters import TABLE, Spec
from atom_tracker.srv import RemoveTarget, SetTarget

T = TypeVar("T")

SECOND = 1_000_000_000  # ns
NUMBERS = (float("nan"), float("inf"), -float("inf"), 0.0, -0.0, -1.0, 0.5, 5e-324, 1e9, 1e300, -1e308)
COUNTS = (0, 1, 2, 255, 65_535, 2**31 - 1, 2**31, 2**32 - 1)
STRINGS = ("", " ", "nonsense", "\n", "%s%n", "../../etc/passwd", "BGR8", "rgb8 ", "äöü漢字", "x" * 100_000)
_MARK = "M" * 32  # stands for what becomes bytes that are no UTF-8
_NO_UTF8 = b"\xff\xfe\xc3\x28"

# Any value of these leaves the good target alone; of the others only values are sent that must be refused.
_HARMLESS = ("click_timeout", "stamp_tolerance", "catch_up_seconds", "use_sim_time")
_LEAVE_ACTIVE = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVE_SHUTDOWN)


@dataclass(frozen=True)
class Publication:
    """A message, or the bytes of one, for a topic."""

    kind: str
    message_type: type
    topic: str
    payload: object


@dataclass(frozen=True)
class Call:
    """A request, which must be answered whatever it holds."""

    kind: str
    service_type: type
    name: str
    request: object


class Hostile:
    """Makes the items. The same seed gives the same items, but for what serialization leaves in gaps between fields."""

    def __init__(self, seed: int, good: Image, compressed: bool = False) -> None:
        """Args: `good` is an image as the node should get it; with `compressed`, all images are CompressedImages."""
        self._rng = np.random.default_rng(seed)
        self._good = good
        self._compressed = compressed
        self._pictures = _encoded_pictures(good)
        self.stamp = 0  # ns, of the newest good image

    def item(self) -> Publication | Call:
        """The next item."""
        makers: dict[Callable[[], Publication | Call], float] = {
            self._image: 0.36,
            self._image_bytes: 0.08,
            self._camera_info: 0.08,
            self._depth: 0.10,
            self._set_target: 0.12,
            self._remove_target: 0.04,
            self._set_parameters: 0.10,
            self._query: 0.03,
            self._change_state: 0.03,
            self._pointing: 0.05,
            self._clock: 0.01,
        }
        return list(makers)[self._rng.choice(len(makers), p=list(makers.values()))]()

    # Images

    def _image(self) -> Publication:
        return self._compressed_image() if self._compressed else self._raw_image()

    def _raw_image(self) -> Publication:
        message = copy.deepcopy(self._good)
        self._set_stamp(message, self._stamp())
        kind = self._pick(("step", "size", "encoding", "length", "noise", "frame", "order", "floats"))
        if kind == "step":
            message.step = self._pick((*COUNTS, message.step - 1, message.step + 1))
        elif kind == "size":
            message.width = self._pick((*COUNTS, message.width))
            message.height = self._pick((*COUNTS, message.height))
        elif kind == "encoding":
            message.encoding = self._pick((*STRINGS, *ENCODINGS, "32FC3", "64FC1"))
        elif kind == "length":
            size = self._pick((0, 1, 100, len(message.data) - 1, len(message.data) + 1, 2 * len(message.data)))
            message.data = array.array("B", bytes(size))
        elif kind == "noise":
            self._make_noise(message)
        elif kind == "frame":
            message.header.frame_id = self._pick(STRINGS)
        elif kind == "order":
            message.is_bigendian = self._pick((1, 255))
        else:
            self._make_floats(message)
        return Publication(f"image: {kind}", Image, "image", message)

    def _make_noise(self, message: Image) -> None:
        """A valid image of any size, in any encoding, that shows nothing."""
        message.encoding = self._pick(ENCODINGS)
        message.width, message.height = (2 * int(n) for n in self._rng.integers(1, 300, 2))
        message.step = 16 * message.width
        message.data = array.array("B", self._rng.bytes(message.step * message.height * 2))

    def _make_floats(self, message: Image) -> None:
        values = self._rng.choice(np.array((np.nan, np.inf, -np.inf, 0, 1e-38, 3e38), np.float32), (60, 80))
        if self._rng.random() < 0.3:
            values[:] = values[0, 0]
        message.encoding, message.width, message.height, message.step = "32FC1", 80, 60, 320
        message.data = array.array("B", values.tobytes())

    def _compressed_image(self) -> Publication:
        kind = self._pick(("cut", "flipped", "random", "kinds", "format", "bomb", "tail"))
        name = self._pick(tuple(self._pictures))
        data = bytearray(self._pictures[name])
        if kind == "cut":
            data = data[: self._rng.integers(0, len(data))]
        elif kind == "flipped":
            self._flip(data, len(data))
        elif kind == "random":
            data = bytearray(self._pick((b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF", b"", b"GIF89a")))
            data += self._rng.bytes(self._pick((0, 1, 1000, 100_000)))
        elif kind == "bomb":
            name = self._pick(tuple(_bombs()))
            data = bytearray(_bombs()[name])
        elif kind == "tail":
            data += bytes(self._pick((1, 2, 10_000)))
        message = CompressedImage(format=self._pick(STRINGS) if kind == "format" else "jpeg")
        message.data = array.array("B", bytes(data))
        self._set_stamp(message, self._stamp())
        return Publication(f"compressed image: {kind}", CompressedImage, "image/compressed", message)

    def _image_bytes(self) -> Publication:
        if self._compressed:
            message = CompressedImage(format=_MARK, data=array.array("B", self._pictures["jpg"]))
            message_type, topic = CompressedImage, "image/compressed"
        else:
            message = copy.deepcopy(self._good)
            message.encoding = _MARK
            message_type, topic = Image, "image"
        self._set_stamp(message, self._stamp())
        return self._as_bytes("image", message, message_type, topic)

    def _as_bytes(self, what: str, message: object, message_type: type, topic: str) -> Publication:
        """A serialized message that is cut, altered or holds no UTF-8."""
        data = bytearray(serialize_message(message))
        kind = self._pick(("cut", "flipped", "no UTF-8"))
        if kind == "cut":
            data = data[: self._rng.integers(0, len(data))]
        elif kind == "flipped":
            self._flip(data, 64, first=12)  # the stamp before that is left as it is
        else:
            data = data.replace(_MARK.encode(), _NO_UTF8 * (len(_MARK) // len(_NO_UTF8)))
        return Publication(f"{what}: bytes {kind}", message_type, topic, bytes(data))

    # What comes beside the images

    def _camera_info(self) -> Publication:
        info = CameraInfo(width=self._good.width, height=self._good.height, distortion_model="plumb_bob")
        info.k = [300.0, 0.0, 160.0, 0.0, 300.0, 120.0, 0.0, 0.0, 1.0]
        info.d = [0.0] * 5
        info.header.frame_id = _MARK
        kind = self._pick(("good", "k", "d", "model", "size", "binning", "roi", "bytes"))
        if kind == "bytes":
            return self._as_bytes("camera_info", info, CameraInfo, "camera_info")
        if kind == "k":
            info.k = [self._pick((*NUMBERS, 300.0)) for _ in range(9)]
        elif kind == "d":
            info.d = [self._pick(NUMBERS) for _ in range(self._pick((0, 1, 3, 5, 8, 1000)))]
        elif kind == "model":
            info.distortion_model = self._pick((*STRINGS, "fisheye", "equidistant", "rational_polynomial"))
        elif kind == "size":
            info.width, info.height = self._pick(COUNTS), self._pick(COUNTS)
        elif kind == "binning":
            info.binning_x, info.binning_y = self._pick(COUNTS), self._pick(COUNTS)
        elif kind == "roi":
            info.roi = self._region()
        return Publication(f"camera_info: {kind}", CameraInfo, "camera_info", info)

    def _depth(self) -> Publication:
        values = np.full((self._good.height, self._good.width), 1500, np.uint16)
        message = Image(height=values.shape[0], width=values.shape[1], step=2 * values.shape[1], encoding="16UC1")
        message.data = array.array("B", values.tobytes())
        message.header.frame_id = _MARK
        kind = self._pick(("good", "encoding", "size", "length", "floats", "stamp", "bytes"))
        self._set_stamp(message, self._stamp() if kind == "stamp" else self.stamp + SECOND // 10)
        if kind == "bytes":
            return self._as_bytes("depth", message, Image, "depth")
        if kind == "encoding":
            message.encoding = self._pick((*STRINGS, *ENCODINGS))
        elif kind == "size":
            message.width, message.height = self._pick((*COUNTS, 320)), self._pick((*COUNTS, 240))
            message.step = self._pick((0, message.step))
        elif kind == "length":
            message.data = array.array("B", bytes(self._pick((0, 1, len(message.data) - 1))))
        elif kind == "floats":
            self._make_floats(message)
        return Publication(f"depth: {kind}", Image, "depth", message)

    def _pointing(self) -> Publication:
        if self._rng.random() < 0.5:
            return Publication("region of interest", RegionOfInterest, "tracker/target_roi", self._region())
        click = Point(
            x=self._pick((*NUMBERS, 10.0, 200.0)), y=self._pick((*NUMBERS, 10.0, 200.0)), z=self._pick(NUMBERS)
        )
        return Publication("click", Point, "image_mouse_left", click)

    def _clock(self) -> Publication:
        clock = Clock()
        clock.clock.sec = self._pick((0, -1, 1, -(2**31), 2**31 - 1))
        clock.clock.nanosec = self._pick((0, 1, SECOND, 2**32 - 1))
        return Publication("clock", Clock, "/clock", clock)

    # Requests

    def _set_target(self) -> Call:
        request = SetTarget.Request(target_id=self._pick((0, 0, 0, 10**6, 2**32 - 1)))
        if self._rng.random() < 0.1:
            request.x, request.y = map(float, self._rng.uniform(0, 200, 2))
            request.width, request.height = map(float, self._rng.uniform(8, 100, 2))
        else:
            numbers = (*NUMBERS, 20.0, 50.0)
            request.x, request.y, request.width, request.height = (self._pick(numbers) for _ in range(4))
        if self._rng.random() < 0.5:
            self._set_stamp(request, self._pick((self.stamp, self._stamp())))
        return Call("set_target", SetTarget, "tracker/set_target", request)

    def _remove_target(self) -> Call:
        target_id = self._pick((*range(2, 30), 10**6, 2**32 - 1))  # the good one is number 1
        return Call("remove_target", RemoveTarget, "tracker/remove_target", RemoveTarget.Request(target_id=target_id))

    def _set_parameters(self) -> Call:
        service, name = self._pick(
            ((SetParameters, "set_parameters"), (SetParametersAtomically, "set_parameters_atomically"))
        )
        request = service.Request(parameters=[self._parameter() for _ in range(self._pick((0, 1, 1, 1, 2, 5)))])
        return Call(name, service, f"tracker/{name}", request)

    def _parameter(self) -> Parameter:
        spec = self._pick(TABLE)
        kind = self._pick(("type", "unknown type", "range", "name", "harmless"))
        if kind == "name":
            return Parameter(
                name=self._pick((*STRINGS, no_utf8(8), "tracker", "tracker.", "a.b")), value=self._value(None)
            )
        if kind == "harmless":
            return Parameter(name=self._pick(_HARMLESS), value=self._value(None))
        if kind == "unknown type":
            return Parameter(name=spec.name, value=ParameterValue(type=self._pick((10, 100, 255))))
        if kind == "range":
            return Parameter(name=spec.name, value=_out_of_range(spec, self._pick((True, False))))
        return Parameter(name=spec.name, value=self._value(type(spec.default)))

    def _value(self, other_than: type | None) -> ParameterValue:
        """A value of any type but that one."""
        types = {bool: 1, int: 2, float: 3, str: 4}
        value = ParameterValue(type=self._pick([n for n in range(10) if n != types.get(other_than)]))
        value.string_array_value = [no_utf8(8)]
        value.bool_value = self._pick((True, False))
        value.integer_value = self._pick((*COUNTS, -(2**63), 2**63 - 1))
        value.double_value = self._pick(NUMBERS)
        value.string_value = self._pick(STRINGS)
        value.double_array_value = [self._pick(NUMBERS) for _ in range(3)]
        return value

    def _query(self) -> Call:
        names = [self._pick((*STRINGS, no_utf8(8), "max_targets", "tracker.learning_rate", "box")) for _ in range(3)]
        return self._pick(
            (
                Call("query", GetParameters, "tracker/get_parameters", GetParameters.Request(names=names)),
                Call("query", DescribeParameters, "tracker/describe_parameters",
                     DescribeParameters.Request(names=names)),
                Call("query", GetParameterTypes, "tracker/get_parameter_types", GetParameterTypes.Request(names=names)),
                Call("query", ListParameters, "tracker/list_parameters",
                     ListParameters.Request(prefixes=names, depth=self._pick(COUNTS))),
                Call("query", GetState, "tracker/get_state", GetState.Request()),
                Call("query", GetAvailableStates, "tracker/get_available_states", GetAvailableStates.Request()),
                Call("query", GetAvailableTransitions, "tracker/get_transition_graph",
                     GetAvailableTransitions.Request()),
            )
        )  # fmt: skip

    def _change_state(self) -> Call:
        transition = Transition(id=self._pick([n for n in range(256) if n not in _LEAVE_ACTIVE]))
        if self._rng.random() < 0.3:
            transition.label = self._pick((*STRINGS, no_utf8(8), "configure", "activate", "cleanup"))
        request = ChangeState.Request(transition=transition)
        return Call("change_state", ChangeState, "tracker/change_state", request)

    # Small pieces

    def _stamp(self) -> int:
        """A stamp, in ns, at which the next good image is still the next, or the first after a restart."""
        return self._pick(
            (
                self.stamp,  # a duplicate
                self.stamp - SECOND // 20,
                self.stamp - 5 * SECOND,
                self.stamp + 2 * SECOND,
                0,
                1,
                -(2**31) * SECOND,
                (2**31 - 1) * SECOND + 2**32 - 1,
            )
        )

    def _region(self) -> RegionOfInterest:
        numbers = (*COUNTS, 20, 60)
        x, y, width, height = (self._pick(numbers) for _ in range(4))
        return RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height, do_rectify=True)

    def _flip(self, data: bytearray, stop: int, first: int = 0) -> None:
        """Alters up to 8 bytes from `first` to `stop`."""
        for _ in range(int(self._rng.integers(1, 9))):
            data[int(self._rng.integers(first, min(stop, len(data))))] = int(self._rng.integers(256))

    def _pick(self, choices: Sequence[T]) -> T:
        return choices[int(self._rng.integers(len(choices)))]

    @staticmethod
    def _set_stamp(message: object, stamp: int) -> None:
        time = message.stamp if hasattr(message, "stamp") else message.header.stamp
        seconds = min(stamp // SECOND, 2**31 - 1)
        time.sec, time.nanosec = seconds, stamp - seconds * SECOND


def no_utf8(length: int) -> str:
    """A string that rclpy sends as `length` bytes, a multiple of 4, that are no UTF-8; for nothing else.

    Python makes no such string, so the characters of a good one are overwritten where CPython keeps them.
    """
    text = "".join(["M"] * length)  # not shared with other uses of the same text
    ctypes.memmove(id(text) + sys.getsizeof("") - 1, _NO_UTF8 * (length // len(_NO_UTF8)), length)
    return text


def _out_of_range(spec: Spec, above: bool) -> ParameterValue:
    """A value of the right type that must be refused: none of the choices, out of bounds, or not to be changed now."""
    if isinstance(spec.default, bool):
        return ParameterValue(type=ParameterType.PARAMETER_NOT_SET)
    if isinstance(spec.default, str):
        return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="nonsense")
    low, high = spec.bounds
    if isinstance(spec.default, int):
        number = min(high + 1, 2**63 - 1) if above else low - 1  # the one upper bound that is the type's is not live
        return ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=number)
    number = high + 1e-3 if above else float("nan")
    return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=number)


def _encoded_pictures(good: Image) -> dict[str, bytes]:
    """The good picture in many files' forms."""
    picture = np.frombuffer(good.data, np.uint8).reshape(good.height, good.width, 3)
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    forms = {
        "jpg": (".jpg", picture),
        "grey.jpg": (".jpg", grey),
        "png": (".png", picture),
        "grey.png": (".png", grey),
        "16.png": (".png", picture.astype(np.uint16) * 257),
        "alpha.png": (".png", np.dstack([picture, grey])),
        "bmp": (".bmp", picture),
    }
    return {name: cv2.imencode(extension, pixels)[1].tobytes() for name, (extension, pixels) in forms.items()}


_BOMBS: dict[str, bytes] = {}


def _bombs() -> dict[str, bytes]:
    """Small files of huge pictures: some only say so in their first bytes, one is whole."""
    if not _BOMBS:
        jpeg = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
        size_at = jpeg.index(b"\xff\xc0") + 5
        jpeg[size_at : size_at + 4] = struct.pack(">HH", 65_500, 65_500)
        bmp = bytearray(cv2.imencode(".bmp", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
        bmp[18:26] = struct.pack("<ii", 30_000, 30_000)
        _BOMBS.update(
            {
                "jpg": bytes(jpeg),
                "bmp": bytes(bmp),
                "png": png(30_000, 30_000, rows=1),
                "wide png": png(2**31 - 1, 2**31 - 1, rows=0),
                "whole png": png(16_000, 16_000, rows=16_000),
            }
        )
    return _BOMBS


def png(width: int, height: int, rows: int) -> bytes:
    """A grey, black PNG whose header tells that size, with `rows` of its rows."""
    packer = zlib.compressobj(9)
    row = bytes(width + 1) if rows else b""
    packed = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
