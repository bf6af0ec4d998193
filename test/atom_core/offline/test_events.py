# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from atom_core.offline.events import TargetEvent, parse_box, parse_stamp, read_events


def test_a_file_of_boxes(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("frame, target, x, y, width, height\n0, 2, 10, 20, 30, 40.5\n12, 7, 1, 2, 3, 4\n15, 2, , , ,\n")
    first, second, third = read_events(path)
    assert first == TargetEvent(2, (10.0, 20.0, 30.0, 40.5), frame=0, origin=f"{path} line 2")
    assert (second.target_id, second.frame, second.box) == (7, 12, (1.0, 2.0, 3.0, 4.0))
    assert (third.target_id, third.frame, third.box) == (2, 15, None)


def test_stamps_and_the_target_that_goes_without_saying(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("stamp,x,y,width,height\n1700000000.123456789,1,2,3,4\n")
    (event,) = read_events(path)
    assert (event.target_id, event.stamp, event.frame) == (1, 1_700_000_000_123_456_789, None)


def test_an_event_is_due_at_or_after_its_time() -> None:
    by_frame, by_stamp = TargetEvent(1, None, frame=5), TargetEvent(1, None, stamp=500)
    assert [by_frame.is_due(frame, None) for frame in (4, 5, 6)] == [False, True, True]
    assert [by_stamp.is_due(0, stamp) for stamp in (None, 499, 500, 501)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "frame,target,x,y,width,height"),
        ("frame,x,y,w,h\n", "names 'w'"),
        ("x,y,width,height\n1,2,3,4\n", "or stamp"),
        ("frame,stamp,x,y,width,height\n", "or stamp"),
        ("frame,x,y,width,height\n", "holds no box"),
        ("frame,x,y,width,height\n0,1,2,3,4\n1,a,2,3,4\n", "line 3: the box is 'a,2,3,4'"),
        ("frame,x,y,width,height\n0,1,2,,4\n", "line 2: the box is '1,2,,4'"),
        ("frame,x,y,width,height\n0,1,2,0,4\n", "width and height above 0"),
        ("frame,x,y,width,height\n0,1,2,nan,4\n", "finite"),
        ("frame,x,y,width,height\n-1,1,2,3,4\n", "frame is -1"),
        ("frame,x,y,width,height\n1.5,1,2,3,4\n", "frame is '1.5'"),
        ("frame,target,x,y,width,height\n1,0,1,2,3,4\n", "target is 0"),
        ("stamp,x,y,width,height\nsoon,1,2,3,4\n", "stamp is 'soon'"),
        ("frame,x,y,width,height\n0,1,2,3,4\n0,5,6,7,8\n", "line 3: target 1 has a box at this time already"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        read_events(path)
    assert words in str(error.value) and str(path) in str(error.value)


def test_options() -> None:
    assert parse_box("1,2.5,3,4") == (1.0, 2.5, 3.0, 4.0)
    assert parse_stamp("0.1") == 100_000_000
    for text in ("1,2,3", "a,b,c,d", "1,2,3,inf"):
        with pytest.raises(ValueError, match="x,y,width,height"):
            parse_box(text)
    for text in ("nan", "inf", "later"):
        with pytest.raises(ValueError, match="expected seconds"):
            parse_stamp(text)
