# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

from atom_core.evaluation import runner
from atom_core.evaluation.baselines import IdentityTracker, OpenCVTracker
from atom_core.evaluation.sequences import Sequence
from atom_core.tracker import TrackResult, TrackState

BOX = (20.0, 16.0, 12.0, 10.0)


def moving_square(frames: int = 5, step: float = 3.0, absent: int | None = None) -> Sequence:
    """A textured square on noise that moves right by `step` px a frame."""
    generator = np.random.default_rng(1)
    background = generator.integers(90, 130, (64, 96, 3), dtype=np.uint8)
    target = generator.integers(0, 255, (10, 12, 3), dtype=np.uint8)
    images, boxes = [], []
    for index in range(frames):
        x = int(BOX[0] + step * index)
        image = background.copy()
        image[16:26, x : x + 12] = target
        images.append(image)
        boxes.append([np.nan] * 4 if index == absent else [x, *BOX[1:]])
    return Sequence("square", images, np.array(boxes, float))


class LosesAt:
    """Says LOST from a given frame on, and stays where it was."""

    def __init__(self, frame: int) -> None:
        self.frame = frame

    def initialize(self, image, box):
        self.box, self.index = box, 0

    def track(self, image):
        self.index += 1
        state = TrackState.LOST if self.index >= self.frame else TrackState.TRACKING
        return TrackResult(self.box, score=0.5, iou=0.25, state=state, hard_negative=False)


def test_a_run_holds_one_row_a_frame_with_the_given_box_first():
    seen = []
    run = runner.run_sequence("still", LosesAt(3), moving_square(), on_frame=lambda: seen.append(1))
    assert (run.tracker, run.sequence) == ("still", "square")
    assert run.boxes.tolist() == [list(BOX)] * 5
    assert run.states == ("GIVEN", "TRACKING", "TRACKING", "LOST", "LOST")
    assert run.lost.tolist() == [False, False, False, True, True]
    np.testing.assert_array_equal(run.scores, [np.nan, 0.5, 0.5, 0.5, 0.5])
    np.testing.assert_array_equal(run.ious, [np.nan, 0.25, 0.25, 0.25, 0.25])
    assert run.seconds.shape == (5,)
    assert (run.seconds > 0).all()
    assert len(seen) == 5


def test_summary_of_a_still_tracker_on_a_moving_square():
    sequence = moving_square()
    run = runner.run_sequence("still", LosesAt(3), sequence)
    # shifts 0, 3, 6, 9, 12 of a width of 12: overlaps 1, 9/15, 6/18, 3/21, 0
    expected = [1, 9 / 15, 6 / 18, 3 / 21, 0]
    summary = runner.summarize(run, sequence)
    assert summary["mean_overlap"] == pytest.approx(np.mean(expected))
    assert summary["success_50"] == 2 / 5
    assert summary["precision_20"] == 1.0
    assert summary["lost_share"] == 2 / 5
    assert summary["initialize_seconds"] == run.seconds[0]
    strict = runner.summarize(run, sequence, lost_is_miss=True)
    assert strict["mean_overlap"] == pytest.approx(np.mean([*expected[:3], 0, 0]))
    assert strict["precision_20"] == 3 / 5


def test_frames_without_a_reference_are_not_counted():
    sequence = moving_square(absent=4)
    summary = runner.summarize(runner.run_sequence("identity", IdentityTracker(), sequence), sequence)
    assert summary["frames"] == 4
    assert summary["success_50"] == 2 / 4


def test_report_is_json_and_its_mean_weighs_sequences_alike():
    still, moving = moving_square(frames=2, step=0), moving_square(frames=5, step=12)
    moving = Sequence("moving", moving.frames, moving.boxes)
    runs = [runner.run_sequence("identity", IdentityTracker(), sequence) for sequence in (still, moving)]
    report = json.loads(json.dumps(runner.report(runs, [still, moving]), allow_nan=False))
    # overlap 1 in both frames; 1 in the first of five
    assert report["identity"]["mean"]["mean_overlap"] == pytest.approx((1 + 1 / 5) / 2)
    frames = report["identity"]["sequences"]["moving"]["frames"]
    assert frames["box"] == [list(BOX)] * 5
    assert frames["score"] == [None] * 5
    assert frames["state"] == ["GIVEN"] + ["TRACKING"] * 4


def test_table_shows_each_sequence_and_the_mean():
    sequence = moving_square(frames=2, step=0)
    report = runner.report([runner.run_sequence("identity", IdentityTracker(), sequence)], [sequence])
    lines = runner.table(report).splitlines()
    assert lines[2].split()[:3] == ["identity", "square", "0.952"]
    assert lines[3].split()[:3] == ["identity", "mean", "0.952"]


def test_opencv_tracker_follows_the_square():
    sequence = moving_square(frames=6, step=2)
    run = runner.run_sequence("mil", OpenCVTracker("mil"), sequence)
    assert runner.summarize(run, sequence)["mean_overlap"] > 0.6
    assert run.boxes[-1, 0] > BOX[0] + 5  # the target moved by 10


def test_unknown_opencv_tracker_is_named():
    with pytest.raises(ValueError, match="unknown OpenCV tracker 'nosuch'; expected one of kcf, csrt, mil"):
        OpenCVTracker("nosuch")
