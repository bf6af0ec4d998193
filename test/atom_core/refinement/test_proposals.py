# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from atom_core import boxes
from atom_core.config import TrackerConfig
from atom_core.refinement import proposals
from atom_core.refinement.proposals import ascend, autograd, select

CONFIG = TrackerConfig()
BOX = torch.tensor([100.0, 120.0, 80.0, 20.0])  # sqrt(width * height) = 40


def noise(count=CONFIG.proposals - 1, seed=0):
    return torch.rand(count, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def draw_proposals(box, config, jitter):
    """Proposals (P, 4) of a box (4,): those about the origin, moved to its centre."""
    about_origin = proposals.draw_proposals(box[2:].double().numpy(), config, jitter.numpy())
    return torch.from_numpy(about_origin).float() + torch.cat((boxes.center(box), torch.zeros(2)))


def climb(predict, proposals, steps, step_length):
    return ascend(predict, autograd(predict), proposals, steps, step_length)


def test_first_proposal_is_the_box():
    proposals = draw_proposals(BOX, CONFIG, noise())
    assert proposals.shape == (CONFIG.proposals, 4)
    torch.testing.assert_close(proposals[0], BOX)


def test_jitter_by_hand():
    config = TrackerConfig(proposals=5)
    jitter = torch.tensor([[1.0, -1, 0, 0], [0, 0, 1, -0.5], [0, 0, 0, -1.5], [0, 0, -7.5, 0]])
    drawn = draw_proposals(BOX, config, jitter)
    expected = torch.tensor(
        [
            [102.0, 118, 80, 20],  # the centre moves by 0.05 * 40 = 2
            [95, 122.5, 90, 15],  # sides change by 10 and -5 about the centre (140, 130)
            [100, 130 - 10 / 3, 80, 20 / 3],  # 20 - 15 = 5 is below a third of the shorter side
            [140 - 10 / 3, 120, 20 / 3, 20],  # 80 - 75 = 5 likewise
        ]
    )
    torch.testing.assert_close(drawn[1:], expected)


def test_jitter_is_bounded_and_fills_its_bounds():
    config = TrackerConfig(proposals=1000)
    drawn = draw_proposals(BOX, config, noise(999))
    moved = (boxes.center(drawn) - boxes.center(BOX)).abs().amax(0)
    changed = (drawn[:, 2:] - BOX[2:]).abs().amax(0)
    assert (moved <= 2 + 1e-4).all()
    assert (moved > 1.9).all()
    assert (changed <= 10 + 1e-4).all()
    assert (changed > 9.5).all()
    assert (drawn[:, 2:] >= 20 / 3 - 1e-4).all()


def test_a_single_proposal_is_the_box():
    config = TrackerConfig(proposals=1, top_proposals=1)
    torch.testing.assert_close(draw_proposals(BOX, config, noise(0)), BOX[None])


def test_one_step_of_ascent_by_hand():
    # predicted = -0.001 * |box - target|^2, so the gradient is 0.002 * (target - box), scaled by (w, h, w, h).
    start, target = torch.tensor([[[10.0, 20, 30, 40]]]), torch.tensor([15.0, 10, 40, 45])
    found, predicted = climb(lambda b: -0.001 * ((b - target) ** 2).sum(-1), start, steps=1, step_length=0.5)
    expected = torch.tensor([10 + 0.001 * 5 * 30, 20 - 0.001 * 10 * 40, 30 + 0.001 * 10 * 30, 40 + 0.001 * 5 * 40])
    torch.testing.assert_close(found[0, 0], expected)
    torch.testing.assert_close(predicted[0, 0], -0.001 * ((expected - target) ** 2).sum())


def test_ascent_climbs_a_true_overlap():
    targets = torch.tensor([[[100.0, 100, 60, 40]], [[90, 105, 30, 70]]])
    start = torch.stack(
        [draw_proposals(t[0] + torch.tensor([5.0, -4, 8, 6]), CONFIG, noise(seed=n)) for n, t in enumerate(targets)]
    )
    before = boxes.iou(start, targets)
    with torch.no_grad():  # as in the tracker
        found, predicted = climb(lambda b: 2 * boxes.iou(b, targets) - 1, start, steps=5, step_length=1.0)
    after = boxes.iou(found, targets)
    torch.testing.assert_close(predicted, 2 * after - 1)
    assert before.mean() < 0.75
    assert after.mean() > before.mean() + 0.1
    assert (after > before).float().mean() > 0.9
    assert not found.requires_grad


def test_no_steps_change_nothing():
    start = draw_proposals(BOX, CONFIG, noise())[None]
    found, predicted = climb(lambda b: b[..., 0] / 100, start, steps=0, step_length=1.0)
    torch.testing.assert_close(found, start)
    torch.testing.assert_close(predicted, start[..., 0] / 100)


def test_select_is_the_mean_of_the_top_three():
    proposals = np.array([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 3, 16, 10], [500, 500, 10, 10], [900, 0, 10, 10]])
    best = select(proposals, np.array([0.8, 0.6, 0.7, 0.1, -0.5]), CONFIG)
    np.testing.assert_allclose(best.box, [3.0, 1, 13, 10])
    assert best.iou == pytest.approx((0.9 + 0.8 + 0.85) / 3)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "bad",
    [
        (0, 0, 61, 10),  # aspect 6.1
        (0, 0, 10, 61),
        (0, 0, 0, 10),
        (0, 0, 10, -1),
        (0, 0, -10, -10),
        (NAN, 0, 10, 10),
        (0, 0, NAN, 10),
        (0, INF, 10, 10),
        (0, 0, INF, INF),
    ],
)
def test_select_drops_implausible_proposals(bad):
    proposals = np.array([bad, (2, 4, 10, 10), (4, 8, 10, 60), bad, (6, 3, 10, 20)], np.float64)
    best = select(proposals, np.array([1.0, -0.2, -0.4, 1.0, -0.9]), CONFIG)
    np.testing.assert_allclose(best.box, [4.0, 5, 10, 30])  # of the three that are left
    assert best.iou == pytest.approx(0.25)  # (0.4 + 0.3 + 0.05) / 3
    few = select(proposals[:3], np.array([1.0, 0.2, 0.4]), CONFIG)
    np.testing.assert_allclose(few.box, [3.0, 6, 10, 35])  # of the two that are left
    assert few.iou == pytest.approx(0.65)


@pytest.mark.parametrize("prediction", [NAN, INF, -INF])
def test_select_drops_predictions_that_are_not_finite(prediction):
    proposals = np.array([[100.0, 0, 10, 10], [2, 4, 10, 10], [4, 8, 10, 10]])
    np.testing.assert_allclose(select(proposals, np.array([prediction, 0.2, 0.4]), CONFIG).box, [3.0, 6, 10, 10])


def test_select_with_nothing_left_is_nothing():
    proposals = np.array([[0.0, 0, 100, 10], [0, 0, NAN, 10], [0, 0, 10, 0]])
    assert select(proposals, np.array([0.5, 0.5, 0.5]), CONFIG) is None


@pytest.mark.parametrize(("predicted", "expected"), [(1.4, 1.0), (-1.3, 0.0), (0.0, 0.5)])
def test_selected_overlap_is_between_0_and_1(predicted, expected):
    assert select(np.tile(BOX, (3, 1)), np.full(3, predicted), CONFIG).iou == expected


def test_ascent_runs_without_a_host_read():
    found, predicted = climb(lambda b: b.sum(-1), torch.ones(1, 10, 4, device="meta"), 5, 1.0)
    assert found.shape == (1, 10, 4)
    assert predicted.shape == (1, 10)
