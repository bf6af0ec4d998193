# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from atom_core.data.images import PixelRange, read_image
from atom_ros.images import ENCODINGS, ImageMessage, check, image_message, to_jpeg, to_rgb

HEIGHT, WIDTH = 6, 8
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
GREY = RGB[:, :, 0].copy()


def _message(pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False) -> Image:
    """An Image of (rows, width[, channels]) pixels; the height is that of the picture, not of the buffer."""
    if pixels.dtype.itemsize > 1 and big_endian:
        pixels = pixels.astype(pixels.dtype.newbyteorder(">"))
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    height = len(pixels) * 2 // 3 if encoding in ("nv12", "nv21") else len(pixels)
    message = Image(height=height, width=pixels.shape[1], encoding=encoding, step=rows.shape[1])
    message.is_bigendian = big_endian
    message.data = array.array("B", rows.tobytes())
    return message


def _with_alpha(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, np.full((HEIGHT, WIDTH), 9, pixels.dtype)])


def _grey3(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels] * 3)


FULL = PixelRange((0, 65535))  # of 16 bits
WIDE = RGB.astype(np.uint16) * 257  # the same picture in 16 bits: 255 * 257 = 65535
EXACT = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[:, :, ::-1], RGB),
    "rgba8": (_with_alpha(RGB), RGB),
    "bgra8": (_with_alpha(RGB[:, :, ::-1]), RGB),
    "mono8": (GREY, _grey3(GREY)),
    "8UC1": (GREY, _grey3(GREY)),
    "8UC3": (RGB[:, :, ::-1], RGB),
    "8UC4": (_with_alpha(RGB[:, :, ::-1]), RGB),
    "rgb16": (WIDE, RGB),
    "bgr16": (WIDE[:, :, ::-1], RGB),
    "rgba16": (_with_alpha(WIDE), RGB),
    "bgra16": (_with_alpha(WIDE[:, :, ::-1]), RGB),
    "mono16": (WIDE[:, :, 0], _grey3(GREY)),
}


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", EXACT)
def test_plain_encodings(encoding: str, padding: int) -> None:
    pixels, expected = EXACT[encoding]
    result = to_rgb(_message(pixels, encoding, padding), FULL)
    assert result.dtype == np.uint8 and result.flags.c_contiguous
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bgra16"])
def test_big_endian(encoding: str) -> None:
    pixels, expected = EXACT[encoding]
    np.testing.assert_array_equal(to_rgb(_message(pixels, encoding, big_endian=True), FULL), expected)


def test_16_bit_values_are_rounded() -> None:
    values = np.array([[0, 128, 129, 65535 - 129, 65535 - 128, 65535]], np.uint16)  # halfway is 128.5
    result = to_rgb(_message(values, "mono16"), FULL)[0, :, 0]
    assert result.tolist() == [0, 0, 1, 254, 255, 255]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns(pattern: str, bits: int) -> None:
    """A scene of one colour: each pixel of the mosaic holds the channel that the pattern's name gives for its place."""
    color = {"r": 200, "g": 120, "b": 40}
    cell = np.array([color[letter] for letter in pattern], np.uint8).reshape(2, 2)
    mosaic = np.tile(cell, (HEIGHT // 2, WIDTH // 2))
    if bits == 16:
        mosaic = mosaic.astype(np.uint16) * 257
    result = to_rgb(_message(mosaic, f"bayer_{pattern}{bits}", padding=4), FULL)
    np.testing.assert_array_equal(result, np.broadcast_to([200, 120, 40], (HEIGHT, WIDTH, 3)))


def _yuv(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.601, studio range, in float64."""
    matrix = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
    return rgb / 255.0 @ matrix.T + np.array([16.0, 128.0, 128.0])


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (200, 120, 40), (30, 60, 220)])
@pytest.mark.parametrize("encoding", ["uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21"])
def test_yuv_encodings(encoding: str, color: tuple[int, int, int]) -> None:
    y, u, v = np.rint(_yuv(np.array(color, np.float64))).astype(np.uint8)
    if encoding in ("nv12", "nv21"):
        pair = [u, v] if encoding == "nv12" else [v, u]
        pixels = np.vstack([np.full((HEIGHT, WIDTH), y), np.tile(pair, (HEIGHT // 2, WIDTH // 2))])
    else:
        pair = [[u, y], [v, y]] if encoding in ("uyvy", "yuv422") else [[y, u], [y, v]]
        pixels = np.tile(np.array(pair, np.uint8), (HEIGHT, WIDTH // 2, 1))
    result = to_rgb(_message(pixels, encoding, padding=6))
    assert result.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(result, np.broadcast_to(color, result.shape), atol=2)  # of rounding to 8 bits, twice


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_becomes_viewable(encoding: str) -> None:
    """A ramp of 1000 values, 0 and (as float) NaN and infinity among them."""
    ramp = np.arange(1000, 2000).reshape(20, 50)
    values = ramp.astype(np.uint16 if encoding == "16UC1" else np.float32)
    values[0, 0] = 0
    invalid = [(0, 0)]
    if encoding == "32FC1":
        values[0, 1], values[0, 2] = np.nan, np.inf
        invalid += [(0, 1), (0, 2)]
    result = to_rgb(_message(values, encoding))[:, :, 0].astype(int)
    assert all(result[place] == 0 for place in invalid)
    assert result[-1, -1] == 255
    assert (np.diff(result.ravel()[3:]) >= 0).all()
    # The ramp's middle is the middle of its percentiles 1 and 99, which lie 10 steps from its ends.
    assert abs(result.ravel()[500] - 127.5) <= 1
    assert abs(result.ravel()[255] - 63.75) <= 1


def test_depth_without_a_valid_value_is_black() -> None:
    assert not to_rgb(_message(np.full((HEIGHT, WIDTH), np.nan, np.float32), "32FC1")).any()
    assert not to_rgb(_message(np.zeros((HEIGHT, WIDTH), np.uint16), "16UC1")).any()


def test_a_flat_thermal_image_does_not_divide_by_zero() -> None:
    result = to_rgb(_message(np.full((HEIGHT, WIDTH), 5, np.uint16), "16UC1"))
    assert (result == 128).all()


def test_step_0_means_no_padding() -> None:
    message = _message(RGB, "rgb8")
    message.step = 0
    np.testing.assert_array_equal(to_rgb(message), RGB)


def test_the_last_row_needs_no_padding() -> None:
    message = _message(RGB, "rgb8", padding=5)
    message.data = message.data[:-5]
    np.testing.assert_array_equal(to_rgb(message), RGB)


def test_one_pixel() -> None:
    np.testing.assert_array_equal(to_rgb(_message(RGB[:1, :1], "rgb8")), RGB[:1, :1])


@pytest.mark.parametrize(
    ("encoding", "changes", "words"),
    [
        ("rgb8", {"encoding": "rgb9"}, ["'rgb9'", "bgr8"]),
        ("rgb8", {"encoding": ""}, ["''"]),
        ("rgb8", {"width": 0}, ["0 x 6"]),
        ("rgb8", {"height": 0}, ["8 x 0"]),
        ("rgb8", {"step": 23}, ["step is 23", "24"]),
        ("rgb8", {"height": 7}, ["144 bytes", "needs 168"]),
        ("rgb8", {"width": 4_000_000_000, "step": 0}, ["needs"]),
        ("rgb8", {"data": array.array("B")}, ["0 bytes"]),
        ("uyvy", {"width": 7}, ["width 7", "even"]),
        ("nv12", {"height": 5}, ["height 5", "even"]),
    ],
)
def test_contradictions_are_named(encoding: str, changes: dict[str, object], words: list[str]) -> None:
    pixels = {"rgb8": RGB, "uyvy": RGB[:, :, :2], "nv12": np.zeros((HEIGHT * 3 // 2, WIDTH), np.uint8)}[encoding]
    message = _message(pixels, encoding)
    check(message)
    for field, value in changes.items():
        setattr(message, field, value)
    for function in (check, to_rgb):
        with pytest.raises(ValueError) as error:
            function(message)
        assert all(word in str(error.value) for word in words)


def test_every_encoding_is_tested() -> None:
    bayer = {f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)}
    yuv = {"uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21"}
    assert set(ENCODINGS) == set(EXACT) | bayer | yuv | {"16UC1", "32FC1"}


def _compressed(pixels: np.ndarray, extension: str) -> CompressedImage:
    _, data = cv2.imencode(extension, pixels)
    return CompressedImage(format=extension[1:], data=array.array("B", data.tobytes()))


def test_png() -> None:
    np.testing.assert_array_equal(to_rgb(_compressed(RGB[:, :, ::-1], ".png")), RGB)
    np.testing.assert_array_equal(to_rgb(_compressed(GREY, ".png")), _grey3(GREY))
    np.testing.assert_array_equal(to_rgb(_compressed(_with_alpha(RGB[:, :, ::-1]), ".png")), RGB)


def test_jpeg() -> None:
    color = np.broadcast_to(np.array([200, 120, 40], np.uint8), (16, 16, 3))
    result = to_rgb(_compressed(np.ascontiguousarray(color[:, :, ::-1]), ".jpg"))
    np.testing.assert_allclose(result, color, atol=3)


def test_exif_orientation_does_not_turn_the_image() -> None:
    """A marker that asks viewers to turn the picture by 90 degrees, put behind the file's first two bytes."""
    message = _compressed(np.zeros((16, 32, 3), np.uint8), ".jpg")
    tiff = b"II*\0" + b"\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    marker = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    data = bytes(message.data)
    message.data = array.array("B", data[:2] + marker + data[2:])
    turned = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    assert turned.shape == (32, 16, 3), "the marker works"
    assert to_rgb(message).shape == (16, 32, 3)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0"])
def test_a_broken_compressed_image_is_refused(data: bytes) -> None:
    message = CompressedImage(format="jpeg", data=array.array("B", data))
    with pytest.raises(ValueError, match="format 'jpeg'"):
        to_rgb(message)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8"])
def test_a_jpeg_shows_the_same_colours_under_the_same_header(encoding: str) -> None:
    pixels = np.full((48, 64, 3), (200, 120, 40), np.uint8)
    message = _message(pixels[:, :, 0] if encoding == "mono8" else pixels, encoding, padding=5)
    message.header.stamp.sec = 7
    jpeg = to_jpeg(message)
    assert jpeg is not None and (jpeg.header, jpeg.format) == (message.header, "jpeg")
    assert len(jpeg.data) < len(message.data) / 2
    assert np.abs(to_rgb(jpeg).astype(int) - to_rgb(message)).max() <= 3


@pytest.mark.parametrize(
    "message",
    [
        Image(encoding="mono8", width=2, height=2, step=2, data=array.array("B", bytes(4))),  # a jpeg is larger
        Image(encoding="yuyv", width=64, height=48, step=128, data=array.array("B", bytes(64 * 48 * 2))),
        Image(encoding="rgb8", width=64, height=48, step=64, data=array.array("B", bytes(64 * 48))),  # contradiction
        Image(encoding="mono8", width=1500, height=1001, step=1500, data=array.array("B", bytes(1500 * 1001))),
        Image(encoding="mono8", width=70_000, height=1, step=70_000, data=array.array("B", bytes(70_000))),
        CompressedImage(format="jpeg", data=array.array("B", bytes(4000))),
    ],
    ids=["tiny", "other encoding", "contradiction", "large", "wide", "compressed"],
)
def test_images_that_stay_as_they_are(message: ImageMessage) -> None:
    assert to_jpeg(message) is None


def test_image_message() -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    message = image_message(Header(frame_id="camera"), pixels)
    assert (message.height, message.width, message.step, message.encoding) == (2, 3, 9, "rgb8")
    assert message.header.frame_id == "camera"
    assert message.data.tolist() == list(range(18))


@pytest.mark.parametrize("counts", [30, 40_000])
def test_16_bits_look_the_same_on_every_way(counts: int, tmp_path) -> None:
    """Raw in three spellings, as a png message and as a png file."""
    values = np.random.default_rng(3).integers(20_000, 20_000 + counts, (48, 64)).astype(np.uint16)
    expected = to_rgb(_message(values, "16UC1"))
    assert expected.min() == 0 and expected.max() == 255
    np.testing.assert_array_equal(to_rgb(_message(values, "mono16")), expected)
    # Percentiles lie between two values; with three times as many values elsewhere between the same two.
    np.testing.assert_allclose(to_rgb(_message(np.dstack([values] * 3), "bgr16")).astype(int), expected, atol=1)
    np.testing.assert_array_equal(to_rgb(_compressed(values, ".png")), expected)
    cv2.imwrite(str(tmp_path / "thermal.png"), values)
    np.testing.assert_array_equal(read_image(tmp_path / "thermal.png"), expected)
