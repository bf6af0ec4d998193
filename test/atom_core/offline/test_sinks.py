# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import math

import pytest

from atom_core.offline.frames import SourceFrame
from atom_core.offline.results import FrameResult, TargetResult, TargetState
from atom_core.offline.sinks import CsvSink, JsonSink, LineFile, part_of

SEEN = TargetResult(7, TargetState.TRACKING, (1.0, 2.5, 30.0, 40.126), 0.75, 0.5, 0.9)
LOST = TargetResult(8, TargetState.LOST, None, 0.125, math.nan)
FRAME = SourceFrame(0, None, lambda: pytest.fail("a text needs no image"))


def test_a_csv_file_has_a_line_for_each_target_and_empty_fields_where_there_is_no_box(tmp_path):
    sink = CsvSink(tmp_path / "a.csv")
    sink.write(FRAME, FrameResult(0, 1_500_000_000, (SEEN, LOST)))
    sink.write(FRAME, FrameResult(1, None))
    sink.write(FRAME, FrameResult(2, None, error="damaged"))
    assert not sink.path.exists()
    sink.close()
    assert sink.path.read_text().splitlines() == [
        "frame,stamp,target,state,x,y,width,height,score,iou",
        "0,1.500000000,7,tracking,1.00,2.50,30.00,40.13,0.750,0.500",
        "0,1.500000000,8,lost,,,,,0.125,",
        "1,,,idle,,,,,,",
        "2,,,unreadable,,,,,,",
    ]


def test_a_json_file_gives_the_results_back(tmp_path):
    results = [FrameResult(0, 5, (SEEN,)), FrameResult(1, None, error="damaged")]
    sink = JsonSink(tmp_path / "a.jsonl")
    for result in results:
        sink.write(FRAME, result)
    sink.close()
    assert [FrameResult.from_json(line) for line in sink.path.read_text().splitlines()] == results


def test_discarding_leaves_no_file(tmp_path):
    CsvSink(tmp_path / "a.csv").discard()
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_lines_is_emptied_or_kept(tmp_path):
    for keep, lines in ((False, ["a"]), (True, ["a", "a"]), (False, ["a"])):
        file = LineFile(tmp_path / "lines", keep)
        file.write("a")
        file.close()
        assert file.path.read_text().splitlines() == lines


def test_a_growing_file_keeps_its_suffix(tmp_path):
    assert part_of(tmp_path / "clip.mp4") == tmp_path / "clip.part.mp4"
