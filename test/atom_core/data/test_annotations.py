# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from atom_core.data.annotations import mark_absent, read_boxes, read_rows

NAN = [np.nan] * 4


@pytest.mark.parametrize(
    "line, box",
    [
        ("1,2,3,4", [1, 2, 3, 4]),
        ("1.5\t2\t3\t4", [1.5, 2, 3, 4]),
        ("1 -2  3 4e1", [1, -2, 3, 40]),
        ("1, 2,\t3 4", [1, 2, 3, 4]),
        ("NaN,NaN,NaN,NaN", NAN),
        ("nan,2,3,4", NAN),
        ("inf,2,3,4", NAN),
        ("0,0,0,0", NAN),
        ("5,5,10,0", NAN),
        ("5,5,-1,9", NAN),
    ],
)
def test_boxes_in_the_notations_of_the_benchmarks(tmp_path, line, box):
    path = tmp_path / "boxes.txt"
    path.write_text(f"{line}\r\n{line}\n\n")
    boxes = read_boxes(path)
    assert boxes.dtype == np.float64
    np.testing.assert_array_equal(boxes, [box, box])


def test_separators_may_differ_from_line_to_line(tmp_path):
    path = tmp_path / "boxes.txt"
    path.write_bytes(b"\xef\xbb\xbf1,2,3,4\n5\t6\t7\t8\n9 10 11 12")  # with a byte order mark
    assert read_boxes(path).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", r"boxes\.txt is empty"),
        (b"\n \n", r"boxes\.txt is empty"),
        (b"1,2,3,4\n1,2,3\n", r"boxes\.txt, line 2: '1,2,3' holds 3 numbers; expected 4"),
        (b"1,2,3,4\n\n1,2,3,4\n", r"boxes\.txt, line 2: '' holds 0 numbers"),
        (b"1,2,3,x\n", r"boxes\.txt, line 1: '1,2,3,x' is not a list of numbers: .*'x'"),
        (b"\xff\xfe\x00", r"boxes\.txt is not a text file"),
    ],
)
def test_malformed_files_are_refused_with_file_and_line(tmp_path, content, message):
    path = tmp_path / "boxes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_boxes(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt is missing"):
        read_boxes(tmp_path / "nowhere.txt")


def test_rows_of_several_lengths(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text("1,2\n3,4,5\n")
    assert read_rows(path, (2, 3)) == [[1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="line 2: '3,4,5' holds 3 numbers; expected 2 or 4"):
        read_rows(path, (2, 4))


def test_marking_absent_boxes_leaves_the_argument_alone():
    boxes = np.array([[1.0, 2, 3, 4], [1, 2, 0, 4]])
    np.testing.assert_array_equal(mark_absent(boxes), [[1, 2, 3, 4], NAN])
    assert boxes[1].tolist() == [1, 2, 0, 4]
