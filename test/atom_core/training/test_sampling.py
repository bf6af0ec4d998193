# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from atom_core.training.config import ChangesConfig, TargetsConfig, TrainingConfig
from atom_core.training.datasets import find_sources
from atom_core.training.sampling import draw_proposals, make_pair
from atom_core.training.views import FileView

BACKGROUND, OBJECT = 40, 200
SIZE = 160  # px, of the crops
PLAIN = TrainingConfig(
    crop_size=SIZE, scale_jitter=0, center_jitter=0, grey_probability=0, brightness=0, flip_probability=0
)


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    """A bright object of 36 x 24 px on a dark background, beside the image's middle."""
    image = np.full((140, 201, 3), BACKGROUND, np.uint8)
    image[50:74, 90:126] = OBJECT
    path = tmp_path_factory.mktemp("images") / "object.png"
    cv2.imwrite(str(path), image)
    return FileView(path, (89.5, 49.5, 36, 24))


def check_box(crop):
    """The crop's box lies on the bright object: its middle by moments, its sides along the lines through its middle."""
    share = (crop.pixels[0].double() - BACKGROUND) / (OBJECT - BACKGROUND)
    line = torch.arange(SIZE, dtype=torch.float64)
    middle = torch.stack((share.sum(0) @ line, share.sum(1) @ line)) / share.sum()
    size = torch.stack((share[int(middle[1])].sum(), share[:, int(middle[0])].sum()))
    torch.testing.assert_close(crop.boxes[0][:2] + crop.boxes[0][2:] / 2, middle.float(), atol=0.06, rtol=0)
    # Shrinking takes few of the pixels at the edges, so the sides are less certain.
    torch.testing.assert_close(crop.boxes[0][2:], size.float(), atol=0.3, rtol=0)


def pairs(view, config, count=12):
    return [make_pair(view, view, config, np.random.default_rng(3000 + seed)) for seed in range(count)]


def test_reference_is_centred_and_of_standard_size(view):
    reference, test = make_pair(view, view, PLAIN, np.random.default_rng(0))
    side = 5 * (36 * 24) ** 0.5  # image px, resized to 160
    assert float(reference.boxes[0][2]) == pytest.approx(36 * SIZE / side, rel=0.01)
    middle = reference.boxes[0][:2] + reference.boxes[0][2:] / 2
    assert ((middle - (SIZE - 1) / 2).abs() < 1).all()
    torch.testing.assert_close(test.boxes[0], reference.boxes[0])
    torch.testing.assert_close(test.pixels, reference.pixels)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"flip_probability": 1.0},
        {"scale_jitter": 0.3},
        {"center_jitter": 1.0},
        {"stretch_jitter": 0.3},
        {"scale_jitter": 0.2, "center_jitter": 1.0, "stretch_jitter": 0.2, "flip_probability": 0.5},
    ],
    ids=["plain", "flip", "scale", "shift", "stretch", "all"],
)
def test_box_stays_on_the_object(view, changes):
    for pair in pairs(view, replace(PLAIN, **changes)):
        for crop in pair:
            check_box(crop)


def test_flip_mirrors_both(view):
    plain, flipped = (
        make_pair(view, view, replace(PLAIN, flip_probability=p), np.random.default_rng(0)) for p in (0, 1)
    )
    for one, other in zip(plain, flipped, strict=True):
        torch.testing.assert_close(other.pixels.flip(-1), one.pixels)
        x, y, w, h = one.boxes[0]
        torch.testing.assert_close(other.boxes[0], torch.stack((SIZE - 1 - (x + w), y, w, h)))


def test_scale_and_shift_change_the_test_crop_alone(view):
    config = replace(PLAIN, scale_jitter=0.3, center_jitter=1.0)
    drawn = pairs(view, config, 40)
    references = torch.stack([reference.boxes[0] for reference, _ in drawn])
    torch.testing.assert_close(references, references[:1].expand(40, 4))
    tests = torch.stack([test.boxes[0] for _, test in drawn])
    scales = (references[:, 2] / tests[:, 2]).log()
    assert scales.std() == pytest.approx(0.3, rel=0.35)
    # The centre moves by at most sqrt(width * height) of the image, which is a fifth of the crop at scale 1.
    shift = (tests[:, :2] + tests[:, 2:] / 2 - (SIZE - 1) / 2) * scales.exp()[:, None] / (SIZE / 5)
    assert shift.abs().max() <= 1.05
    assert shift.abs().max() > 0.8


def test_stretch_changes_the_aspect_of_the_test_crop_alone(view):
    drawn = pairs(view, replace(PLAIN, stretch_jitter=0.3), 40)
    aspects = torch.tensor([[float(c.boxes[0][2] / c.boxes[0][3]) for c in pair] for pair in drawn])
    torch.testing.assert_close(aspects[:, 0], torch.full((40,), 1.5))
    assert (aspects[:, 1] / 1.5).log().std() == pytest.approx(0.3, rel=0.35)


def test_brightness_is_bounded(view):
    levels = [
        float(crop.pixels.max()) / OBJECT for pair in pairs(view, replace(PLAIN, brightness=0.2), 30) for crop in pair
    ]
    assert 0.8 - 1e-4 <= min(levels) < 0.85
    assert 1.15 < max(levels) <= 1.2 + 1e-4


def test_brightness_never_leaves_the_range_of_pixels(view):
    assert max(float(c.pixels.max()) for p in pairs(view, replace(PLAIN, brightness=1.0), 10) for c in p) == 255


def test_grey_is_the_luma_of_both(tmp_path):
    image = np.zeros((40, 40, 3), np.uint8)
    image[:] = (10, 200, 100)  # blue, green, red: as OpenCV writes it
    cv2.imwrite(str(tmp_path / "colour.png"), image)
    view = FileView(tmp_path / "colour.png", (10, 10, 10, 10))
    grey = 0.299 * 100 + 0.587 * 200 + 0.114 * 10
    for crop in make_pair(view, view, replace(PLAIN, grey_probability=1.0), np.random.default_rng(0)):
        torch.testing.assert_close(crop.pixels, torch.full((3, SIZE, SIZE), grey))
    for crop in make_pair(view, view, PLAIN, np.random.default_rng(0)):
        torch.testing.assert_close(crop.pixels[:, 0, 0], torch.tensor([100.0, 200, 10]))


def test_pair_is_a_function_of_the_seed(view):
    config = TrainingConfig(crop_size=SIZE, stretch_jitter=0.1)
    one, same, other = (make_pair(view, view, config, np.random.default_rng(s)) for s in (1, 1, 2))
    assert all(
        torch.equal(a.pixels, b.pixels) and torch.equal(a.boxes, b.boxes) for a, b in zip(one, same, strict=True)
    )
    assert not torch.equal(one[1].boxes, other[1].boxes)


def test_unreadable_image_is_named(tmp_path):
    view = FileView(tmp_path / "bad.png", (0, 0, 9, 9))
    with pytest.raises(ValueError, match=r"cannot read the image .*bad\.png"):
        make_pair(view, view, PLAIN, np.random.default_rng(0))


def overlap(a, b):
    """IoU of two boxes, in Python's float64."""
    across = max(0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    down = max(0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return across * down / (a[2] * a[3] + b[2] * b[3] - across * down)


BOXES = torch.tensor([[100.0, 120, 57.6, 57.6], [30, 40, 90, 30], [200, 10, 20, 60]])
SIGMAS = (0.01, 0.05, 0.1, 0.2, 0.3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("min_iou", [0.1, 0.3])
def test_proposals_overlap_enough_and_their_overlap_is_right(min_iou):
    proposals, overlaps = draw_proposals(BOXES, 64, SIGMAS, min_iou, seeded())
    assert proposals.shape == (3, 64, 4)
    assert overlaps.shape == (3, 64)
    assert overlaps.min() >= min_iou
    expected = [[overlap(p, box) for p in row] for row, box in zip(proposals.tolist(), BOXES.tolist(), strict=True)]
    torch.testing.assert_close(overlaps, torch.tensor(expected), atol=1e-5, rtol=0)
    assert overlaps.std() > 0.05  # of all qualities
    assert overlaps.max() > 0.9


def test_proposals_have_the_noise_asked_for():
    # 0.05 of a side of 57.6 px: every draw overlaps enough, so nothing is drawn again.
    proposals, _ = draw_proposals(BOXES[:1], 4000, (0.05,), 0.1, seeded())
    middle = proposals[0, :, :2] + proposals[0, :, 2:] / 2
    deviations = torch.cat((middle, proposals[0, :, 2:]), dim=1) - torch.tensor([128.8, 148.8, 57.6, 57.6])
    assert deviations.mean(0).abs().max() < 0.2
    torch.testing.assert_close(deviations.std(0), torch.full((4,), 0.05 * 57.6), rtol=0.06, atol=0)


def test_each_sigma_is_drawn_as_often():
    proposals, _ = draw_proposals(BOXES[:1], 4000, (1e-4, 0.05), 0.1, seeded())
    still = ((proposals[0] - BOXES[0]).abs().amax(1) < 0.1).float().mean()
    assert float(still) == pytest.approx(0.5, abs=0.04)


def test_where_no_try_overlaps_enough_the_best_is_kept():
    proposals, overlaps = draw_proposals(BOXES[:1], 200, (0.3,), 0.999, seeded())
    assert overlaps.max() < 0.999
    expected = torch.tensor([overlap(p, BOXES[0].tolist()) for p in proposals[0].tolist()])
    torch.testing.assert_close(overlaps[0], expected, atol=1e-5, rtol=0)
    anything = draw_proposals(BOXES[:1], 200, (0.3,), 0.0, seeded())[1]  # the first try each
    assert overlaps.mean() > anything.mean() + 0.2


def test_proposals_are_a_function_of_the_generator():
    one, same, other = (draw_proposals(BOXES, 8, SIGMAS, 0.1, seeded(s))[0] for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_stills_lead_to_pairs(tmp_path):
    """From a set's folder to crops, with nothing put in between."""
    image = np.full((60, 80, 3), BACKGROUND, np.uint8)
    image[20:40, 30:50] = OBJECT
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), image)
    (tmp_path / "boxes.json").write_text(json.dumps({"a.png": [[29.5, 19.5, 20, 20]]}))
    rng = np.random.default_rng(0)
    for crop in make_pair(*find_sources([tmp_path], PLAIN)[0].draw(rng), PLAIN, rng):
        check_box(crop)


SEVERAL = replace(
    PLAIN,
    window_cells=18,
    scale_jitter=0.2,
    center_jitter=0.5,
    stretch_jitter=0.1,
    targets=TargetsConfig(count=6, part_probability=0.3, region_probability=0.2, loose_probability=0.3),
)


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """Texture with two annotated objects."""
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (150, 220, 3), np.uint8), (0, 0), 2)
    path = tmp_path_factory.mktemp("images") / "photograph.png"
    cv2.imwrite(str(path), cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX))
    boxes = ((89.5, 49.5, 36.0, 24.0), (120.0, 60.0, 30.0, 30.0))
    return FileView(path, boxes[0], boxes)


def test_targets_of_a_still_show_the_same_in_both_crops(photograph):
    """Of each target the middle of both crops, brought to one size, is the same picture."""
    for seed in range(6):
        reference, test = make_pair(photograph, photograph, SEVERAL, np.random.default_rng(seed))
        assert reference.boxes.shape == test.boxes.shape == (6, 4)
        for first, second in zip(reference.boxes, test.boxes, strict=True):
            patches = []
            for crop, (x, y, w, h) in ((reference, first.tolist()), (test, second.tolist())):
                image = crop.pixels.permute(1, 2, 0).numpy().copy()
                corners = np.array(((x, y), (x + w, y), (x, y + h)), np.float32)
                square = np.array(((-0.5, -0.5), (15.5, -0.5), (-0.5, 15.5)), np.float32)
                patches.append(cv2.warpAffine(image, cv2.getAffineTransform(corners, square), (16, 16)))
            inner = [p[3:13, 3:13].ravel() for p in patches]
            assert np.corrcoef(*inner)[0, 1] > 0.8


def test_targets_lie_in_the_window_and_are_about_as_large(photograph):
    for seed in range(20):
        for crop in make_pair(photograph, photograph, SEVERAL, np.random.default_rng(seed)):
            middles = crop.boxes[:, :2] + crop.boxes[:, 2:] / 2
            reach = (middles - middles[0]).abs() + crop.boxes[:, 2:] / 2
            assert reach[1:].max() <= 18 * 8 / 2
            sides = crop.boxes[:, 2:].prod(1).sqrt()
            assert (sides / sides[0]).log().abs().max() <= np.log(1.75) + 1e-5


def test_targets_of_a_video_are_loose_by_the_same_shares_in_both_frames(view):
    other = FileView(view.path, (91.5, 49.5, 32, 24))
    config = replace(SEVERAL, targets=replace(SEVERAL.targets, loose_probability=1.0))
    reference, test = make_pair(view, other, config, np.random.default_rng(3))
    # Offsets from the object's own box, in shares of its sides, do not depend on the view.
    for side in (0, 1):
        shares = [(crop.boxes[:, side] - crop.boxes[0, side]) / crop.boxes[0, side + 2] for crop in (reference, test)]
        torch.testing.assert_close(shares[0], shares[1], atol=1e-4, rtol=0)
    assert reference.boxes[:, 2].std() > 1


def test_a_copy_is_neither_moved_far_nor_changed(photograph):
    config = replace(
        SEVERAL, stretch_jitter=0.0, changes=ChangesConfig(copy_probability=1.0, noise_probability=1.0, contrast=0.5)
    )
    for seed in range(5):
        reference, test = make_pair(photograph, photograph, config, np.random.default_rng(seed))
        ratio = (test.boxes[0, 2:] / reference.boxes[0, 2:]).log().abs().max()
        assert ratio < 0.2  # a quarter of the jitter, four standard deviations
        levels = [float(c.pixels.std()) for c in (reference, test)]
        assert levels[0] == pytest.approx(levels[1], rel=0.1)
