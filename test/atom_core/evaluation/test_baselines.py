# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from atom_core.evaluation.baselines import OPENCV_TRACKERS, IdentityTracker, OpenCVTracker
from atom_core.result import TrackState

BOX = (20.4, 16.0, 12.0, 10.0)


def moving_square(frames: int, step: int) -> list[np.ndarray]:
    """A textured square on noise that moves right by `step` px a frame, from BOX on."""
    generator = np.random.default_rng(1)
    background = generator.integers(90, 130, (64, 96, 3), dtype=np.uint8)
    target = generator.integers(0, 255, (10, 12, 3), dtype=np.uint8)
    images = np.stack([background] * frames)
    for index, image in enumerate(images):
        image[16:26, 20 + step * index : 32 + step * index] = target
    return list(images)


@pytest.mark.parametrize("name", OPENCV_TRACKERS)
def test_an_opencv_tracker_follows_the_square_or_says_what_to_install(name):
    if not hasattr(cv2, OPENCV_TRACKERS[name]):
        with pytest.raises(ValueError, match=f"has no {OPENCV_TRACKERS[name]}; opencv-contrib-python-headless has"):
            OpenCVTracker(name)
        return
    first, *images = moving_square(frames=6, step=2)
    tracker = OpenCVTracker(name)
    tracker.initialize(first, BOX)
    results = [tracker.track(image) for image in images]
    assert results[-1].state is TrackState.TRACKING
    assert results[-1].box[0] == pytest.approx(30, abs=4)  # MIL is coarse
    assert results[-1].box[2:] == pytest.approx((12, 10), abs=3)


def test_what_an_opencv_tracker_loses_stays_at_the_last_known_place():
    if not hasattr(cv2, "TrackerKCF"):
        pytest.skip("this OpenCV has no KCF, the only one of the three that says so when it is lost")
    first, second, _ = moving_square(frames=3, step=1)
    tracker = OpenCVTracker("kcf")
    tracker.initialize(first, BOX)
    box = tracker.track(second).box
    result = tracker.track(np.zeros_like(first))
    assert result.state is TrackState.LOST
    assert result.box == box


def test_identity_says_the_given_box():
    tracker = IdentityTracker()
    tracker.initialize(np.zeros((64, 96, 3), np.uint8), BOX)
    result = tracker.track(np.zeros((64, 96, 3), np.uint8))
    assert (result.box, result.state) == (BOX, TrackState.TRACKING)


def test_unknown_opencv_tracker_is_named():
    with pytest.raises(ValueError, match="unknown OpenCV tracker 'nosuch'; expected one of kcf, csrt, mil"):
        OpenCVTracker("nosuch")
