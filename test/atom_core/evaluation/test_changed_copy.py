# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np

from atom_core.evaluation.changed_copy import changed_copy


def test_the_box_stays_on_the_object():
    """A white square on black: where it is in the copy is measured from the pixels."""
    image = np.zeros((160, 200, 3), np.uint8)
    image[60:100, 80:130] = 255
    box = (79.5, 59.5, 50.0, 40.0)  # its pixels' outer edges
    for seed in range(8):
        copy, (x, y, width, height) = changed_copy(image, box, np.random.default_rng(seed))
        grey = copy.astype(float).mean(2)
        middle = (np.percentile(grey, 1) + grey.max()) / 2
        rows, columns = np.nonzero(grey > middle)
        measured = columns.min() - 0.5, rows.min() - 0.5, np.ptp(columns) + 1, np.ptp(rows) + 1
        np.testing.assert_allclose((x, y, width, height), measured, atol=1.1)
        assert 1 / 1.1 <= width / 50 <= 1.1


def test_the_same_seed_makes_the_same_copy_and_leaves_the_image_alone():
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), (0, 0), 2)
    before = image.copy()
    first, again, other = (changed_copy(image, (20, 20, 20, 20), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.box == again.box != other.box
    assert (first.image == again.image).all() and (image == before).all()
