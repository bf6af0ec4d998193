# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import array

import cv2
import numpy as np
import pytest
from fake_link import image
from sensor_msgs.msg import CompressedImage, Image

from atom_ros.web.pictures import encode

RED = (200, 30, 40)


def _decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def _red(width: int, height: int) -> Image:
    pixels = np.full((height, width, 3), RED, np.uint8)
    return Image(width=width, height=height, step=3 * width, encoding="rgb8", data=array.array("B", pixels.tobytes()))


def test_colours_and_size() -> None:
    jpeg = encode(_red(64, 48))
    assert (jpeg.width, jpeg.height) == (64, 48)
    decoded = _decoded(jpeg.data)
    assert decoded.shape == (48, 64, 3)
    assert np.abs(decoded.mean((0, 1)) - RED).max() < 4


def test_a_wide_image_shrinks_and_keeps_its_size_in_words() -> None:
    jpeg = encode(_red(1000, 500), max_width=640)
    assert (jpeg.width, jpeg.height) == (1000, 500)
    assert _decoded(jpeg.data).shape == (320, 640, 3)


def _compressed(width: int, height: int, extension: str = ".jpg", exif: bool = False) -> CompressedImage:
    _, data = cv2.imencode(extension, np.full((height, width, 3), RED[::-1], np.uint8))
    content = data.tobytes()
    if exif:  # an orientation that turns the picture by 90 degrees: TIFF, one entry, tag 0x0112, type 3, value 6
        tiff = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
        segment = b"Exif\x00\x00" + tiff
        content = content[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + content[2:]
    return CompressedImage(format="jpeg", data=array.array("B", content))


def test_a_jpeg_is_passed_on() -> None:
    message = _compressed(64, 48)
    jpeg = encode(message)
    assert (jpeg.data, jpeg.width, jpeg.height) == (bytes(message.data), 64, 48)


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        (_compressed(64, 48, ".png"), (48, 64, 3)),
        (_compressed(2000, 100), (64, 1280, 3)),
        (_compressed(64, 48, exif=True), (48, 64, 3)),  # the tracker does not turn it either
    ],
)
def test_what_cannot_be_passed_on_is_made_anew(message: CompressedImage, shape: tuple[int, ...]) -> None:
    data = encode(message).data
    assert data != bytes(message.data) and data.startswith(b"\xff\xd8") and b"Exif" not in data[:1000]
    assert _decoded(data).shape == shape


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="step"):
        encode(Image(width=4, height=4, step=2, encoding="mono8", data=array.array("B", bytes(16))))
    cut = CompressedImage(format="jpeg", data=array.array("B", bytes(_compressed(64, 48).data)[:200]))
    with pytest.raises(ValueError):
        encode(cut)
    assert encode(image(1)).width == 64
