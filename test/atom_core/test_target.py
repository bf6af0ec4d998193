# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A target learned by the default network from one drawn image."""

import numpy as np
import pytest
import torch

from atom_core.config import FIRST_FRAME_CROPS, TrackerConfig
from atom_core.networks import weights
from atom_core.networks.prepared import prepare_networks
from atom_core.target import learn_first_frame, make_labels

CONFIG = TrackerConfig()
BOX = (100.0, 80.0, 40.0, 30.0)


@pytest.fixture(scope="module")
def networks():
    return prepare_networks(weights.load("default"), torch.device("cpu"), CONFIG.crop_size, "float32", "torch")


@pytest.fixture
def target(networks):
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8))
    with torch.no_grad():
        return learn_first_frame(image, BOX, networks, CONFIG)


def test_the_first_frame_fills_the_memory_and_leaves_nothing_pending(target):
    assert (target.place, target.image_size) == (BOX, (320, 240))
    assert (target.frame, target.pending_update, target.has_new_samples) == (0, 0, False)
    weights_of_samples = target.classifier.memory.weights
    assert int((weights_of_samples > 0).sum()) == FIRST_FRAME_CROPS + CONFIG.dropout_samples


def test_jitter_is_within_1_and_comes_again_after_all_rows(target):
    rows = [target.next_jitter() for _ in range(len(target.jitter) + 1)]
    assert all(row.shape == (CONFIG.proposals - 1, 4) and abs(row).max() <= 1 for row in rows)
    assert not np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[0], rows[-1])


def test_the_same_seed_gives_the_same_jitter(target, networks):
    image = torch.zeros(240, 320, 3, dtype=torch.uint8)
    with torch.no_grad():
        assert np.array_equal(learn_first_frame(image, BOX, networks, CONFIG).jitter, target.jitter)


def test_in_larger_images_the_place_is_the_same_part_of_the_view(target):
    """Twice the size: the box's edges, measured from the image's corner at -0.5, are twice as far."""
    target.resize_image((640, 480))
    assert target.image_size == (640, 480)
    assert target.place == pytest.approx((200.5, 160.5, 80, 60))


def test_labels_peak_at_the_centre():
    """Cell i of the score map lies at crop px 16 (i - 0.5): the centre (152, 104) is cell 10 across and 7 down."""
    columns, rows = make_labels(np.array([[152.0, 104.0]]), CONFIG)[0]
    assert (int(columns.argmax()), int(rows.argmax())) == (10, 7)


def test_the_fit_is_dropped_when_the_predicted_iou_has_been_low_for_some_frames(target):
    """The running mean goes 0.2 of the way to each new value: 1, 0.92, 0.856, 0.8048, 0.7638, 0.7311, 0.7049."""
    fitted, config = target.modulation, TrackerConfig(reference_trust=0.72)
    assert not torch.equal(fitted.c3, target.reference.c3)
    for _ in range(5):
        target.note_iou(0.6, config)
    assert target.modulation is fitted
    target.note_iou(0.6, config)
    assert target.modulation is target.reference


def test_without_damping_the_vectors_are_the_reference_branchs(networks):
    image = torch.zeros(240, 320, 3, dtype=torch.uint8)
    with torch.no_grad():
        learned = learn_first_frame(image, BOX, networks, TrackerConfig(reference_damping=0.0))
    assert learned.modulation is learned.reference


def test_the_fit_leaves_the_classifier_as_it_was(target, networks):
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8))
    with torch.no_grad():
        learned = learn_first_frame(image, BOX, networks, TrackerConfig(reference_damping=0.0))
    assert torch.equal(learned.reference.c3, target.reference.c3)
    torch.testing.assert_close(learned.classifier.classifier, target.classifier.classifier)
