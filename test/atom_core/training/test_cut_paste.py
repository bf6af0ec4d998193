# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import cv2
import numpy as np
import pytest

from atom_core.training.config import CutPasteConfig, TrainingConfig
from atom_core.training.cut_paste import CutPaste, MaskedObject
from atom_core.training.sampling import make_pair

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
# The object as it is, upright, moved and scaled.
PLAIN = CutPasteConfig(
    stretch_jitter=0,
    rotation=0,
    contrast=0,
    brightness=0,
    blur_probability=0,
    distractor_probability=0,
    occluder_probability=0,
)


@pytest.fixture
def masked(tmp_path):
    """Writes an image of an object and its mask: columns 20 to 79, rows 30 to 69 of 120 x 100 px, or a polygon."""

    def build(name, color=RED, around=GREEN, shape=None):
        mask = np.zeros((100, 120), np.uint8)
        if shape is None:
            mask[30:70, 20:80] = 255
        else:
            cv2.fillPoly(mask, [np.array(shape)], 255)
        image = np.where(mask[..., None] > 0, np.uint8(color), np.uint8(around))
        write(tmp_path / f"{name}.png", image)
        cv2.imwrite(str(tmp_path / f"{name}_mask.png"), mask)
        x, y, w, h = cv2.boundingRect(mask)
        return MaskedObject(tmp_path / f"{name}.png", tmp_path / f"{name}_mask.png", (x - 0.5, y - 0.5, w, h))

    return build


@pytest.fixture
def backdrop(tmp_path):
    """Writes a background of 360 x 320 px, of one colour."""

    def build(name="background", color=BLACK):
        write(tmp_path / f"{name}.png", np.full((320, 360, 3), color, np.uint8))
        return tmp_path / f"{name}.png"

    return build


def write(path, image):
    assert cv2.imwrite(str(path), image[..., ::-1])


def draws(source, count=12):
    return [source.draw(np.random.default_rng(seed)) for seed in range(count)]


def views(source, count=12):
    return [view for pair in draws(source, count) for view in pair]


def half_covered(share):
    """First and last place along an axis, in px, where a line's share of the object crosses one half."""
    (inside,) = np.nonzero(share > 0.5)
    start, end = inside[0], inside[-1]
    before = start - (share[start] - 0.5) / (share[start] - share[start - 1])
    after = end + (share[end] - 0.5) / (share[end] - share[end + 1])
    return before, after


def test_box_is_that_of_the_pasted_rectangle(masked, backdrop):
    """Within a small part of a pixel of where its edges are half covered."""
    source = CutPaste({"set": [[masked("a")]]}, [backdrop()], 50, replace(PLAIN, stretch_jitter=0.2))
    for view in views(source):
        share = np.pad(view.image[..., 0] / 255, 1)
        x, y, w, h = view.box
        left, right = half_covered(share[round(y + h / 2) + 1])
        top, bottom = half_covered(share[:, round(x + w / 2) + 1])
        found = np.array([left - 1, top - 1, right - left, bottom - top])
        np.testing.assert_allclose(view.box, found, atol=0.15)


@pytest.mark.parametrize(
    "shape", [[(20, 20), (90, 25), (40, 80)], [(20, 20), (90, 20), (90, 35), (35, 35), (35, 80), (20, 80)]]
)
def test_box_is_tight_about_a_rotated_shape(masked, backdrop, shape):
    source = CutPaste({"set": [[masked("a", shape=shape)]]}, [backdrop()], 50, replace(PLAIN, rotation=40, min_side=60))
    for view in views(source):
        rows, columns = np.nonzero(view.image[..., 0] > 40)
        found = np.array([columns.min(), rows.min(), np.ptp(columns), np.ptp(rows)])
        # Sharp corners are blunted by the soft edge.
        np.testing.assert_allclose(view.box, found, atol=3.5)
        assert view.box[2] * view.box[3] == pytest.approx(found[2] * found[3], rel=0.1)


def test_nothing_of_the_old_surroundings_comes_along(masked, backdrop):
    config = replace(PLAIN, blur_probability=1, rotation=20)
    for view in views(CutPaste({"set": [[masked("a", RED, GREEN)]]}, [backdrop(color=BLUE)], 50, config)):
        assert view.image[..., 1].max() == 0
        assert view.image[..., 0].max() > 200


def test_size_and_place(masked, backdrop):
    config = replace(PLAIN, min_side=40, max_side=40, scale_jitter=0, shift=5)
    source = CutPaste({"set": [[masked("a")]]}, [backdrop()], 50, config)
    for view in views(source, 40):
        x, y, w, h = view.box
        assert w * h == pytest.approx(40**2)
        assert w / h == pytest.approx(60 / 40)
        assert x >= -1e-6
        assert y >= -1e-6
        assert x + w <= 360 - 1 + 1e-6
        assert y + h <= 320 - 1 + 1e-6


def test_an_object_that_is_too_large_is_made_to_fit(masked, backdrop):
    config = replace(PLAIN, min_side=70, max_side=70, scale_jitter=2)
    boxes = np.array([view.box for view in views(CutPaste({"set": [[masked("a")]]}, [backdrop()], 50, config), 40)])
    assert (boxes[:, 2] <= 0.9 * 360 + 1e-6).all()
    assert boxes[:, 2].max() == pytest.approx(0.9 * 360)


def test_frames_of_a_track_lie_within_the_gap(masked, backdrop):
    track = [masked(str(i), (60 + 30 * i,) * 3) for i in range(6)]
    track[3] = None
    source = CutPaste({"set": [track]}, [backdrop()], 1, PLAIN)
    frames = [[(int(view.image.max()) - 60) / 30 for view in pair] for pair in draws(source, 60)]
    np.testing.assert_allclose(frames, np.rint(frames), atol=0.1)
    assert {tuple(pair) for pair in np.rint(frames).astype(int).tolist()} == {
        *((i, i) for i in (0, 1, 2, 4, 5)),
        *((0, 1), (1, 0), (1, 2), (2, 1), (4, 5), (5, 4)),
    }


def corner(view):
    """The colour of the corner that is farthest from the object, so mere background."""
    height, width, _ = view.image.shape
    x, y, w, h = view.box
    return tuple(view.image[0 if y + h / 2 > height / 2 else -1, 0 if x + w / 2 > width / 2 else -1].tolist())


@pytest.mark.parametrize(("probability", "kinds"), [(0, 1), (1, 2)])
def test_background_changes_with_its_probability(masked, backdrop, probability, kinds):
    backgrounds = [backdrop("green", GREEN), backdrop("blue", BLUE)]
    config = replace(PLAIN, background_change=probability, background_shift=0, background_zoom=0, max_side=40)
    source = CutPaste({"set": [[masked("a")]]}, backgrounds, 50, config)
    pairs = {tuple(corner(view) for view in pair) for pair in draws(source, 20)}
    assert len({first for first, _ in pairs}) == 2
    assert all(len({second for f, second in pairs if f == first}) == kinds for first, _ in pairs)


def color_share(view, color):
    """The share of the box's pixels that have a colour, and how many have it elsewhere."""
    matches = np.abs(view.image - np.int16(color)).max(-1) < 60
    x, y, w, h = view.box
    inside = np.zeros_like(matches)
    inside[round(y + 1) : round(y + h), round(x + 1) : round(x + w)] = True
    return matches[inside].mean(), (matches & ~inside).sum()


def test_distractor_lies_behind_the_target(masked, backdrop):
    """Another object of the set, seen in both views, that covers nothing of the target."""
    tracks = [[masked("a", RED)], [masked("b", BLUE)]]
    source = CutPaste({"set": tracks}, [backdrop()], 50, replace(PLAIN, distractor_probability=1, twin_probability=0))
    several = 0
    for pair in draws(source, 20):
        target = max((RED, BLUE), key=lambda color: color_share(pair[0], color)[0])
        other = BLUE if target == RED else RED
        assert all(color_share(view, target)[0] > 0.9 for view in pair)
        several += any(color_share(view, other)[1] > 20 for view in pair)
    assert 3 < several < 20  # else the distractor is the same object


def test_twin_is_the_same_object(masked, backdrop):
    tracks = [[masked("a", RED)], [masked("b", BLUE)]]
    source = CutPaste({"set": tracks}, [backdrop()], 50, replace(PLAIN, distractor_probability=1, twin_probability=1))
    for pair in draws(source):
        target = max((RED, BLUE), key=lambda color: color_share(pair[0], color)[0])
        for view in pair:
            assert color_share(view, BLUE if target == RED else RED) == (0, 0)
            assert color_share(view, target)[0] > 0.9
        assert sum(color_share(view, target)[1] > 50 for view in pair) >= 1


def test_occluder_covers_a_part_in_the_second_view_and_leaves_the_box(masked, backdrop):
    tracks = [[masked("a", RED)], [masked("b", BLUE)]]
    config = replace(PLAIN, occluder_probability=1, scale_jitter=0)
    shares = []
    for first, second in draws(CutPaste({"set": tracks}, [backdrop()], 50, config), 40):
        target = max((RED, BLUE), key=lambda color: color_share(first, color)[0])
        assert color_share(first, target)[0] > 0.9
        assert color_share(first, BLUE if target == RED else RED) == (0, 0)
        np.testing.assert_allclose(first.box[2:], second.box[2:])
        shares.append(color_share(second, target)[0])
    assert 0.2 < min(shares) < 0.8


def test_odds_of_sets(masked, backdrop):
    objects = {"red": [[masked("a", RED)]], "blue": [[masked("b", BLUE)]]}
    source = CutPaste(objects, [backdrop()], 50, replace(PLAIN, odds={"red": 3.0}))
    share = np.mean([first.image[..., 0].max() > 100 for first, _ in draws(source, 100)])
    assert share == pytest.approx(0.75, abs=0.1)


def test_pairs_are_a_function_of_the_seed(masked, backdrop):
    source = CutPaste({"set": [[masked("a")], [masked("b", BLUE)]]}, [backdrop(color=GREEN)], 50, CutPasteConfig())
    before, after = draws(source, 8), draws(source, 8)
    for one, other in zip(before, after, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.box == b.box
            np.testing.assert_array_equal(a.image, b.image)
    assert before[0][0].box != before[1][0].box


def test_pair_becomes_crops(masked, backdrop):
    rng = np.random.default_rng(0)
    source = CutPaste({"set": [[masked("a")]]}, [backdrop()], 50, PLAIN)
    reference, _ = make_pair(*source.draw(rng), TrainingConfig(crop_size=160, grey_probability=0, brightness=0), rng)
    x, y, w, h = reference.boxes[0].tolist()
    assert (w * h) ** 0.5 == pytest.approx(160 / 5, rel=0.02)
    assert reference.pixels[:, round(y + h / 2), round(x + w / 2)].tolist() == pytest.approx([255, 0, 0], abs=1)
    assert reference.pixels[:, round(y + h / 2), round(x - 4)].tolist() == pytest.approx([0, 0, 0], abs=1)


def test_what_cannot_be_pasted_is_named(masked, backdrop, tmp_path):
    good = masked("a")
    cv2.imwrite(str(tmp_path / "small.png"), np.full((9, 9), 255, np.uint8))
    cases = [
        (replace(good, mask=tmp_path / "none.png"), r"cannot read the mask: .*none\.png"),
        (replace(good, image=tmp_path / "none.png"), r"cannot read the image .*none\.png"),
        (replace(good, mask=tmp_path / "small.png"), r"small\.png has \(9, 9\) px, but its image \(120, 100\) px"),
        (replace(good, box=(100.0, 80.0, 10.0, 10.0)), r"a_mask\.png is empty within the box"),
        (replace(good, box=(200.0, 80.0, 10.0, 10.0)), r"a_mask\.png is empty within the box"),
        (replace(good, box=(30.0, 40.0, 8.0, 8.0)), r"the object within the box .* is too small to be pasted"),
    ]
    for item, message in cases:
        source = CutPaste({"set": [[item]]}, [backdrop()], 50, PLAIN)
        with pytest.raises(ValueError, match=message):
            source.draw(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("odds", "backgrounds", "message"),
    [
        ({"sets": 1.0}, 1, r"cut_paste\.odds names 'sets'; sets with masks: set"),
        ({"set": 0.0}, 1, r"cut_paste\.odds are 0 for every set of set; name one above 0"),
        ({}, 0, "cut_paste has objects but no background"),
    ],
)
def test_wrong_settings_are_named(masked, backdrop, odds, backgrounds, message):
    with pytest.raises(ValueError, match=message):
        CutPaste({"set": [[masked("a")]]}, [backdrop()] * backgrounds, 50, replace(PLAIN, odds=odds))
