# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import io
import math
import random
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from atom_core.benchmark.counting import counted
from atom_core.classifier.correlation import Correlation, apply_filter, filter_to_taps
from atom_core.classifier.gauss_newton import gauss_newton, minimize
from atom_core.classifier.target_model import (
    Fit,
    SampleMemory,
    TargetModel,
    filter_equations,
    gaussian_labels,
    joint_equations,
    label_maps,
    normalize_features,
    project,
    soft_hinge,
    soft_hinge_slope,
)
from atom_core.config import TrackerConfig

CELLS, CHANNELS = 18, 16
CONFIG = TrackerConfig(projected_channels=8, memory_size=40)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


# --- the parts of the model ---


def test_soft_hinge_by_its_formula():
    x = torch.tensor([-3.0, -0.1, -0.05, -1e-3, 0.0, 1e-3, 0.7, 5.0], dtype=torch.float64)
    expected = [v if v >= 0 else 0.05 * (math.exp(20 * v) - 1) for v in x.tolist()]
    torch.testing.assert_close(soft_hinge(x, 0.05), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(("x", "slope"), [(-1e30, 0.0), (-0.05, math.exp(-1)), (0.0, 1.0), (1e-6, 1.0), (1e30, 1.0)])
def test_soft_hinge_and_its_slope_are_finite(x, slope):
    expected = x if x >= 0 else 0.05 * (math.exp(20 * x) - 1)
    x = torch.tensor(x)
    value, pull = torch.func.vjp(lambda v: soft_hinge(v, 0.05), x)
    assert soft_hinge_slope(x, 0.05).item() == pytest.approx(slope, abs=1e-6)
    assert value.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert pull(torch.tensor(1.0))[0].item() == pytest.approx(slope, abs=1e-6)


def test_normalized_features_have_unit_rms_in_each_sample():
    features = rand(3, 4, 5, 5) * torch.tensor([1e-6, 1.0, 1e6])[:, None, None, None]
    normalized = normalize_features(features)
    torch.testing.assert_close(normalized.square().mean((1, 2, 3)), torch.ones(3))
    torch.testing.assert_close(normalized[1], features[1] / features[1].square().mean().sqrt())
    assert torch.equal(normalize_features(torch.zeros(1, 2, 3, 3)), torch.zeros(1, 2, 3, 3))


def test_project_is_the_1x1_convolution():
    x, w = rand(3, 5, 6, 7), rand(4, 5, 1, 1, seed=1)
    torch.testing.assert_close(project(x, w), F.conv2d(x, w))


def drawn_labels(centers, sigma):
    """Score maps (N, CELLS, CELLS)."""
    return label_maps(torch.from_numpy(gaussian_labels(np.array(centers), sigma, CELLS)))[:, 0]


def test_label_peak_by_hand():
    # Score cell i lies at crop px 16 (i - 1/2): x = 136 is cell 9, y = 72 is cell 5.
    (label,) = drawn_labels([[136.0, 72.0]], 0.9)
    assert label.shape == (CELLS, CELLS)
    assert label[5, 9] == 1.0
    # One cell off in x and two in y: exp(-(1 + 4) / (2 * 0.81)).
    assert label[7, 8].item() == pytest.approx(math.exp(-5 / 1.62))


def test_labels_between_cells():
    # The crop's middle px 143.5 is cell 9.46875.
    labels = drawn_labels([[143.5, 143.5], [8.0, 8.0]], 0.9)
    assert labels[0].argmax().item() == 9 * CELLS + 9
    assert labels[0, 9, 9].item() == pytest.approx(math.exp(-(0.46875**2) / 0.81), rel=1e-5)
    assert labels[1, 1, 4].item() == pytest.approx(math.exp(-9 / 1.62), rel=1e-5)


# --- the memory ---


class SlowMemory:
    """The rule of the sample weights once more, in plain Python."""

    def __init__(self, first, capacity, floor):
        self.capacity, self.floor, self.n = capacity, floor, first
        self.slots = [(-1.0, 1.0 / first)] * first  # (which sample, weight)

    def insert(self, name, rate):
        if len(self.slots) < self.capacity:
            self.slots.append((None, 0.0))
            slot = len(self.slots) - 1
        else:
            slot = min(range(self.n, self.capacity), key=lambda i: self.slots[i][1])
        older = sum(w for i, (_, w) in enumerate(self.slots) if i != slot)
        self.slots = [
            (name, rate) if i == slot else (who, w * (1 - rate) / older) for i, (who, w) in enumerate(self.slots)
        ]
        first = sum(w for _, w in self.slots[: self.n])
        if first < self.floor:
            self.slots = [
                (who, w * self.floor / first if i < self.n else w * (1 - self.floor) / (1 - first))
                for i, (who, w) in enumerate(self.slots)
            ]


def small_memory(first=4, capacity=30, floor=0.25, dtype=torch.float64):
    """A memory whose samples are single numbers; the first frame's are -1."""
    return SampleMemory(torch.full((first, 1, 1, 1), -1.0, dtype=dtype), np.zeros((first, 2, 1)), capacity, floor)


@pytest.mark.parametrize(("capacity", "floor"), [(30, 0.25), (250, 0.0), (250, 0.25)])
def test_weights_over_1000_inserts_agree_with_a_plain_implementation(capacity, floor):
    memory, slow = small_memory(capacity=capacity, floor=floor), SlowMemory(4, capacity, floor)
    rates = random.Random(0)
    sums, first_sums = [], []
    for name in range(1000):
        rate = rates.choice((0.01, 0.01, 0.01, 0.02))
        memory.insert(torch.full((1, 1, 1, 1), float(name)).double(), np.full((1, 2, 1), 0.5), rate)
        slow.insert(float(name), rate)
        sums.append(memory.weights.sum().item())
        first_sums.append(memory.weights[:4].sum().item())
        if name % 7 == 0 or name > 990:
            names, weights = zip(*slow.slots, strict=True)
            n = memory.stored
            assert n == len(names) == min(capacity, 5 + name)
            assert memory.samples.flatten()[:n].tolist() == list(names)
            np.testing.assert_allclose(memory.weights[:n], weights, rtol=1e-9)
            assert not memory.weights[n:].any()
    assert sums == pytest.approx([1.0] * 1000, abs=1e-12)
    assert min(first_sums) >= floor - 1e-12
    if capacity == 250:  # long enough for the first frame to decay to its floor
        assert first_sums[-1] == pytest.approx(floor, abs=0.12 if floor == 0 else 1e-9)
    assert memory.samples[:4].eq(-1).all()
    assert (memory.labels[4 : memory.stored] == 0.5).all()


def test_first_insert_by_hand():
    memory = small_memory()
    memory.insert(torch.zeros(1, 1, 1, 1).double(), np.zeros((1, 2, 1)), 0.02)
    assert memory.weights[:6].tolist() == pytest.approx([0.245] * 4 + [0.02, 0.0])


@pytest.mark.parametrize(("rate", "first_total"), [(0.0, 1.0), (1.0, 0.25)])
def test_extreme_learning_rates(rate, first_total):
    memory = small_memory()
    for _ in range(40):
        memory.insert(torch.zeros(1, 1, 1, 1).double(), np.zeros((1, 2, 1)), rate)
    assert memory.weights[:4].tolist() == pytest.approx([first_total / 4] * 4)
    assert memory.weights.sum().item() == pytest.approx(1.0)


def test_single_free_slot_that_takes_all_weight():
    memory = small_memory(first=4, capacity=5, floor=0.0)
    for _ in range(3):
        memory.insert(torch.zeros(1, 1, 1, 1).double(), np.zeros((1, 2, 1)), 1.0)
    assert memory.weights.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_buffers_do_not_grow():
    memory = small_memory()
    place = memory.samples.data_ptr()
    for _ in range(100):
        memory.insert(torch.zeros(1, 1, 1, 1).double(), np.zeros((1, 2, 1)), 0.01)
    assert memory.samples.data_ptr() == place
    assert len(memory.samples) == 30


def test_too_many_first_frame_samples_are_refused():
    with pytest.raises(ValueError, match="4 first-frame samples leave no room in a memory of 4"):
        small_memory(first=4, capacity=4)


# --- learning ---

TARGET, LOOK_ALIKE = (rand(CHANNELS, seed=100), rand(CHANNELS, seed=101))
LOOK_ALIKE = 0.7 * TARGET + 0.7 * LOOK_ALIKE  # shares much of the target's appearance


def scene(target, look_alike=None, seed=0):
    """Normalised features (1, C, 18, 18) of a target and perhaps a distractor, centred at crop px (x, y), in noise."""
    features = 0.3 * rand(1, CHANNELS, CELLS, CELLS, seed=seed)
    cells = torch.arange(CELLS, dtype=torch.float32)
    for place, appearance in ((target, TARGET), (look_alike, LOOK_ALIKE)):
        if place is not None:
            x, y = ((-0.5 * (cells - place[i] / 16) ** 2).exp() for i in (0, 1))  # feature cell i is at crop px 16 i
            features += appearance[:, None, None] * y[:, None] * x
    return normalize_features(features)


def label(target):
    return gaussian_labels(np.array([target]), 0.9, CELLS)


def learn(with_look_alike, seed=0, config=CONFIG, dtype=None):
    places = random.Random(1)
    targets = [(places.uniform(60, 140), places.uniform(60, 220)) for _ in range(12)]
    look_alikes = [(x + 90, y) if with_look_alike else None for x, y in targets]
    scenes = [scene(t, o, seed=i) for i, (t, o) in enumerate(zip(targets, look_alikes, strict=True))]
    labels = np.concatenate([label(t) for t in targets])
    return TargetModel.learn_first_frame(torch.cat(scenes), labels, config, generator(seed), dtype)


def scores_of(model, features):
    return model.classifier.scores(model.classifier.project(features))


def response(model, features, place):
    """The highest score within a cell of a crop position."""
    column, row = (round(p / 16 + 0.5) for p in place)
    return scores_of(model, features)[0, 0, row - 1 : row + 2, column - 1 : column + 2].max().item()


def test_learning_by_products_in_bfloat16_gives_nearly_the_same_scores():
    """Factors are rounded to 2^-9 of them: scores of about 1 may change by a few hundredths, through all iterations."""
    target, look_alike = (104.0, 136.0), (200.0, 136.0)
    unseen = scene(target, look_alike, seed=77)
    full, half = learn(with_look_alike=True), learn(with_look_alike=True, dtype=torch.bfloat16)
    assert half.memory.samples.dtype == torch.bfloat16
    for _ in range(3):
        assert half.filter.dtype == half.projection.dtype == torch.float32
        scores = scores_of(full, unseen)
        assert scores.max() > 0.5
        assert not torch.equal(scores_of(half, unseen), scores)
        torch.testing.assert_close(scores_of(half, unseen), scores, atol=0.05, rtol=0)
        for model in (full, half):
            model.memory.insert(model.classifier.project(unseen), label(target), 0.1)
            model.update(iterations=5)


def test_learns_the_target_and_not_a_look_alike():
    model = learn(with_look_alike=True)
    target, look_alike = (104.0, 136.0), (200.0, 136.0)  # score cells (7, 9) and (13, 9)
    unseen = scene(target, look_alike, seed=77)
    scores = scores_of(model, unseen)[0, 0]
    assert scores.argmax().item() == 9 * CELLS + 7
    assert scores.max().item() > 0.5
    assert response(model, unseen, look_alike) < 0.5 * scores.max().item()


def test_learning_comes_near_the_minimum_that_another_optimiser_finds():
    places = [(104.0, 136.0), (136.0, 72.0), (88.0, 200.0), (150.0, 150.0)]
    # In float64: the loss after so few steps hangs on rounding by a tenth where the problem is badly conditioned.
    features = torch.cat([scene(p, seed=i) for i, p in enumerate(places)]).double()
    labels = np.concatenate([label(p) for p in places])
    # Strong enough regularisation for the balance of the terms to matter.
    config = dataclasses.replace(CONFIG, projection_regularization=0.1, filter_regularization=1.0)
    model = TargetModel.learn_first_frame(features, labels, config, generator())

    maps = label_maps(torch.from_numpy(labels))

    def loss(w1, w2):
        error = soft_hinge(apply_filter(project(features, w1), filter_to_taps(w2)), 0.05) - maps
        return error.square().sum() / 4 + 0.1 * w1.square().sum() + 1.0 * w2.square().sum()

    rival = [torch.nn.Parameter(w.double()) for w in (rand(8, CHANNELS, 1, 1) / 4, rand(1, 8, 4, 4) / 128)]
    lbfgs = torch.optim.LBFGS(rival, max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        lbfgs.zero_grad()
        value = loss(*rival)
        value.backward()
        return value

    lbfgs.step(closure)

    minimum = loss(*rival).item()
    assert minimum < 0.2 * maps.square().sum().item() / 4  # a useful fit, from a loss of 1.0 of it at w = 0
    assert loss(model.projection, model.filter).item() < 1.15 * minimum


def test_update_agrees_with_a_dense_solve_over_the_stored_samples():
    d = 2
    first, profiles = rand(3, d, 6, 6, dtype=torch.float64), rand(3, 2, 6, seed=1).relu()  # labels are kept in float32
    memory = SampleMemory(first, profiles.numpy(), 10, 0.25)
    memory.insert(first[:1] + 1, profiles[1:2].numpy(), 0.3)
    labels = torch.einsum("ny,nx->nyx", profiles[:, 1], profiles[:, 0])[:, None].double()
    w0 = 0.1 * rand(1, d, 4, 4, seed=2, dtype=torch.float64)
    model = TargetModel(torch.eye(d).double()[:, :, None, None], w0, memory, CONFIG)

    def residuals(w):
        scores = F.conv2d(F.pad(torch.cat((first, first[:1] + 1)), (2, 1, 2, 1)), w.view(1, d, 4, 4))
        scores = torch.where(scores >= 0, scores, 0.05 * torch.expm1(20 * scores))
        gamma = torch.tensor([0.7 / 3] * 3 + [0.3]).double()
        error = scores - torch.cat((labels, labels[1:2]))
        return torch.cat(((gamma.sqrt()[:, None, None, None] * error).flatten(), math.sqrt(0.1) * w))

    w = w0.flatten()
    jacobian = torch.func.jacrev(residuals)(w)
    expected = w + torch.linalg.solve(jacobian.T @ jacobian, -jacobian.T @ residuals(w))

    model.update(iterations=80)

    torch.testing.assert_close(model.filter.flatten(), expected, rtol=1e-6, atol=1e-7)


def small_fit(channels, dtype=torch.float64):
    """A fit over three samples (3, channels, 6, 5), and gamma and labels again for r(w)."""
    samples, labels = rand(3, channels, 6, 5, dtype=dtype), rand(3, 1, 6, 5, seed=1, dtype=dtype).relu()
    gamma = torch.tensor([0.5, 0.3, 0.2], dtype=dtype)
    return samples, labels, gamma, Fit(Correlation.over(samples, 4), labels, gamma, 0.05)


def data_residuals(scores, labels, gamma):
    # Not by celu: its derivative by autograd is off by 1e-8, since PyTorch rounds its parameter to float32.
    hinged = torch.where(scores >= 0, scores, 0.05 * torch.expm1(scores.clamp(max=0) / 0.05))
    return gamma.sqrt()[:, None, None, None] * (hinged - labels)


def test_filter_equations_are_those_that_autograd_finds_in_the_residuals():
    samples, labels, gamma, fit = small_fit(channels=2)
    start = 0.2 * rand(16, 2, seed=2, dtype=torch.float64)

    def residuals(taps):
        return data_residuals(apply_filter(samples, taps), labels, gamma), math.sqrt(0.1) * taps

    (expected,) = gauss_newton(residuals, (start,), steps=2, cg_iterations=4)
    equations = partial(filter_equations, fit=fit, regularization=0.1)
    actual = minimize(equations, start.flatten(), steps=2, cg_iterations=4)

    torch.testing.assert_close(actual.view(16, 2), expected, rtol=1e-9, atol=1e-12)


def test_joint_equations_are_those_that_autograd_finds_in_the_residuals():
    samples, labels, gamma, fit = small_fit(channels=5)
    start = 0.4 * rand(3, 5, seed=2, dtype=torch.float64), 0.2 * rand(16, 3, seed=3, dtype=torch.float64)

    def residuals(w1, w2):
        scores = apply_filter(project(samples, w1[:, :, None, None]), w2)
        return data_residuals(scores, labels, gamma), math.sqrt(0.1) * w1, math.sqrt(0.01) * w2

    expected = gauss_newton(residuals, start, steps=2, cg_iterations=4, preconditioner=(0.1, 0.01))
    scales = torch.tensor([0.1] * 15 + [0.01] * 48, dtype=torch.float64)
    equations = partial(joint_equations, fit=fit, depth=3, regularization=(0.1, 0.01))
    w = torch.cat([part.flatten() for part in start])
    actual = minimize(equations, w, steps=2, cg_iterations=4, preconditioner=scales)

    torch.testing.assert_close(actual, torch.cat([part.flatten() for part in expected]), rtol=1e-9, atol=1e-12)


def test_filter_learning_compiles_as_one_graph():
    samples, labels, gamma, _ = small_fit(channels=2, dtype=torch.float32)

    def learn_filter(taps, samples, labels, gamma):
        fit = Fit(Correlation.over(samples, 4), labels, gamma, 0.05)
        equations = partial(filter_equations, fit=fit, regularization=0.1)
        return minimize(equations, taps, steps=1, cg_iterations=3)

    inputs = 0.2 * rand(32, seed=2), samples, labels, gamma
    compiled = torch.compile(learn_filter, fullgraph=True, backend="aot_eager")

    torch.testing.assert_close(compiled(*inputs), learn_filter(*inputs), rtol=1e-5, atol=1e-6)


def test_learning_takes_few_operations():
    model = learn(with_look_alike=False)
    features, wished = scene((104.0, 136.0), seed=50), label((104.0, 136.0))

    def take_in():
        model.memory.insert(model.classifier.project(features), wished, 0.01)

    _, insertion = counted(take_in, torch.device("cpu"))
    _, update = counted(lambda: model.update(iterations=5), torch.device("cpu"))

    assert (insertion.operations, insertion.host_reads) == (2, 0)
    assert update.operations <= 96
    assert (update.host_reads, update.uploads) == (0, 1)  # the samples' labels and weights


def test_hard_negative_lowers_the_response_at_the_look_alike():
    model = learn(with_look_alike=False, config=dataclasses.replace(CONFIG, projected_channels=64))
    target, look_alike = (104.0, 136.0), (200.0, 136.0)
    frame = scene(target, look_alike, seed=50)
    before = response(model, frame, look_alike)
    assert before > 0.3  # the filter has never seen it and takes it for the target in part

    model.memory.insert(model.classifier.project(frame), label(target), 0.02)
    model.update(iterations=5)

    once = response(model, frame, look_alike)
    assert once < before
    for seed in range(51, 71):
        model.memory.insert(model.classifier.project(scene(target, look_alike, seed=seed)), label(target), 0.02)
        model.update(iterations=5)
    assert response(model, frame, look_alike) < 0.6 * before
    assert response(model, frame, target) > 2 * response(model, frame, look_alike)
    assert response(model, frame, target) > 0.5


def test_same_seed_same_model():
    first, second, other = learn(True, seed=5), learn(True, seed=5), learn(True, seed=6)
    assert torch.equal(first.filter, second.filter)
    assert torch.equal(first.projection, second.projection)
    assert not torch.equal(first.projection, other.projection)


def test_runs_on_meta():
    features = torch.empty(5, CHANNELS, CELLS, CELLS, device="meta")
    labels = gaussian_labels(np.zeros((5, 2)), 0.9, CELLS)
    config = dataclasses.replace(CONFIG, first_frame_gn_steps=1, first_frame_cg_iterations=2)

    model = TargetModel.learn_first_frame(normalize_features(features), labels, config, generator())
    for _ in range(CONFIG.memory_size):  # fills the memory and then replaces
        sample = model.classifier.project(features[:1])
        model.memory.insert(sample, labels[:1], 0.01)
    model.update(iterations=2)

    assert model.memory.stored == CONFIG.memory_size
    assert model.classifier.scores(sample).shape == (1, 1, CELLS, CELLS)
    assert {t.device.type for t in (model.filter, model.projection, model.memory.samples)} == {"meta"}


# --- a gradual update ---


def fill(model, free=0, seed=300):
    """Inserts unseen scenes until only this many slots of the memory are free."""
    target = (104.0, 136.0)
    for i in range(len(model.memory.weights) - free - model.memory.stored):
        sample = model.classifier.project(scene(target, (200.0, 136.0), seed=seed + i))
        model.memory.insert(sample, label(target), 0.02)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_all_parts_of_a_gradual_update_together_are_an_update(dtype):
    gradual, at_once = (learn(with_look_alike=False, dtype=dtype) for _ in range(2))
    for model in (gradual, at_once):
        fill(model, free=6)  # nothing is overwritten, and no sample's weight left out
    at_once.update(iterations=5)
    filters = [gradual.filter]
    gradual.begin_update(iterations=5, frames=6)
    while gradual.is_updating:
        filters.append(gradual.filter)
        gradual.advance_update()
    assert torch.equal(gradual.filter, at_once.filter)
    # The first part linearises and leaves the filter as it is; each iteration then changes it, the last ones the least.
    assert len(filters) == 6
    far = [float((f - at_once.filter).square().sum()) for f in filters]
    assert far[0] == far[1] and sorted(far, reverse=True) == far and far[-1] < 0.2 * far[0]


@pytest.mark.parametrize(("stored", "frames", "expected"), [(40, 6, 6), (40, 3, 3), (40, 1, 1), (20, 6, 3), (13, 6, 2)])
def test_a_frames_share_of_an_update_grows_with_the_frames_and_falls_with_the_samples(stored, frames, expected):
    """Six parts of 40 samples in 6 frames: 40 sample parts a frame, which are two parts of 20 samples, three of 13."""
    model = learn(with_look_alike=False, config=dataclasses.replace(CONFIG, dropout_samples=0))
    while model.memory.stored < stored:
        model.memory.insert(model.classifier.project(scene((104.0, 136.0))), label((104.0, 136.0)), 0.01)
    assert model.memory.stored == max(stored, 12)
    model.begin_update(iterations=5, frames=frames)
    count = 1
    while model.is_updating:
        model.advance_update()
        count += 1
    assert count == expected


def test_samples_that_are_overwritten_meanwhile_do_not_disturb_a_gradual_update():
    disturbed, undisturbed = learn(with_look_alike=False), learn(with_look_alike=False)
    for model in (disturbed, undisturbed):
        fill(model)
        model.begin_update(iterations=5, frames=6)
    while undisturbed.is_updating:
        strange = 1e3 * torch.ones_like(disturbed.memory.samples[:1])
        disturbed.memory.insert(strange, label((10.0, 10.0)), 0.02)
        for model in (disturbed, undisturbed):
            model.advance_update()
    assert disturbed.memory.samples.amax() == 1e3
    assert torch.equal(disturbed.filter, undisturbed.filter)


def test_samples_that_are_overwritten_next_have_no_weight():
    """Four samples of the first frame, then 0 to 25 in slots 4 to 29, of growing weight; 26 comes in place of 0."""
    memory = small_memory()
    for name in range(24):
        memory.insert(torch.full((1, 1, 1, 1), float(name)).double(), np.zeros((1, 2, 1)), 0.01)
    assert (memory.upload(torch.float64, insertions=2)[1][:, -1] > 0).all()  # two slots are free
    weights = memory.upload(torch.float64, insertions=3)[1][:, -1]
    assert weights.eq(0).nonzero().flatten().tolist() == [4]
    assert memory.weights[4] > 0
    for name in range(24, 27):
        memory.insert(torch.full((1, 1, 1, 1), float(name)).double(), np.zeros((1, 2, 1)), 0.01)
    assert memory.samples[4].item() == 26


def test_a_gradual_update_is_saved_and_goes_on():
    model, other = learn(with_look_alike=False), learn(with_look_alike=False)
    for one in (model, other):
        fill(one)
        one.begin_update(iterations=5, frames=6)
        one.advance_update()
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    restored = torch.load(file, weights_only=False)
    assert restored.is_updating
    while other.is_updating:
        restored.advance_update()
        other.advance_update()
    assert torch.equal(restored.filter, other.filter)
