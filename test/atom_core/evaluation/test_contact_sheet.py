# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np

from atom_core.data.sequences import ImageFiles, Sequence
from atom_core.evaluation.contact_sheet import choose_frames, worst_failures
from atom_core.evaluation.runner import Run

BOX = (40.0, 30.0, 10.0, 10.0)


def make_run(tracker: str, sequence: str, shifts: list[float], seed: int = 0) -> Run:
    boxes = np.array([BOX] * len(shifts)) + np.array([[shift, 0, 0, 0] for shift in shifts])
    nothing = np.full(len(shifts), np.nan)
    return Run(tracker, sequence, boxes, nothing, nothing, ("TRACKING",) * len(shifts), np.ones(len(shifts)), seed)


def grey(name: str, frames: int) -> Sequence:
    return Sequence(name, [np.full((90, 120, 3), 128, np.uint8)] * frames, np.tile(BOX, (frames, 1)))


def test_the_beginnings_of_the_longest_failures_come_first():
    overlaps = np.full(40, 0.8)
    overlaps[2] = 0.0  # a short failure
    overlaps[10:20] = 0.05
    overlaps[30:34] = 0.0
    assert choose_frames(overlaps, count=2) == [10, 30]
    assert choose_frames(overlaps, count=3) == [2, 10, 30]


def test_frames_of_least_overlap_are_taken_apart_and_absences_never():
    overlaps = np.array([1, 0.9, 0.5, 0.4, 0.3, 0.6, np.nan, 0.2, 0.7, 0.9, 0.9, 0.9])
    # at most 3, so at least 12 / 6 = 2 apart: 7 (0.2), 4 (0.3), then 2 (0.5), since 3 and 5 are beside 4
    assert choose_frames(overlaps, count=3) == [2, 4, 7]
    assert choose_frames(np.array([1.0, np.nan]), count=4) == [0]


def test_the_worst_sequence_comes_first_by_its_worst_seed():
    runs = [
        make_run("a", "good", [0, 1, 0]),
        make_run("a", "bad", [0, 2, 2], seed=0),
        make_run("a", "bad", [0, 30, 30], seed=1),
        make_run("b", "good", [0, 50, 50]),
    ]
    secret = Sequence("secret", [], np.array([BOX, [np.nan] * 4]))
    failures = worst_failures(runs, [grey("good", 3), grey("bad", 3), secret], ["a", "b"])
    assert [(one.sequence, one.seed) for one in failures] == [("bad", 1), ("good", 0)]
    assert failures[0].mean_overlap == 1 / 3
    assert failures[0].pictures[-1].said == (("a", 0.0, "TRACKING"),)
    assert [name for name, *_ in failures[1].pictures[0].said] == ["a", "b"]


def test_a_picture_shows_reference_and_tracker_about_the_place(tmp_path):
    paths = tuple(tmp_path / f"{index}.png" for index in range(3))
    for path, level in zip(paths, (0, 128, 0), strict=True):
        cv2.imwrite(str(path), np.full((90, 120, 3), level, np.uint8))
    sequence = Sequence("files", ImageFiles(tmp_path, tuple(path.name for path in paths)), np.tile(BOX, (3, 1)))
    (failure,) = worst_failures([make_run("a", "files", [0, 10, 0])], [sequence], ["a"])
    picture = next(one for one in failure.pictures if one.frame == 1)
    image = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (360, 480, 3)
    # The boxes span 40..60 by 30..40: twice that is 40 px wide and 30 high, from (30, 20) on, shown at 12 times.
    # The reference's left edge lies at (40 - 30) * 12 = 120, and the tracker's right edge at 360.
    np.testing.assert_allclose(image[180, 60], 128, atol=4)
    assert image[180, 120].min() > 200
    blue, green, red = (int(value) for value in image[180, 360])
    assert blue > green > red  # the first tracker's colour


def test_boxes_outside_the_image_are_shown():
    (failure,) = worst_failures([make_run("a", "wide", [0, 500])], [grey("wide", 2)], ["a"])
    assert failure.pictures[-1].said == (("a", 0.0, "TRACKING"),)
