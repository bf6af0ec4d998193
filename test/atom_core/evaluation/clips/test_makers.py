# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import cv2
import numpy as np
import pytest

from atom_core.evaluation.clips.draft import draft_object, draft_video
from atom_core.evaluation.clips.makers import long_clip
from atom_core.evaluation.clips.material import find_material
from atom_core.evaluation.metrics import overlap


@pytest.fixture(scope="module")
def videos(tmp_path_factory, stills):
    """A sequence of 40 frames: a white ellipse of changing height moves over grey, with its mask."""
    folder = tmp_path_factory.mktemp("videos") / "group__one"
    for name in ("img", "mask"):
        (folder / name).mkdir(parents=True)
    boxes = []
    for index in range(40):
        image, mask = np.full((300, 480, 3), 90, np.uint8), np.zeros((300, 480), np.uint8)
        height = 20 + index // 4
        cv2.ellipse(mask, (100 + 4 * index, 150), (15, height), 0, 0, 360, 255, -1)
        image[mask > 0] = 255
        cv2.imwrite(str(folder / "img" / f"{index:03d}.png"), image)
        cv2.imwrite(str(folder / "mask" / f"{index:03d}.png"), mask)
        boxes.append((100 + 4 * index - 15.5, 150 - height - 0.5, 31, 2 * height + 1))
    np.savetxt(folder / "groundtruth_rect.txt", boxes, delimiter=",")
    return find_material([stills, folder.parent])


def measured(image):
    rows, columns = np.nonzero(image.min(2) > 180)
    return np.array([(columns.min() - 0.5, rows.min() - 0.5, np.ptp(columns) + 1, np.ptp(rows) + 1)])


def assert_truth_is_measured(scene):
    truth, frames = scene.truth(), range(0, len(scene), 7)
    overlaps = [overlap(measured(scene.frame(index)), truth[index : index + 1])[0] for index in frames]
    assert min(overlaps) > 0.85  # an object of 25 px, measured to a pixel on each side


def test_the_target_of_a_sequence_in_its_own_images(videos):
    assert len(videos.videos) == 1
    scene = draft_video(videos.videos[0], 60, videos, np.random.default_rng(0)).scene()
    assert_truth_is_measured(scene)


def test_the_object_of_a_sequence_over_another_image(videos):
    material = type(videos)(videos.targets, videos.objects, videos.videos, (videos.videos[0].images[0],))
    rng = np.random.default_rng(1)
    draft = draft_object(videos.videos[0], 60, material, rng)
    grey = np.full((480, 640, 3), 90, np.uint8)
    draft.background, draft.world = (lambda index: grey), (640, 480)
    ratios = draft.paths[:, 3] / draft.paths[:, 2]
    assert ratios[39] / ratios[0] == pytest.approx(59 / 41, rel=0.01)  # it grows as in the sequence
    assert_truth_is_measured(draft.scene())


def test_a_short_sequence_or_one_with_absences_is_no_background(tmp_path, stills):
    for name, rows in (("a__short", ["5,5,20,20"] * 20), ("b__absent", ["5,5,20,20"] * 39 + ["nan,nan,nan,nan"])):
        (tmp_path / name / "img").mkdir(parents=True)
        for index in range(len(rows)):
            cv2.imwrite(str(tmp_path / name / "img" / f"{index:03d}.png"), np.zeros((60, 80, 3), np.uint8))
        (tmp_path / name / "groundtruth_rect.txt").write_text("\n".join(rows))
    assert not find_material([stills, tmp_path]).videos


def test_what_happens_in_long_clips(videos):
    """Of some clips: the target is hidden, out of view, and elsewhere, and each clip begins calmly."""
    scenes = [long_clip(videos, seed) for seed in range(0, 24, 2)]
    assert any((scene.cuts >= 0).any() for scene in scenes)
    assert any(len(scene.covers) for scene in scenes)
    out = 0
    for scene in scenes:
        boxes = scene.in_view(scene.target)
        outside = (boxes[:, 0] > scene.size[0]) | (boxes[:, 0] + boxes[:, 2] < 0)
        outside |= (boxes[:, 1] > scene.size[1]) | (boxes[:, 1] + boxes[:, 3] < 0)
        out += bool(outside.any())
        assert np.isnan(scene.truth()[outside]).all()
        assert (scene.cuts[:30] < 0).all() and np.isfinite(scene.truth()[0]).all()
    assert out >= 2
