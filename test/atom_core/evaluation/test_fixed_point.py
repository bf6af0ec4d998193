# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from atom_core.config import TrackerConfig
from atom_core.evaluation.fixed_point import LOOKS, Outcome, summarize, track_with_predictor, track_with_tracker
from atom_core.evaluation.still_targets import StillTarget
from atom_core.networks import weights
from atom_core.result import TrackResult, TrackState

CONFIG = TrackerConfig(crop_size=96, refinement_steps=1, proposals=3)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    path = tmp_path_factory.mktemp("stills") / "a.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8))
    return StillTarget(path, (40.0, 30.0, 40.0, 30.0), "whole", "things")


def test_a_predictor_without_a_slope_keeps_size_and_place(target):
    """With the head's weights 0, all proposals are as good: the result is the mean of the first three."""
    torch.manual_seed(0)
    network = weights.build_network("efficientnet_lite0")
    torch.nn.init.zeros_(network.iou_net.iou_predictor.weight)
    outcomes = track_with_predictor(network, [target], TrackerConfig(proposals=1, top_proposals=1))
    assert [outcome.copy for outcome in outcomes] == ["same", "changed"]
    np.testing.assert_allclose(outcomes[0].boxes, np.tile(target.box, (LOOKS, 1)), atol=1e-3)
    # In the copy, the place is the truth's and the size the given one.
    x, y, width, height = outcomes[1].truth
    expected = x + width / 2 - 20, y + height / 2 - 15, 40, 30
    np.testing.assert_allclose(outcomes[1].boxes, np.tile(expected, (LOOKS, 1)), atol=1e-3)


def test_a_network_in_training_is_measured_as_it_is_now_and_not_changed(target):
    torch.manual_seed(0)
    network = weights.build_network("resnet18")  # random features of the other vanish
    network.iou_net.train()
    before = {key: value.clone() for key, value in network.modules.state_dict().items()}
    first = track_with_predictor(network, [target], CONFIG)
    assert network.iou_net.training
    assert all(torch.equal(value, before[key]) for key, value in network.modules.state_dict().items())
    torch.nn.init.zeros_(network.iou_net.iou_predictor.weight)
    second = track_with_predictor(network, [target], CONFIG)
    assert not np.allclose(first[0].boxes, second[0].boxes)


class Growing:
    """A tracker whose box grows by a tenth of the first in each look, about its corner."""

    def initialize(self, image, box):
        self.box, self.looks = box, 0

    def track(self, image):
        self.looks += 1
        x, y, width, height = self.box
        return TrackResult((x, y, width * (1 + self.looks / 10), height), 1.0, 1.0, TrackState.TRACKING, False)


def test_the_whole_tracker_is_asked_eight_times_from_the_given_box(target):
    same, changed = track_with_tracker(Growing(), [target])
    assert same.boxes[:, 2] == pytest.approx(40 * (1 + np.arange(1, LOOKS + 1) / 10))
    assert same.overlaps == pytest.approx(1 / (1 + np.arange(1, LOOKS + 1) / 10))
    assert (changed.boxes == same.boxes).all() and (changed.truth != same.truth).all()


def test_figures_by_hand():
    """Ten targets: nine stay, one becomes twice as wide at the last look."""
    truth = np.array((0.0, 0.0, 30.0, 30.0))
    outcomes = []
    for index in range(10):
        found = np.tile(truth, (LOOKS, 1))
        if index == 3:
            found[-1, 2] = 60
        kind = "face" if index == 3 else "whole"
        outcomes.append(
            Outcome(StillTarget(Path("a"), (0, 0, 30, 30 if index else 40), kind, "s"), "same", truth, found)
        )
    figures = summarize(outcomes)
    everything = figures["same"]["all"]
    assert everything["targets"] == 10 and everything["iou_1"] == everything["worst_1"] == 1
    assert everything["iou_8"] == pytest.approx(0.95) and everything["worst_8"] == pytest.approx(0.5)
    assert everything["iou_8_error"] == pytest.approx(0.05)  # deviation 0.158 / sqrt(10)
    assert everything["sides_off_8"] == pytest.approx(1 / 20)
    assert everything["size_8"] == pytest.approx(2 ** (1 / 20))
    assert set(figures["same"]) == {"all", "whole", "face", "0-32 px", "32-64 px"}
    assert figures["same"]["32-64 px"]["targets"] == 1 and figures["same"]["face"]["iou_8"] == 0.5
    assert figures["same"]["face"]["iou_8_error"] is None and figures["changed"] == {}
