# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from atom_core.evaluation.clips.material import crop_out, cut_out, find_material


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def sequence(folder, boxes):
    for index in range(len(boxes)):
        write(folder / "img" / f"{index}.png", np.zeros((48, 64, 3), np.uint8))
    (folder / "groundtruth_rect.txt").write_text("".join(",".join(map(str, box)) + "\n" for box in boxes))


def test_a_video_is_long_enough_and_its_target_never_absent(stills, tmp_path):
    sequence(tmp_path / "toy__long", [(1, 2, 20, 20)] * 40)
    (tmp_path / "toy__long" / "mask").mkdir()
    sequence(tmp_path / "toy__short", [(1, 2, 20, 20)] * 39)
    sequence(tmp_path / "toy__hidden", [(1, 2, 20, 20)] * 39 + [("NaN",) * 4])
    sequence(tmp_path / "toy__damaged", [(1, 2, 20, 20)] * 40)
    (tmp_path / "toy__damaged" / "img" / "0.png").unlink()
    (video,) = find_material([stills, tmp_path]).videos
    assert (video.name, len(video.images)) == ("toy__long", 40)
    assert video.images[10] == tmp_path / "toy__long/img/10.png"
    assert video.masks[10] == tmp_path / "toy__long/mask/10.png"
    assert video.boxes.tolist() == [[1, 2, 20, 20]] * 40


def test_a_cut_out_is_the_mask_s_part_of_the_image(tmp_path):
    image = np.full((40, 50, 3), 30, np.uint8)
    image[10:20, 5:30] = (10, 20, 200)  # BGR
    mask = np.zeros((40, 50), np.uint8)
    mask[10:20, 5:30] = 255
    mask[10, 5] = 0
    patch = cut_out(write(tmp_path / "image.png", image), write(tmp_path / "mask.png", mask))
    assert patch.shape == (10, 25, 4)
    assert patch[5, 5].tolist() == [200, 20, 10, 255]
    assert patch[0, 0, 3] == 0


def test_a_mask_of_another_size_is_named(tmp_path):
    image = write(tmp_path / "image.png", np.zeros((40, 50, 3), np.uint8))
    mask = write(tmp_path / "mask.png", np.full((40, 49), 255, np.uint8))
    with pytest.raises(ValueError, match=r"mask\.png is missing, empty or of another size"):
        cut_out(image, mask)


def test_a_large_object_is_made_smaller():
    patch = crop_out(np.full((600, 800, 3), 90, np.uint8), (100.0, 50.0, 512.0, 256.0))
    assert patch.shape == (128, 256, 4)
    assert patch[64, 128].tolist() == [90, 90, 90, 255]
    assert patch[0, 0, 3] == 0  # outside of the ellipse
