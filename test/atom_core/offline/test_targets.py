# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The user's numbers, with the default network."""

import numpy as np
import pytest

from atom_core.offline.results import TargetState
from atom_core.offline.targets import NumberedTargets

BOX = (99.5, 79.5, 40.0, 40.0)


@pytest.fixture(scope="module")
def image():
    cells = np.random.default_rng(0).integers(0, 256, (30, 40, 3))
    return np.kron(cells, np.ones((8, 8, 1))).astype(np.uint8)


@pytest.fixture(scope="module")
def targets(image):
    targets = NumberedTargets("default", "cpu")
    for number in (9, 4):
        assert targets.set(number, image, BOX).state is TargetState.GIVEN
    return targets


def test_results_have_the_user_s_numbers_in_any_order(targets, image):
    found = targets.track(image)
    assert set(found) == {9, 4}
    assert all(found[number].target_id == number for number in found)
    assert set(targets.track(image, leave_out=[9])) == {4}


def test_a_number_may_come_again(targets, image):
    targets.drop(9)
    targets.drop(9)
    assert set(targets.track(image)) == {4}
    targets.set(9, image, BOX)
    assert set(targets.track(image)) == {4, 9}


def test_a_state_is_restored(targets, image):
    other = NumberedTargets("default", "cpu")
    other.restore(targets.state())
    assert set(other.track(image)) == {4, 9}
    assert other.description.startswith("efficientnet_lite0 on cpu by ")
