# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from atom_core.training.config import DistillConfig
from atom_core.training.distill_images import cut_crop, draw_batch, draw_crop, find_training_images, load_images

CONFIG = DistillConfig(batch_size=4, crop_sizes=(64,), stored_side=80, validation_images=3)


def test_images_are_made_smaller_and_bad_ones_named(images, caplog):
    with caplog.at_level(logging.WARNING):
        pool, held_out = load_images(images, CONFIG)
    assert (len(pool), len(held_out)) == (6, 3)
    assert {image.shape for image in pool + held_out} == {(80, 107, 3)}
    assert "5.png: its 8 bytes are damaged or of an unknown format; it is left out" in caplog.text
    with pytest.raises(ValueError, match=r"5 of 6 images could be read; .* batch_size = 7"):
        load_images(images[:6], CONFIG)


def test_finds_images_at_any_depth_but_no_masks(image_folder, tmp_path):
    assert find_training_images([image_folder]) == [image_folder / f"{i}.png" for i in range(10)]
    with pytest.raises(ValueError, match="no image is found below"):
        find_training_images([tmp_path])
    with pytest.raises(ValueError, match="missing is not a folder"):
        find_training_images([tmp_path / "missing"])


def test_crops_lie_in_the_image_and_show_enough_of_it():
    image, config = np.zeros((60, 100, 3), np.uint8), replace(CONFIG, min_area=0.25)
    rng = np.random.default_rng(0)
    draws = [draw_crop(image, config, rng) for _ in range(200)]
    assert all(0 <= d.x <= 100 - d.width and 0 <= d.y <= 60 - d.height for d in draws)
    areas = [d.width * d.height / 6000 for d in draws]
    assert 0.2 < min(areas) < 0.3  # rounding, and parts that would be higher than the image
    assert max(areas) > 0.8
    assert 0.3 < np.mean([d.flip for d in draws]) < 0.7


def test_crop_by_hand():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = (40, 80, 120)
    plain = draw_crop(image, CONFIG, np.random.default_rng(0))._replace(
        x=0, y=0, width=8, height=8, flip=False, gains=(1.0, 1.0, 1.0)
    )
    assert np.array_equal(cut_crop(image, plain, 8), image)
    assert np.array_equal(cut_crop(image, plain._replace(flip=True), 8), image[:, ::-1])
    brighter = cut_crop(image, plain._replace(gains=(1.5, 1.0, 1.0)), 8)
    assert brighter[0, 7].tolist() == [60, 120, 180]
    # Contrast about the mean of all values, 40: the dark half would be -40; saturation about each pixel's grey, 80.
    assert cut_crop(image, plain._replace(gains=(1.0, 2.0, 1.0)), 8)[0, [0, 7]].tolist() == [[0] * 3, [40, 120, 200]]
    assert cut_crop(image, plain._replace(gains=(1.0, 1.0, 0.5)), 8)[0, 7].tolist() == [60, 80, 100]


def test_a_share_of_a_batch_is_cut_from_the_same_draws(images):
    pool, _ = load_images(images, CONFIG)
    whole = draw_batch(pool, 7, 64, CONFIG)
    assert whole.shape == (4, 3, 64, 64)
    share = draw_batch(pool, 7, 64, CONFIG, owned=np.array([False, True, False, True]))
    assert torch.equal(share, whole[[1, 3]])
    assert not torch.equal(whole, draw_batch(pool, 8, 64, CONFIG))
