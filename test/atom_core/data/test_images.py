# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.data.images import PixelRange, find_images, parse_pixel_range, printable, read_image, visible


def test_images_are_found_in_the_order_of_the_numbers_in_their_names(tmp_path):
    names = ["10.jpg", "2.JPG", "1.png", "frame12.jpeg", "frame7.bmp", "002.webp"]
    for name in [*names, "notes.txt", "thumbs.db", "._1.png", ".hidden.jpg"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = [path.name for path in find_images(tmp_path)]
    assert found == ["1.png", "2.JPG", "002.webp", "10.jpg", "frame7.bmp", "frame12.jpeg"]


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_images(tmp_path / "nowhere")


def test_reads_red_green_blue(tmp_path):
    cv2.imwrite(str(tmp_path / "red.png"), np.full((4, 6, 3), (0, 0, 255), np.uint8))
    image = read_image(tmp_path / "red.png")
    assert (image.shape, image.dtype) == ((4, 6, 3), np.uint8)
    assert image[0, 0].tolist() == [255, 0, 0]


def test_grey_image_gets_three_channels(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 6), 70, np.uint8))
    assert read_image(tmp_path / "grey.png")[3, 5].tolist() == [70, 70, 70]


@pytest.mark.parametrize("content", [None, b"", b"no image"], ids=["missing", "empty", "damaged"])
def test_bad_image_is_named(tmp_path, content):
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot read the image .*bad\.png"):
        read_image(path)


def test_hidden_files_are_left_out():
    assert visible([Path("a/._1.txt"), Path("a/1.txt"), Path(".b/2.txt")]) == [Path("a/1.txt"), Path(".b/2.txt")]


def test_a_name_that_is_not_utf8_is_read_and_can_be_printed(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9 1.png")
    path.write_bytes(cv2.imencode(".png", np.full((4, 6), 70, np.uint8))[1].tobytes())
    assert [read_image(found).shape for found in find_images(tmp_path)] == [(4, 6, 3)]
    path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"caf\ufffd 1\.png") as error:
        read_image(path)
    str(error.value).encode()
    assert printable("plain é.png") == "plain é.png"


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("shape", [(20, 50), (20, 50, 3)])
def test_16_bits_become_8_by_their_own_range(tmp_path, extension, shape):
    """100 of 65536 counts: percentiles 1 and 99 of a ramp of 1000 equal steps lie at 30001 and 30098 or so."""
    ramp = np.sort(np.arange(1000) % 100).reshape(20, 50) + 30000
    values = ramp.astype(np.uint16) if len(shape) == 2 else np.dstack([ramp.astype(np.uint16)] * 3)
    cv2.imwrite(str(tmp_path / f"thermal{extension}"), values)
    pixel_range = PixelRange()
    image = read_image(tmp_path / f"thermal{extension}", pixel_range)
    assert pixel_range.last == pytest.approx((30001, 30098), abs=1)
    np.testing.assert_allclose(image[..., 0], np.clip((ramp - 30001) / 97 * 255, 0, 255), atol=3)
    assert "30001 (black)" in str(pixel_range) or "30000" in str(pixel_range)
    given = PixelRange((30000, 30255))
    np.testing.assert_array_equal(read_image(tmp_path / f"thermal{extension}", given)[..., 1], ramp - 30000)


def test_alpha_and_invalid_values_do_not_count():
    values = np.zeros((10, 10, 4), np.float32)
    values[..., :3] = np.linspace(5, 6, 10)[:, None, None]
    values[..., 3] = 65535
    values[0, 0] = np.nan
    pixel_range = PixelRange()
    assert pixel_range.to_8_bit(values)[0, 0].tolist() == [0, 0, 0, 0]
    assert pixel_range.last == pytest.approx((5, 6), abs=0.1)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_small_target_before_an_even_background_is_seen(dtype):
    """It has 0.2 % of the pixels, and four dead pixels have 0.006 %: neither is among percentiles 1 to 99."""
    values = np.full((240, 320), 29000, dtype)
    values[100:110, 150:166] = 29030
    values[0, :4] = 65535
    pixel_range = PixelRange()
    shown = pixel_range.to_8_bit(values)
    assert pixel_range.last == (29000, 29030)
    assert (shown[105, 155], shown[50, 50]) == (255, 0)


def test_8_bits_stay_as_they_are():
    pixel_range, image = PixelRange((0, 10)), np.arange(12, dtype=np.uint8).reshape(2, 6)
    assert pixel_range.to_8_bit(image) is image
    assert pixel_range.last is None


@pytest.mark.parametrize("text", ["5", "a,b", "7,7", "9,3", "1,2,3", "nan,1", "0,inf"])
def test_a_bad_range_is_named(text):
    with pytest.raises(ValueError, match=r"expected LOW,HIGH"):
        parse_pixel_range(text)


def test_a_range_may_be_left_out():
    assert parse_pixel_range("") is None
    assert parse_pixel_range("-3.5, 1e4") == (-3.5, 10000.0)
