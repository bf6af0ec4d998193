# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from atom_core.data.sequences import Sequence
from atom_core.evaluation import runner
from atom_core.evaluation.baselines import IdentityTracker
from atom_core.result import TrackResult, TrackState

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


def test_a_sequence_of_one_frame_is_refused():
    with pytest.raises(ValueError, match="square has 1 frame; expected two or more"):
        runner.run_sequence("identity", IdentityTracker(), moving_square(frames=1))


def said(boxes, states) -> runner.Run:
    nothing = np.full(len(boxes), np.nan)
    return runner.Run("any", "any", np.array(boxes, float), nothing, nothing, tuple(states), np.ones(len(boxes)))


def test_believability_of_the_states():
    here, near, far, absent = [0, 0, 10, 10], [5, 0, 10, 10], [50, 0, 10, 10], [np.nan] * 4
    rows = [  # said box, said state, reference
        (here, "GIVEN", here),
        (near, "TRACKING", here),  # overlap 5 / 15
        (far, "TRACKING", here),  # a lie
        (here, "TRACKING", absent),  # a lie: there is no target
        (here, "TRACKING", here),
        (far, "UNCERTAIN", here),
        (far, "LOST", here),  # true: the target is elsewhere
        (far, "LOST", absent),  # true
        (near, "LOST", here),  # not: it is where it was
    ]
    boxes, states, references = zip(*rows, strict=True)
    figures = runner.measure_believability(said(boxes, states), Sequence("any", [], np.array(references, float)))
    assert figures["lost_share"] == pytest.approx(3 / 9)
    assert figures["tracking_overlap"] == pytest.approx((1 / 3 + 0 + 1) / 3)
    assert figures["false_tracking_rate"] == pytest.approx(2 / 4)
    assert figures["true_loss_rate"] == pytest.approx(2 / 3)
    assert figures["silent_error"] == pytest.approx(3 / 8)  # the two lies, and UNCERTAIN far off
    assert figures["false_loss"] == pytest.approx(2 / 6)  # twice LOST with the target in view


def test_believability_is_undefined_where_the_state_never_came_or_the_reference_is_withheld():
    box = [0, 0, 10, 10]
    known = Sequence("any", [], np.array([box, box], float))
    assert np.isnan(runner.measure_believability(said([box, box], ["GIVEN", "TRACKING"]), known)["true_loss_rate"])
    withheld = Sequence("any", [], np.array([box, [np.nan] * 4]))
    run = said([box, box], ["GIVEN", "LOST"])
    assert np.isnan(runner.measure_believability(run, withheld)["true_loss_rate"])
    assert runner.measure_believability(run, withheld)["lost_share"] == 0.5
    assert np.isnan(runner.measure_believability(run, withheld)["silent_error"])
    assert np.isnan(runner.summarize(run, withheld)["auc"])
