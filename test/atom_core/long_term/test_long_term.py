# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A target that leaves and comes back, with the shipped network: on the demo's street, and drawn."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from atom_core.boxes import iou
from atom_core.config import TrackerConfig
from atom_core.data.frames import open_video
from atom_core.networks import weights
from atom_core.result import TrackResult, TrackState
from atom_core.tracker import AtomTracker

STREET = Path(__file__).parents[3] / "demo" / "street"
UNSEEN = {TrackState.LOST, TrackState.SEARCHING}
SIDE = 40  # px, of the drawn objects
CONFIG = TrackerConfig(redetection_regions=6)  # more views a frame: fewer frames


@pytest.fixture(scope="module")
def network() -> weights.Network:
    return weights.load("default")


@pytest.fixture(scope="module")
def street() -> tuple[list[np.ndarray], np.ndarray]:
    """A woman in red crosses a street among people in black; and her boxes."""
    boxes = np.loadtxt(STREET / "groundtruth_rect.txt", delimiter=",")
    return list(open_video(STREET / "street.mp4")), boxes


def without(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """The image with the strip of road beside a box in the box's place."""
    x, y, width, height = (round(v) for v in box)
    covered = image.copy()
    left, right = max(0, x - 6), x + width + 6
    covered[y - 6 : y + height + 6, left:right] = image[y - 6 : y + height + 6, right : right + 1]
    return covered


def followed(network: weights.Network, images: Sequence[np.ndarray], box: Sequence[float]) -> AtomTracker:
    """A tracker that was given a target in the first image and has seen the others."""
    tracker = AtomTracker(network, torch.device("cpu"), CONFIG)
    tracker.initialize(images[0], box)
    for image in images[1:]:
        assert tracker.track(image).state is TrackState.TRACKING
    return tracker


def has_no_box(result: TrackResult, last: TrackResult) -> bool:
    """Whether a result says that its box is no observation, and repeats the last known place."""
    return result.state in UNSEEN and result.iou == 0 and result.box == pytest.approx(last.box, abs=1e-3)


def test_a_camera_that_looks_away_and_back(network, street) -> None:
    """Away is a house wall. She stands on a street with others in it, and is re-detected where she is."""
    images, boxes = street
    tracker = followed(network, images[:7], boxes[0])
    away = cv2.resize(images[0][:192, :256], (768, 576))
    gone = [tracker.track(away) for _ in range(4)]
    assert all(has_no_box(result, gone[0]) for result in gone)
    back = [tracker.track(images[7]) for _ in range(8)]
    assert back[-1].state is TrackState.TRACKING
    assert all(has_no_box(r, gone[0]) or iou(torch.tensor(r.box), torch.tensor(boxes[7])) > 0.5 for r in back)


OTHER_PICTURES = {
    "a part of it, enlarged": lambda image: cv2.resize(image[200:392, 400:656], (768, 576)),
    "another part of it": lambda image: cv2.resize(image[100:292, 100:356], (768, 576)),
}


@pytest.mark.parametrize("other", OTHER_PICTURES.values(), ids=OTHER_PICTURES)
def test_another_picture_in_which_the_classifier_finds_something(network, street, other) -> None:
    """Without recognition it is followed there. With it she is found again as soon as her own picture is back."""
    images, boxes = street
    for recognition in (0.0, 0.6):
        tracker = followed(network, images[:7], boxes[0])
        tracker.config = TrackerConfig(recognition=recognition)
        shown = [tracker.track(other(image)) for image in images[7:11]]
        if recognition:
            assert all(has_no_box(result, shown[0]) for result in shown)
        else:
            assert {result.state for result in shown} == {TrackState.TRACKING}
    back = [tracker.track(image) for image in images[11:14]]
    assert back[1].state is back[2].state is TrackState.TRACKING
    assert all(
        has_no_box(r, shown[0]) or iou(torch.tensor(r.box), torch.tensor(b)) > 0.5
        for r, b in zip(back, boxes[11:14], strict=True)
    )


def test_people_who_walk_by_are_not_taken_for_the_one_who_left(network, street) -> None:
    """She is covered by the road beside her."""
    images, boxes = street
    tracker = followed(network, images[60:67], boxes[60])
    gone = [tracker.track(without(images[i], boxes[i])) for i in range(67, 77)]
    assert all(has_no_box(result, gone[0]) for result in gone)


def texture(seed: int) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(0, 256, (5, 5, 3))
    return np.kron(cells, np.ones((8, 8, 1))).astype(np.uint8)


def drawn(*objects: tuple[int, int, int]) -> np.ndarray:
    """A textured background with an object of texture `seed` at each (seed, x, y)."""
    cells = np.random.default_rng(99).integers(60, 120, (30, 40, 3))
    image = np.kron(cells, np.ones((8, 8, 1))).astype(np.uint8)
    for seed, x, y in objects:
        image[y : y + SIDE, x : x + SIDE] = texture(seed)
    return image


def drawn_target(network: weights.Network) -> AtomTracker:
    images = [drawn((1, 40 + 3 * step, 60)) for step in range(7)]
    return followed(network, images, (39.5, 59.5, SIDE, SIDE))


@pytest.mark.parametrize("look_alike", [2, 3])
def test_another_thing_is_not_taken_for_the_target_but_for_its_looks(network, look_alike: int) -> None:
    """The same scene with the looks not asked for shows that all else speaks for the other thing."""
    states = {}
    for similarity in (0.0, 0.9):
        tracker = drawn_target(network)
        tracker.config = TrackerConfig(redetection_regions=6, redetection_similarity=similarity)
        gone = [tracker.track(drawn()) for _ in range(2)]
        states[similarity] = [tracker.track(drawn((look_alike, 220, 150))).state for _ in range(12)]
        assert {result.state for result in gone} <= UNSEEN
    assert TrackState.TRACKING in states[0.0]
    assert set(states[0.9]) <= UNSEEN
    back = [tracker.track(drawn((look_alike, 220, 150), (1, 60, 170))) for _ in range(12)]
    x, y, _, _ = back[-1].box
    assert back[-1].state is TrackState.TRACKING and abs(x - 59.5) < 5 and abs(y - 169.5) < 5


def test_switched_off_it_is_lost_where_it_was(network) -> None:
    tracker = drawn_target(network)
    last = tracker.track(drawn())
    tracker.config = TrackerConfig(redetection=False)
    results = [tracker.track(drawn((1, 260, 190))) for _ in range(12)]
    assert last.state is TrackState.LOST
    assert all(has_no_box(result, last) and result.state is TrackState.LOST for result in results)
