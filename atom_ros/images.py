# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Conversion between image messages and arrays: all handling of encodings, steps and byte order.

OpenCV converts the colours, as inside cv_bridge, so a robot runs the code that was tested. If cv_bridge is installed,
it decodes encodings that are not in the table (`atom_ros.bridge`).
"""

from __future__ import annotations

import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from atom_core.data.images import PixelRange, decode_image
from atom_core.data.picture_size import picture_size
from atom_ros import bridge

if TYPE_CHECKING:  # not at run time: messages from a bag are read without ROS, and have the same fields
    from sensor_msgs.msg import CompressedImage, Image
    from std_msgs.msg import Header

ImageMessage: TypeAlias = "Image | CompressedImage"


@dataclass(frozen=True)
class _Layout:
    """An encoding's memory layout, and OpenCV's code of its conversion to RGB."""

    conversion: int | None
    channels: int = 1
    dtype: str = "u1"
    even_width: bool = False  # two pixels share their colour
    chroma_rows: bool = False  # half as many additional rows below the grey image hold the colour


# OpenCV names a Bayer pattern after the second row's second and third pixel, ROS after the first row's first two.
_BAYER = {
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}
_COLORS = {
    "mono": (cv2.COLOR_GRAY2RGB, 1),
    "rgb": (None, 3),
    "bgr": (cv2.COLOR_BGR2RGB, 3),
    "rgba": (cv2.COLOR_RGBA2RGB, 4),
    "bgra": (cv2.COLOR_BGRA2RGB, 4),
} | {name: (conversion, 1) for name, conversion in _BAYER.items()}

_UYVY = _Layout(cv2.COLOR_YUV2RGB_UYVY, channels=2, even_width=True)
_YUYV = _Layout(cv2.COLOR_YUV2RGB_YUYV, channels=2, even_width=True)
_LAYOUTS = (
    {f"{name}8": _Layout(conversion, channels) for name, (conversion, channels) in _COLORS.items()}
    | {f"{name}16": _Layout(conversion, channels, "u2") for name, (conversion, channels) in _COLORS.items()}
    | {
        "8UC1": _Layout(cv2.COLOR_GRAY2RGB),
        "8UC3": _Layout(cv2.COLOR_BGR2RGB, channels=3),  # OpenCV's own order
        "8UC4": _Layout(cv2.COLOR_BGRA2RGB, channels=4),
        "16UC1": _Layout(cv2.COLOR_GRAY2RGB, dtype="u2"),
        "32FC1": _Layout(cv2.COLOR_GRAY2RGB, dtype="f4"),
        "uyvy": _UYVY,
        "yuv422": _UYVY,
        "yuyv": _YUYV,
        "yuv422_yuy2": _YUYV,
        "nv12": _Layout(cv2.COLOR_YUV2RGB_NV12, even_width=True, chroma_rows=True),
        "nv21": _Layout(cv2.COLOR_YUV2RGB_NV21, even_width=True, chroma_rows=True),
    }
)

ENCODINGS = tuple(_LAYOUTS)  # of Image messages, as spelt in the message

_JPEG_QUALITY = 95
_JPEG_BYTES = 1_500_000  # of the largest raw image that is encoded: 800x600 in colour
_JPEG_SIDE = 65_500  # px, JPEG's own limit


def to_rgb(message: ImageMessage, pixel_range: PixelRange | None = None) -> np.ndarray:
    """Decodes an image message.

    Args:
        message: an Image in one of `ENCODINGS` or one that cv_bridge knows, or a CompressedImage (jpeg or png,
            regardless of its field `format`).
        pixel_range: converts pixels of more than 8 bits; by default from each image's own values.

    Returns:
        (height, width, 3) uint8 RGB, contiguous. It may share the message's memory: copy it before drawing.

    Raises:
        ValueError: if the message contradicts itself or cannot be decoded; the error names the fields.
    """
    check(message)
    if _is_compressed(message):
        return _decompress(message, pixel_range)
    if message.encoding not in _LAYOUTS:
        return bridge.to_rgb(message, pixel_range)
    layout = _LAYOUTS[message.encoding]
    pixels = (pixel_range or PixelRange()).to_8_bit(_pixels(message, layout))
    if layout.conversion is None:
        return np.ascontiguousarray(pixels)
    return cv2.cvtColor(np.ascontiguousarray(pixels), layout.conversion)


def check(message: ImageMessage) -> None:
    """Raises ValueError, naming the fields, if `message` contradicts itself; takes microseconds.

    Faults of a CompressedImage that only decoding shows are found by `to_rgb`.
    """
    if _is_compressed(message):
        if len(message.data) == 0:
            raise ValueError(f"compressed image (format '{message.format}') is empty; expected an encoded picture")
        return
    layout = _LAYOUTS.get(message.encoding)
    if layout is None and not bridge.knows(message.encoding):
        reason = bridge.obstacle() or "cv_bridge does not know it either"
        raise ValueError(
            f"encoding '{message.encoding}' is not supported; expected one of {', '.join(ENCODINGS)} ({reason})"
        )
    if message.width < 1 or message.height < 1:
        raise ValueError(f"image is {message.width} x {message.height}; expected at least 1 x 1")
    if layout is None:
        _check_foreign(message)
        return
    if layout.even_width and message.width % 2:
        raise ValueError(f"{message.encoding} image has width {message.width}; this encoding needs an even one")
    if layout.chroma_rows and message.height % 2:
        raise ValueError(f"{message.encoding} image has height {message.height}; this encoding needs an even one")
    row, step, rows = _geometry(message, layout)
    if step < row:
        raise ValueError(
            f"step is {step}; a row of {message.width} {message.encoding} pixels needs at least {row} bytes"
        )
    needed = step * (rows - 1) + row
    if len(message.data) < needed:
        raise ValueError(
            f"data has {len(message.data)} bytes; {message.width} x {message.height} {message.encoding} "
            f"with step {step} needs {needed}"
        )


def _check_foreign(message: Image) -> None:
    """The checks that apply to every encoding."""
    if message.step * message.height > len(message.data) or message.step < message.width:
        raise ValueError(
            f"data has {len(message.data)} bytes; {message.width} x {message.height} {message.encoding} with step "
            f"{message.step} needs {max(message.step, message.width) * message.height}"
        )


def image_message(header: Header, image: np.ndarray, encoding: str = "rgb8") -> Image:
    """Makes an Image message from a (height, width, 3) uint8 array whose channels match the encoding."""
    from sensor_msgs.msg import Image

    height, width, _ = image.shape
    message = Image(header=header, height=height, width=width, encoding=encoding, step=3 * width)
    # rclpy accepts an array of this type as a whole; it would check bytes or a list element by element.
    message.data = array.array("B", image.tobytes())
    return message


def to_jpeg(message: ImageMessage) -> CompressedImage | None:
    """Encodes an Image message as JPEG, for about a tenth of its bytes; the header stays the same.

    Returns:
        None if that would not help: for encodings other than rgb8, bgr8 and mono8, for images above 1.5 MB, whose
        encoding takes several milliseconds, for tiny ones, and for messages that contradict themselves.
    """
    if _is_compressed(message) or len(message.data) > _JPEG_BYTES or max(message.width, message.height) > _JPEG_SIDE:
        return None
    if message.encoding not in ("rgb8", "bgr8", "mono8"):
        return None
    try:
        pixels = np.ascontiguousarray(values(message))
    except ValueError:  # a request for this image gets the reason
        return None
    from sensor_msgs.msg import CompressedImage

    if message.encoding == "rgb8":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if len(data) >= len(message.data):
        return None
    compressed = CompressedImage(header=message.header, format="jpeg")
    compressed.data = array.array("B", data.tobytes())
    return compressed


def values(message: Image) -> np.ndarray:
    """Returns (rows, width[, channels]) of an Image in its own type and order: a view of its data, padding left out.

    Raises:
        ValueError: if the message contradicts itself, or is in none of `ENCODINGS`; the error names the fields.
    """
    if message.encoding not in _LAYOUTS:
        raise ValueError(f"encoding '{message.encoding}' is not supported; expected one of {', '.join(ENCODINGS)}")
    check(message)
    return _pixels(message, _LAYOUTS[message.encoding])


def _is_compressed(message: ImageMessage) -> bool:
    return not hasattr(message, "encoding")


def _geometry(message: Image, layout: _Layout) -> tuple[int, int, int]:
    """Returns the bytes of a row's pixels, the bytes from row to row, and the number of rows in the buffer."""
    row = message.width * layout.channels * np.dtype(layout.dtype).itemsize
    rows = message.height * 3 // 2 if layout.chroma_rows else message.height
    return row, message.step or row, rows  # some drivers leave step 0


def _pixels(message: Image, layout: _Layout) -> np.ndarray:
    """Returns (rows, width[, channels]) in the message's own type: a view of its data, padding left out."""
    dtype = np.dtype(layout.dtype).newbyteorder(">" if message.is_bigendian else "<")
    _, step, rows = _geometry(message, layout)
    pixel = layout.channels * dtype.itemsize
    pixels = np.ndarray(
        shape=(rows, message.width, layout.channels),
        dtype=dtype,
        buffer=np.frombuffer(message.data, np.uint8),
        strides=(step, pixel, dtype.itemsize),
    )
    return pixels[:, :, 0] if layout.channels == 1 else pixels


def _decompress(message: CompressedImage, pixel_range: PixelRange | None) -> np.ndarray:
    data = bytes(message.data)
    try:
        picture_size(data)
        # A camera's EXIF orientation must not rotate the image under the box.
        return decode_image(data, pixel_range, ignore_orientation=True)
    except ValueError as error:
        raise ValueError(f"compressed image (format '{message.format}') cannot be decoded: {error}") from error
