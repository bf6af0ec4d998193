# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
from copy import deepcopy

import numpy as np
import pytest
import torch

from atom_core import boxes
from atom_core.config import TrackerConfig
from atom_core.networks import weights
from atom_core.networks.backbones import Features
from atom_core.networks.iou_predictor import Modulation, TestMaps
from atom_core.refinement.reference_fit import (
    VIEWS,
    BoxPredictor,
    draw_boxes,
    fit_modulation,
    reference_views,
    solve_step,
)

CONFIG = TrackerConfig()
BOX = (130.0, 71.0, 68.0, 44.0)
DAMPING = 1e-4


@pytest.fixture(scope="module")
def network():
    loaded = weights.load("default")
    return dataclasses.replace(
        loaded,
        backbone=deepcopy(loaded.backbone).eval().requires_grad_(False),
        iou_net=deepcopy(loaded.iou_net).eval().requires_grad_(False),
    )


@pytest.fixture(scope="module")
def image():
    """A plain disc on noise: BOX holds its upper two thirds."""
    generator = np.random.default_rng(3)
    drawn = generator.integers(60, 120, (240, 320, 3)).astype(np.uint8)
    rows, columns = np.mgrid[:240, :320]
    drawn[np.hypot(rows - 105, columns - 164) < 34] = (210, 120, 40)
    return torch.from_numpy(drawn)


@pytest.fixture(scope="module")
def learned(network, image):
    """The reference branch's vectors, and the views' maps and targets."""
    return learn(network, image, BOX)


def learn(network, image, box):
    views = reference_views(image, box, CONFIG)
    with torch.no_grad():
        features = network.backbone(views.crops)
        first = Features(features.stride8[:1], features.stride16[:1])
        reference = network.iou_net.modulation(first, views.targets[:1])
        return reference, network.iou_net.test_maps(features), views.targets


def fit(network, learned, damping=DAMPING, seed=0):
    reference, maps, targets = learned
    drawn = draw_boxes(targets, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return fit_modulation(network.iou_net, reference, of_each(maps), drawn, targets, damping)


def of_each(maps):
    return [TestMaps(*pair) for pair in zip(maps.t3.split(1), maps.t4.split(1), strict=True)]


def predict(network, modulation, maps, drawn):
    """Predicted IoU in the first view, by the network's own forward pass."""
    first = maps._replace(t3=maps.t3[:1], t4=maps.t4[:1])
    with torch.no_grad():
        return (network.iou_net(modulation, first, drawn[None])[0] + 1) / 2


def test_each_view_shows_the_target_in_its_box():
    """A white target on black: all that is white, of all views, lies in the boxes, to within a pixel's smear."""
    image = torch.zeros(240, 320, 3, dtype=torch.uint8)
    image[90:120, 140:188] = 255  # covers 139.5 to 187.5 and 89.5 to 119.5
    views = reference_views(image, (139.5, 89.5, 48.0, 30.0), CONFIG)
    assert views.crops.shape == (len(VIEWS), 3, CONFIG.crop_size, CONFIG.crop_size)
    for crop, box in zip(views.crops, views.targets, strict=True):
        rows, columns = np.nonzero(crop[0].numpy() > 127)
        seen = columns.min() - 0.5, rows.min() - 0.5, np.ptp(columns) + 1, np.ptp(rows) + 1
        np.testing.assert_allclose(seen, box, atol=1.0)
    assert len({tuple(box.tolist()) for box in views.targets}) == len(VIEWS)


def test_after_the_fit_the_best_of_shifted_and_resized_boxes_is_the_given_one(network, learned):
    reference, maps, targets = learned
    x, y, w, h = targets[0].tolist()
    step = 0.15  # of a side, so that the boxes beside the given one overlap it by 0.74 to 0.87
    drawn = torch.tensor(
        [(x, y, w, h)]
        + [(x + dx * w, y + dy * h, w, h) for dx, dy in ((step, 0), (-step, 0), (0, step), (0, -step))]
        + [(x - d * w / 2, y, w + d * w, h) for d in (step, -step)]
        + [(x, y - d * h / 2, w, h + d * h) for d in (step, -step)]
    )
    before = predict(network, reference, maps, drawn)
    after = predict(network, fit(network, learned), maps, drawn)
    assert before.argmax() != 0  # the network would rather have the disc
    assert after.argmax() == 0
    truth = boxes.iou(drawn, drawn[:1])
    assert (after - truth).square().mean() < 0.5 * (before - truth).square().mean()


def test_a_high_damping_leaves_the_vectors_as_they_are(network, learned):
    reference = learned[0]
    for fitted, given in zip(fit(network, learned, damping=1e6), reference, strict=True):
        torch.testing.assert_close(fitted, given, atol=1e-4 * given.abs().max().item(), rtol=0)


def test_less_damping_changes_them_more(network, learned):
    start = torch.cat(list(learned[0]))
    changes = [
        (torch.cat(list(fit(network, learned, damping))) - start).square().sum() for damping in (1e-2, 1e-3, 1e-4, 1e-5)
    ]
    assert changes == sorted(changes)
    assert changes[-1] > 10 * changes[0]


def test_predictor_is_the_network_and_its_slopes_are_autograds(network, learned):
    reference, maps, targets = learned
    net = network.iou_net
    drawn = draw_boxes(targets, torch.Generator().manual_seed(1))
    predictor = BoxPredictor.of(net, of_each(maps), drawn)
    factors = torch.cat(reference, dim=1)[0]

    def by_network(values):
        c3, c4 = values[None].expand(len(drawn), -1).chunk(2, dim=1)
        return net(Modulation(c3, c4), maps, drawn).flatten()

    predicted, slopes = predictor(factors)
    torch.testing.assert_close(predicted, by_network(factors), atol=1e-4, rtol=1e-4)
    expected = torch.autograd.functional.jacobian(by_network, factors)
    torch.testing.assert_close(slopes, expected, atol=1e-4 * expected.abs().max().item(), rtol=1e-3)


def test_a_step_solves_the_damped_least_squares_problem():
    """Against the normal equations of the 7 factors; there are 4 boxes."""
    generator = torch.Generator().manual_seed(2)
    jacobian, residual, change = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((4, 7), 4, 7)
    )
    damping = 0.03
    wanted = residual + jacobian @ change
    normal = jacobian.T @ jacobian / 4 + damping * torch.eye(7, dtype=torch.float64)
    expected = torch.linalg.solve(normal, jacobian.T @ wanted / 4)
    torch.testing.assert_close(solve_step(jacobian, residual, change, damping), expected)


@pytest.mark.parametrize("box", [(20.0, 100.0, 280.0, 9.0), (-10.0, -5.0, 30.0, 40.0), (100.0, 100.0, 2.0, 2.0)])
def test_long_small_and_cut_off_targets_are_fitted(network, image, box):
    learned = learn(network, image, box)
    fitted = fit(network, learned)
    assert all(part.isfinite().all() for part in fitted)
    assert not torch.equal(fitted.c3, learned[0].c3)


def test_the_vectors_stay_where_the_fit_has_no_finite_result(network, learned):
    reference, maps, targets = learned
    broken = maps._replace(t3=torch.full_like(maps.t3, torch.nan))
    for part, given in zip(fit(network, (reference, broken, targets)), reference, strict=True):
        assert torch.equal(part, given)


def test_the_same_seed_gives_the_same_fit(network, learned):
    assert torch.equal(fit(network, learned).c3, fit(network, learned).c3)
    assert not torch.equal(fit(network, learned).c3, fit(network, learned, seed=1).c3)
