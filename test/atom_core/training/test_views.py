# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from atom_core.training.views import ComposedView, FileView

BOX = (1.0, 2.0, 3.0, 4.0)


def test_a_file_is_read_once_for_both_views_of_a_pair(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((6, 8, 3), (10, 20, 30), np.uint8))
    first, second = FileView(path, BOX), FileView(path, BOX, (BOX, BOX))
    image = first.read()
    assert image.shape == (6, 8, 3)
    assert image[0, 0].tolist() == [30, 20, 10]
    path.unlink()
    assert second.read() is image


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read the image .*none\.png"):
        FileView(tmp_path / "none.png", BOX).read()


def test_a_composed_view_is_its_own_image():
    image = np.zeros((6, 8, 3), np.uint8)
    assert ComposedView(image, BOX).read() is image
    assert ComposedView(image, BOX).objects == ()
