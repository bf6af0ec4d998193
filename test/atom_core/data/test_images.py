# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from atom_core.data.images import find_images, read_image


def test_images_are_found_in_the_order_of_the_numbers_in_their_names(tmp_path):
    names = ["10.jpg", "2.JPG", "1.png", "frame12.jpeg", "frame7.bmp", "002.webp"]
    for name in [*names, "notes.txt", "thumbs.db"]:
        (tmp_path / name).touch()
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
