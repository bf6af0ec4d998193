# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json

import cv2
import numpy as np
import pytest

from atom_core.data.held_back import held_back
from atom_core.evaluation.still_targets import find_targets

BOX = [20.0, 10.0, 30.0, 60.0]


@pytest.fixture
def stills(tmp_path):
    """Two sets of 200 x 150 px of noise, 60 images each with one box; one of them of faces."""
    image = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    for name in ("things", "face_mask"):
        (tmp_path / name / "images").mkdir(parents=True)
        files = [f"{i}.png" for i in range(60)]
        for file in files:
            cv2.imwrite(str(tmp_path / name / "images" / file), image)
        (tmp_path / name / "boxes.json").write_text(json.dumps({file: [BOX] for file in files}))
    return tmp_path


def test_only_images_that_are_held_back(stills):
    targets = find_targets([stills], 100)
    assert targets and all(held_back(target.path) for target in targets)
    assert len({target.path for target in targets}) == sum(held_back(f"{i}.png") for i in range(60)) * 2


def test_each_kind_has_its_box(stills):
    targets = find_targets([stills], 20, choose=lambda path: True)
    of_kind = {kind: [t for t in targets if t.kind == kind] for kind in ("whole", "part", "face", "texture", "loose")}
    assert {kind: len(found) for kind, found in of_kind.items()} == dict.fromkeys(of_kind, 20)
    assert all(t.box == tuple(BOX) and t.still_set == "things" for t in of_kind["whole"])
    assert all(t.box == tuple(BOX) and t.still_set == "face_mask" for t in of_kind["face"])
    assert all(t.box == pytest.approx((17, 4, 36, 72)) for t in of_kind["loose"])  # a tenth more on each side
    halves = {(20, 10, 15, 60), (35, 10, 15, 60), (20, 10, 30, 30), (20, 40, 30, 30)}
    quarters = {(x, y, 15, 30) for x in (20, 35) for y in (10, 40)}
    assert {t.box for t in of_kind["part"]} <= halves | quarters | {(27.5, 10, 15, 15)}  # or the head
    assert len({t.box for t in of_kind["part"]}) > 3
    for x, y, width, height in (t.box for t in of_kind["texture"]):
        assert x >= 0 and y >= 0 and x + width <= 199 and y + height <= 149


def test_the_choice_is_the_same_each_time_and_grows_by_adding(stills):
    few, many = (find_targets([stills], n, ["whole"], lambda path: True) for n in (5, 10))
    assert many[:5] == few == find_targets([stills], 5, ["whole"], lambda path: True)


def test_small_and_image_filling_boxes_are_left_out(tmp_path):
    (tmp_path / "set" / "images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "set" / "images" / "a.png"), np.zeros((100, 100, 3), np.uint8))
    (tmp_path / "set" / "boxes.json").write_text(json.dumps({"a.png": [[5, 5, 11, 40], [0, 0, 90, 90]]}))
    with pytest.raises(ValueError, match="no usable target"):
        find_targets([tmp_path], 5, ["whole", "texture"], lambda path: True)  # nor is there any texture


def test_an_unknown_kind_is_named(stills):
    with pytest.raises(ValueError, match="unknown kind of target 'wheel'"):
        find_targets([stills], 5, ["wheel"])
