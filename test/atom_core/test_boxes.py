# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atom_core import boxes


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


def number(low, high):
    return st.floats(low, high, allow_nan=False, width=32)


def box_strategy(min_side=2):
    side = number(min_side, 2000)
    return st.tuples(number(-3000, 3000), number(-3000, 3000), side, side)


REGIONS = st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000), st.integers(1, 10_000))
SMALL_INTEGER_BOX = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 4, 2), (0, 0, 4, 2), 1),
        ((0, 0, 4, 2), (2, 1, 4, 2), 2 / 14),  # they share 2 x 1; 8 + 8 - 2
        ((0, 0, 4, 4), (1, 1, 2, 2), 4 / 16),
        ((0, 0, 4, 4), (4, 0, 4, 4), 0),  # they touch
        ((0, 0, 4, 4), (9, 9, 4, 4), 0),
        ((1, 1, 0, 0), (1, 1, 0, 0), 0),  # both empty
        ((1, 1, 0, 0), (0, 0, 4, 4), 0),
        ((0, 0, -4, -2), (0, 0, 4, 2), 0),  # inside out
    ],
)
def test_iou_by_hand(a, b, expected):
    assert boxes.iou(f64(*a), f64(*b)).item() == pytest.approx(expected, abs=1e-12)


def test_iou_broadcasts():
    a = torch.tensor([[0.0, 0, 2, 2], [1, 0, 2, 2]])
    torch.testing.assert_close(boxes.iou(a[:, None], a[None]), torch.tensor([[1, 1 / 3], [1 / 3, 1]]))


@given(SMALL_INTEGER_BOX, SMALL_INTEGER_BOX)
def test_iou_equals_a_count_of_unit_squares(a, b):
    def raster(x, y, width, height):
        mask = np.zeros((24, 24), bool)
        mask[y : y + height, x : x + width] = True
        return mask

    both, either = (raster(*a) & raster(*b)).sum(), (raster(*a) | raster(*b)).sum()
    assert boxes.iou(f64(*a), f64(*b)).item() == pytest.approx(both / max(either, 1), abs=1e-12)


@given(box_strategy(), box_strategy())
def test_iou_is_symmetric_and_between_0_and_1(a, b):
    a, b = torch.tensor(a), torch.tensor(b)  # float32, as in the tracker
    value = boxes.iou(a, b)
    assert 0 <= value <= 1
    assert value == boxes.iou(b, a)
    assert boxes.iou(a, a) == pytest.approx(1, abs=1e-3)


def test_iou_of_like_boxes_never_exceeds_1():
    # In float32 (x + w) - x may be larger than w: unbounded, some of these boxes overlap themselves by 1.0002.
    generator = torch.Generator().manual_seed(0)
    box = torch.cat(
        (torch.rand(100_000, 2, generator=generator) * 6000, torch.rand(100_000, 2, generator=generator) + 2), 1
    )
    overlap = boxes.iou(box, box)
    assert overlap.max() == 1
    assert overlap.min() > 0.999


@given(
    box_strategy(), st.tuples(*[number(-0.375, 0.375)] * 4), st.tuples(*[number(-500, 500)] * 2), number(0.015625, 100)
)
def test_iou_is_invariant_to_shift_and_scale(a, noise, shift, scale):
    a = f64(*a)
    b = a + f64(*noise) * torch.cat((a[2:], a[2:]))  # of comparable size and overlapping, so that it says something
    shift = f64(*shift, 0, 0)
    expected = boxes.iou(a, b).item()
    assert expected > 0
    assert boxes.iou((a + shift) * scale, (b + shift) * scale).item() == pytest.approx(expected, abs=1e-9)


@given(box_strategy())
def test_from_center_inverts_center(box):
    box = f64(*box)
    torch.testing.assert_close(boxes.from_center(boxes.center(box), box[2:]), box)


@pytest.mark.parametrize(
    ("box", "factor", "expected"),
    [
        # Pixels 10..13 and 20..23: centre (11.5, 21.5), side 5 * 4 = 20: pixels 2..21, whose middle is 11.5.
        ((9.5, 19.5, 4, 4), 5, (2, 12, 20)),
        # side sqrt(2 * 8) * 2.5 = 10 whatever the aspect; centre (4.5, 9.5)
        ((3.5, 5.5, 2, 8), 2.5, (0, 5, 10)),
        # side 5 * 3 = 15, odd: centre pixel 7, and 7 pixels on either side
        ((5.5, 5.5, 3, 3), 5, (0, 0, 15)),
        # sqrt(2 * 3) * 4 = 9.798: rounded up; x: 1 + 0.5 - 5, y: 1.5 + 0.5 - 5
        ((0, 0, 2, 3), 4, (-4, -3, 10)),
    ],
)
def test_search_region_by_hand(box, factor, expected):
    assert boxes.search_region(box, factor) == expected


@given(box_strategy(min_side=4), number(1.5, 8))
def test_search_region_is_integer_and_about_the_target(box, factor):
    region = boxes.search_region(box, factor)
    wanted = factor * (box[2] * box[3]) ** 0.5
    assert all(value == round(value) for value in region)
    assert wanted - 1e-6 <= region[2] <= wanted + 1 + 1e-6
    middle = np.array(region[:2]) + (region[2] - 1) / 2  # of the pixels x0 .. x0 + side - 1
    assert (np.abs(middle - boxes.center(np.array(box))) <= 0.5 + 1e-6).all()


def test_crop_map_by_hand():
    # Pixels 10..13 and 20..23 become 8 x 8 crop pixels. The square's edges are 9.5 and 13.5; the crop's -0.5 and 7.5.
    region = f64(10, 20, 4)
    image = torch.stack((f64(9.5, 19.5), f64(13.5, 23.5), f64(11.5, 21.5), f64(10, 23)))
    crop = torch.stack((f64(-0.5, -0.5), f64(7.5, 7.5), f64(3.5, 3.5), f64(0.5, 6.5)))
    torch.testing.assert_close(boxes.points_to_crop(image, region, 8), crop)
    torch.testing.assert_close(boxes.points_to_image(crop, region, 8), image)
    torch.testing.assert_close(boxes.image_to_crop(f64(9.5, 20.5, 2, 1), region, 8), f64(-0.5, 1.5, 4, 2))


def test_crop_map_without_resizing_only_shifts():
    region = f64(-7, 5, 288)
    torch.testing.assert_close(boxes.image_to_crop(f64(3, 9, 4, 6), region, 288), f64(10, 4, 4, 6))


@given(box_strategy(), REGIONS, st.integers(16, 600))
def test_crop_maps_invert_each_other(box, region, crop_size):
    box, region = f64(*box), f64(*region)
    there = boxes.image_to_crop(box, region, crop_size)
    torch.testing.assert_close(boxes.crop_to_image(there, region, crop_size), box, atol=1e-7, rtol=0)
    back = boxes.crop_to_image(box, region, crop_size)
    torch.testing.assert_close(boxes.image_to_crop(back, region, crop_size), box, atol=1e-6, rtol=1e-9)
    corners = boxes.points_to_crop(torch.stack((box[:2], box[:2] + box[2:])), region, crop_size)
    torch.testing.assert_close(torch.cat((corners[0], corners[1] - corners[0])), there, atol=1e-6, rtol=1e-9)


@pytest.mark.parametrize("crop_size", [288, 224, 255])
@pytest.mark.parametrize("aspect", [1, 2, 1 / 3])
@pytest.mark.parametrize("side", [4, 5, 31, 32, 333, 2000])
@pytest.mark.parametrize("place", [(0, 0), (-0.3, 479.5), (1919.25, -17), (3000.75, 2000.5)])  # corners, borders, far
def test_crop_maps_in_float32(place, side, aspect, crop_size):
    box = torch.tensor((*place, side * aspect**0.5, side / aspect**0.5))
    region = torch.tensor(boxes.search_region(box.tolist(), 5.0))
    there = boxes.image_to_crop(box, region, crop_size)
    # A hundredth of a pixel of the image or of the crop, whichever is larger.
    step = max(1.0, float(region[2]) / crop_size)
    torch.testing.assert_close(boxes.crop_to_image(there, region, crop_size), box, atol=0.01 * step, rtol=0)
    # In the crop the target has a fifth of the side, and sits in the middle to within half an image pixel.
    assert float((there[2] * there[3]) ** 0.5) == pytest.approx(crop_size / 5, rel=1 / (5 * side) + 1e-4)
    middle = (crop_size - 1) / 2
    assert ((boxes.center(there) - middle).abs() <= (0.5 * crop_size / float(region[2])) + 0.05).all()


def test_score_map_by_hand():
    # The even filter's cell 1 sees feature cells -1..2, whose centres are crop px -16..32: the middle is 8.
    torch.testing.assert_close(boxes.score_to_crop(f64(0, 1, 9)), f64(-8, 8, 136))
    torch.testing.assert_close(boxes.crop_to_score(f64(-8, 8, 136)), f64(0, 1, 9))


@given(number(-100, 100))
def test_score_map_inverts(cell):
    assert boxes.crop_to_score(boxes.score_to_crop(f64(cell))).item() == pytest.approx(cell, abs=1e-9)


@pytest.mark.parametrize(
    ("old_size", "new_size", "expected"),
    [
        ((640, 480), (640, 480), (99.5, 79.5, 40, 30)),
        ((640, 480), (1280, 960), (199.5, 159.5, 80, 60)),  # pixel 100 begins where pixels 200 and 201 do
        ((640, 480), (320, 240), (49.5, 39.5, 20, 15)),
        ((640, 480), (640, 360), (99.5, 19.5, 40, 30)),  # 60 lines left out above, and 60 below
        ((640, 360), (1280, 960), (199.5, 279.5, 80, 60)),  # 480 lines; they are 60 more above; all that twice
    ],
)
def test_rescale_by_hand(old_size, new_size, expected):
    assert boxes.rescale((99.5, 79.5, 40, 30), old_size, new_size) == pytest.approx(expected)


@given(box_strategy(), st.tuples(*[st.integers(1, 4000)] * 2), st.tuples(*[st.integers(1, 4000)] * 2))
def test_rescale_inverts_itself(box, old_size, new_size):
    there = boxes.rescale(box, old_size, new_size)
    assert boxes.rescale(there, new_size, old_size) == pytest.approx(box, abs=1e-6, rel=1e-9)


def test_keep_in_image_by_hand():
    def keep(*box):
        return boxes.keep_in_image(box, 100, 60, min_side=2.0, margin=0.3)

    assert keep(10.0, 20.0, 30.0, 10.0) == (10, 20, 30, 10)  # well inside: as it was
    assert keep(-1000.0, 20.0, 30.0, 10.0) == (-21.5, 20, 30, 10)  # 9 of 30 px stay right of the edge at -0.5
    assert keep(10.0, 1000.0, 30.0, 10.0) == pytest.approx((10, 56.5, 30, 10))  # 3 of 10 px above the edge at 59.5
    assert keep(10.0, 20.0, 1.0, 0.0) == (9.5, 19, 2, 2)  # grown about its centre
    assert keep(0.0, 0.0, 4000.0, 10.0) == (100 - 0.5 - 50, 0, 200, 10)  # twice the longer side; to the middle


@given(
    st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2, *[st.floats(0, 1e5, width=32)] * 2),
    st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    number(0.015625, 1.0),
)
def test_keep_in_image_always_overlaps(box, size, margin):
    kept = boxes.keep_in_image(box, *size, min_side=2.0, margin=margin)
    assert np.isfinite(kept).all()
    assert min(kept[2:]) >= min(2.0, 2.0 * max(size))
    for start, extent, length in zip(kept[:2], kept[2:], size, strict=True):
        overlap = min(start + extent, length - 0.5) - max(start, -0.5)
        asked = min(margin * extent, length / 2)
        assert overlap >= asked - 1e-6


@given(box_strategy(), st.tuples(st.integers(1, 4000), st.integers(1, 4000)))
def test_keep_in_image_twice_is_once(box, size):
    once = boxes.keep_in_image(box, *size, min_side=2.0, margin=0.3)
    assert boxes.keep_in_image(once, *size, min_side=2.0, margin=0.3) == pytest.approx(once, abs=1e-6)


def test_arguments_are_not_changed():
    box, region = torch.tensor([1.0, 2, 30, 4]), torch.tensor([-5.0, 6, 70])
    for call in (
        lambda: boxes.iou(box, box),
        lambda: boxes.image_to_crop(box, region, 64),
        lambda: boxes.crop_to_image(box, region, 64),
        lambda: boxes.crop_to_image(box.numpy(), region.numpy(), 64),
    ):
        call()
        assert box.tolist() == [1, 2, 30, 4]
        assert region.tolist() == [-5, 6, 70]


@given(box_strategy(), REGIONS)
def test_numpy_and_torch_have_the_same_map(box, region):
    arrays, tensors = (np.array(box), np.array(region)), (f64(*box), f64(*region))
    for crop_map in (boxes.image_to_crop, boxes.crop_to_image):
        np.testing.assert_allclose(crop_map(*arrays, 288), crop_map(*tensors, 288).numpy(), rtol=1e-12)


def test_runs_without_a_host_read():
    box, region = torch.ones(3, 4, device="meta"), torch.ones(3, 3, device="meta")
    assert boxes.crop_to_image(boxes.image_to_crop(box, region, 288), region, 288).shape == (3, 4)
    assert boxes.iou(box[:, None], box[None]).shape == (3, 3)
