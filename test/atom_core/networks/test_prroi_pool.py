# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_core.networks.prroi_pool import prroi_pool

HEIGHT, WIDTH = 6, 7


def feature_map(maps=1, channels=2, height=HEIGHT, width=WIDTH):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(maps, channels, height, width, generator=generator, dtype=torch.float64)


def boxes_of(*values):
    return torch.tensor(values, dtype=torch.float64)[None]


def dense_mean(features, box, bins, samples=300):
    """Bin means (C, bins, bins) of the bilinear interpolant of one map (C, H, W), zero outside, box in cells.

    The interpolant is PyTorch's grid_sample; the integral is a sum over samples x samples midpoints in each bin.
    """
    height, width = features.shape[-2:]
    x, y, w, h = box.tolist()
    count = bins * samples
    midpoints = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    xs = 2 * (x + w * midpoints) / (width - 1) - 1
    ys = 2 * (y + h * midpoints) / (height - 1) - 1
    grid = torch.stack(torch.broadcast_tensors(xs[None], ys[:, None]), dim=-1)[None]
    values = F.grid_sample(features[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    return values.view(len(features), bins, samples, bins, samples).mean((2, 4))


@pytest.mark.parametrize(
    "box",
    [
        (1.3, 1.1, 3.7, 2.9),  # inside
        (2.0, 1.0, 3.0, 3.0),  # on the grid
        (2.2, 2.3, 0.4, 0.3),  # within one cell
        (2.4, 2.5, 0.01, 0.02),  # almost a point
        (-1.5, 0.7, 4.0, 3.0),  # across the left border
        (4.1, 3.2, 5.0, 6.0),  # across the right and the lower one
        (-3.0, -2.0, 14.0, 11.0),  # around the whole map
        (0.0, 0.0, WIDTH - 1.0, HEIGHT - 1.0),  # the map itself
        (-0.9, 1.0, 0.8, 2.0),  # in the rim where the interpolant falls to zero
        (20.0, 1.0, 3.0, 3.0),  # outside
        (-9.0, -9.0, 4.0, 4.0),
    ],
)
@pytest.mark.parametrize("bins", [1, 3, 5])
def test_equals_brute_force_integration(box, bins):
    features = feature_map()
    pooled = prroi_pool(features, boxes_of(box), bins, 1.0)
    assert pooled.shape == (1, 1, 2, bins, bins)
    torch.testing.assert_close(pooled[0, 0], dense_mean(features[0], boxes_of(box)[0, 0], bins), atol=2e-4, rtol=0)


@settings(max_examples=30)
@given(st.tuples(*[st.floats(-3, 8)] * 2), st.tuples(*[st.floats(0.1, 9)] * 2), st.sampled_from([1, 2, 3]))
def test_equals_brute_force_integration_anywhere(corner, size, bins):
    features = feature_map()
    box = boxes_of((*corner, *size))
    expected = dense_mean(features[0], box[0, 0], bins, samples=150)
    torch.testing.assert_close(prroi_pool(features, box, bins, 1.0)[0, 0], expected, atol=2e-3, rtol=0)


def test_box_wholly_outside_gives_zero():
    assert prroi_pool(feature_map(), boxes_of((20, 1, 3, 3), (1, -9, 3, 3)), 3, 1.0).abs().max() == 0


def test_constant_and_linear_maps_by_hand():
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    features = torch.stack((torch.full((6, 7), 5.0), columns, rows))[None]
    pooled = prroi_pool(features, torch.tensor([[[16.0, 8.0, 24.0, 24.0]]]), 3, 1 / 8)[0, 0]
    # In cells the box is (2, 1, 3, 3): the bins' middles are 2.5, 3.5, 4.5 and 1.5, 2.5, 3.5.
    torch.testing.assert_close(pooled[0], torch.full((3, 3), 5.0))
    torch.testing.assert_close(pooled[1], torch.tensor([[2.5, 3.5, 4.5]]).expand(3, 3))
    torch.testing.assert_close(pooled[2], torch.tensor([[1.5], [2.5], [3.5]]).expand(3, 3))


def test_single_cell_by_hand():
    # The hat about 0 has volume 1; the box (-1, -1, 2, 2) holds it all, its right half a half.
    features = torch.ones(1, 1, 1, 1)
    pooled = prroi_pool(features, torch.tensor([[[-1.0, -1, 2, 2], [0, -1, 1, 2], [0, 0, 1, 1]]]), 1, 1.0)
    torch.testing.assert_close(pooled.flatten(), torch.tensor([1 / 4, 0.5 / 2, 0.25 / 1]))


def test_each_box_belongs_to_its_map():
    features = feature_map(maps=2)
    boxes = torch.stack((boxes_of((1, 1, 3, 2), (0, 2, 4, 4))[0], boxes_of((2, 1, 3, 3), (-1, -1, 3, 3))[0]))
    pooled = prroi_pool(features, boxes, 3, 1.0)
    assert pooled.shape == (2, 2, 2, 3, 3)
    for n in range(2):
        for p in range(2):
            alone = prroi_pool(features[n : n + 1], boxes[n : n + 1, p : p + 1], 3, 1.0)
            torch.testing.assert_close(pooled[n : n + 1, p : p + 1], alone)


def test_scale_is_cells_a_pixel():
    features, boxes = feature_map(), boxes_of((1.3, 1.1, 3.7, 2.9))
    torch.testing.assert_close(prroi_pool(features, 16 * boxes, 3, 1 / 16), prroi_pool(features, boxes, 3, 1.0))


def test_window_equals_the_whole_map_where_it_holds_the_box():
    features = feature_map(height=12, width=14)
    boxes = boxes_of((4.2, 3.3, 3.1, 2.5), (5.0, 4.0, 2.0, 2.0))
    expected = prroi_pool(features, boxes, 3, 1.0)
    window = features[:, :, 2:8, 3:10]  # cells 3..9 and 2..7: one cell more than the boxes on each side
    torch.testing.assert_close(prroi_pool(window, boxes, 3, 1.0, origin=(3, 2)), expected)


def test_window_is_a_map_that_is_zero_elsewhere():
    features = feature_map(height=12, width=14)
    boxes = boxes_of((1.2, 0.3, 9.1, 10.5))
    zeroed = torch.zeros_like(features)
    zeroed[:, :, 2:8, 3:10] = features[:, :, 2:8, 3:10]
    pooled = prroi_pool(features[:, :, 2:8, 3:10], boxes, 5, 1.0, origin=(3, 2))
    torch.testing.assert_close(pooled, prroi_pool(zeroed, boxes, 5, 1.0))


def test_windows_may_begin_elsewhere_in_each_map():
    features = feature_map(maps=2, height=12, width=14)
    boxes = boxes_of((4.2, 3.3, 3.1, 2.5)).expand(2, 1, 4)
    windows = torch.stack((features[0, :, 1:8, 2:10], features[1, :, 2:9, 3:11]))
    origin = (torch.tensor([[2.0], [3.0]]), torch.tensor([[1.0], [2.0]]))
    torch.testing.assert_close(prroi_pool(windows, boxes, 3, 1.0, origin), prroi_pool(features, boxes, 3, 1.0))


@pytest.mark.parametrize("size", [(0, 0), (0, 2), (2, 0), (-1, 2), (-1, -1)])
def test_no_area_gives_zero_and_a_finite_gradient(size):
    boxes = boxes_of((2.0, 2.5, *size)).requires_grad_()
    pooled = prroi_pool(feature_map(), boxes, 3, 1.0)
    assert pooled.abs().max() == 0
    (gradient,) = torch.autograd.grad(pooled.sum(), boxes)
    assert torch.isfinite(gradient).all()


def test_gradients_in_boxes_and_features():
    features = feature_map(channels=1, height=4, width=5).requires_grad_()
    boxes = boxes_of((0.7, 0.6, 2.3, 1.9), (-0.8, 1.2, 3.1, 4.4), (1.31, 1.17, 0.25, 0.35)).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, b: prroi_pool(f, b, 2, 1.0), (features, boxes))
    origin = (1, -2)
    assert torch.autograd.gradcheck(lambda f, b: prroi_pool(f, b, 3, 0.5, origin), (features, 2 * boxes.detach() + 1))


def test_gradient_in_boxes_also_holds_on_the_grid():
    # The interpolant's integral is smooth to first order, so edges that lie on grid points are no exception.
    features, boxes = feature_map(channels=1), boxes_of((1.0, 2.0, 3.0, 2.0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda b: prroi_pool(features, b, 1, 1.0), (boxes,), eps=1e-6, atol=1e-4)


def test_float32_agrees_with_float64():
    features, boxes = feature_map(height=36, width=36), boxes_of((100.3, 90.7, 57.6, 57.6), (3.1, 200.2, 9.0, 150.0))
    exact = prroi_pool(features, boxes, 5, 1 / 8)
    torch.testing.assert_close(prroi_pool(features.float(), boxes.float(), 5, 1 / 8).double(), exact, atol=1e-5, rtol=0)


def test_runs_without_a_host_read():
    pooled = prroi_pool(torch.empty(2, 3, 8, 8, device="meta"), torch.empty(2, 4, 4, device="meta"), 5, 1 / 8)
    assert pooled.shape == (2, 4, 3, 5, 5)
