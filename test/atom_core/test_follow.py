# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What a frame's decision changes in a target; test_tracker has whole frames."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from atom_core.config import TrackerConfig
from atom_core.follow import finish_updates, learn, make_query, plan
from atom_core.long_term.search import Search
from atom_core.long_term.strategy import Decision
from atom_core.model import Model
from atom_core.networks import weights
from atom_core.result import TrackResult, TrackState
from atom_core.target import Target, learn_first_frame

CONFIG = TrackerConfig(crop_size=96, projected_channels=8, first_frame_gn_steps=1, memory_size=40, update_interval=3)
SIZE = (320, 240)
BOX = (100.0, 80.0, 40.0, 30.0)
MOVED = (104.0, 82.0, 40.0, 30.0)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.prepare(weights.load("default"), torch.device("cpu"), CONFIG.crop_size, engine="torch")


@pytest.fixture(scope="module")
def learned(model) -> Target:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8))
    with torch.no_grad():
        return learn_first_frame(image, BOX, model.networks, CONFIG)


@pytest.fixture
def target(learned) -> Target:
    return copy.deepcopy(learned)


def at(target: Target, box: tuple[float, ...]) -> Target:
    """The target at another place."""
    moved = copy.deepcopy(target)
    moved.place = box
    return moved


def show(target: Target, state: TrackState, hard_negative: bool = False) -> bool:
    """Learns a frame of this state; returns whether its sample went into the memory."""
    before = target.classifier.memory.weights.copy()
    region = target.long_term.plan(target.place, SIZE, CONFIG)[0]
    sample = torch.ones(1, 8, CONFIG.crop_size // 16, CONFIG.crop_size // 16)
    result = TrackResult(MOVED, 0.9, 0.8, state, hard_negative)
    learn(target, Decision(result, 0), region, sample, CONFIG)
    return not np.array_equal(target.classifier.memory.weights, before)


def test_a_seen_target_moves_and_teaches(target) -> None:
    assert show(target, TrackState.TRACKING)
    assert (target.place, target.frame, target.pending_update) == (MOVED, 1, 0)


@pytest.mark.parametrize("state", [TrackState.LOST, TrackState.SEARCHING])
def test_a_lost_target_stays_and_teaches_nothing(target, state) -> None:
    assert not show(target, state)
    assert (target.place, target.frame, target.has_new_samples) == (BOX, 1, False)


def test_an_update_is_pending_in_every_third_frame_that_has_new_samples(target) -> None:
    pending = []
    for state in [TrackState.TRACKING] * 3 + [TrackState.LOST] * 3 + [TrackState.TRACKING] * 3:
        show(target, state)
        pending.append(target.pending_update)
        target.pending_update = 0
    assert pending == [0, 0, CONFIG.update_cg_iterations, 0, 0, 0, 0, 0, CONFIG.update_cg_iterations]


def test_a_hard_negative_is_learned_at_once(target) -> None:
    assert show(target, TrackState.TRACKING, hard_negative=True)
    assert target.pending_update == CONFIG.hard_negative_cg_iterations and not target.has_new_samples


def test_only_pending_updates_change_the_filter(target, model) -> None:
    idle, busy = at(target, BOX), at(target, BOX)
    show(busy, TrackState.TRACKING, hard_negative=True)
    before = busy.classifier.filter.clone()
    config = dataclasses.replace(CONFIG, update_spread=1)
    finish_updates([idle, busy], model, config)
    assert torch.equal(idle.classifier.filter, before) and not torch.equal(busy.classifier.filter, before)
    after = busy.classifier.filter.clone()
    finish_updates([busy], model, config)
    assert torch.equal(busy.classifier.filter, after) and busy.pending_update == 0


def test_targets_close_to_each_other_share_a_search_region(target) -> None:
    near = [target, at(target, (101.0, 80.0, 40.0, 30.0))]
    (one,), (other,) = plan(near, SIZE, CONFIG)
    assert one.square == other.square
    far = [target, at(target, (200.0, 150.0, 40.0, 30.0))]
    (one,), (other,) = plan(far, SIZE, CONFIG)
    assert one.square != other.square


def test_a_new_image_size_scales_the_place_before_the_search(target) -> None:
    """Twice the size: edges, measured from the image's corner at -0.5, are twice as far."""
    plan([target], (640, 480), CONFIG)
    assert target.place == pytest.approx((200.5, 160.5, 80, 60))


def test_a_search_uses_the_reference_branchs_own_vectors(target) -> None:
    region = target.long_term.plan(target.place, SIZE, CONFIG)[0]
    assert make_query(target, region).modulation is target.modulation
    assert target.modulation is not target.reference
    target.long_term.search = Search(target.place)
    assert make_query(target, region).modulation is target.reference
