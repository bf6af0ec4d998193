# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.evaluation.sequences import SequenceError, read_boxes, read_sequence, read_sequences

RED = (200, 10, 30)  # RGB


def write_sequence(folder: Path, frames: int = 3, boxes: str = "1,2,3,4\n1.5,2,3,4\n2,2,3,4\n") -> Path:
    """A sequence of red images, frame i being i px wider than 16."""
    (folder / "img").mkdir(parents=True)
    for index in range(frames):
        image = np.full((12, 16 + index, 3), RED, np.uint8)
        cv2.imwrite(str(folder / "img" / f"{index:04d}.png"), image[:, :, ::-1])
    (folder / "groundtruth_rect.txt").write_text(boxes)
    return folder


def test_reads_images_as_rgb_in_the_order_of_their_names(tmp_path):
    sequence = read_sequence(write_sequence(tmp_path / "walk"))
    frames = list(sequence.frames)
    assert sequence.name == "walk"
    assert len(sequence) == len(sequence.frames) == 3
    assert [frame.shape for frame in frames] == [(12, 16, 3), (12, 17, 3), (12, 18, 3)]
    assert frames[0].dtype == np.uint8
    assert tuple(frames[0][0, 0]) == RED
    assert sequence.boxes.tolist() == [[1, 2, 3, 4], [1.5, 2, 3, 4], [2, 2, 3, 4]]


def test_frames_are_read_only_when_asked_for_and_again_each_time(tmp_path):
    sequence = read_sequence(write_sequence(tmp_path / "walk"))
    (tmp_path / "walk/img/0002.png").write_bytes(b"no image")
    for _ in range(2):
        frames = iter(sequence.frames)
        assert next(frames).shape == (12, 16, 3)
        assert next(frames).shape == (12, 17, 3)
        with pytest.raises(SequenceError, match=r"0002\.png: not a readable image"):
            next(frames)


def test_reads_a_video_as_rgb(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), RED[::-1], np.uint8))
    writer.release()
    (tmp_path / "groundtruth_rect.txt").write_text("1,2,3,4\n" * 3)
    sequence = read_sequence(tmp_path)
    for _ in range(2):  # anew in each iteration
        frames = list(sequence.frames)
        assert len(frames) == 3
        assert frames[2].shape == (48, 64, 3)
        np.testing.assert_allclose(frames[2][24, 32], RED, atol=6)  # JPEG


@pytest.mark.parametrize(
    "line, box",
    [
        ("1,2,3,4", [1, 2, 3, 4]),
        ("1.5\t2\t3\t4", [1.5, 2, 3, 4]),
        ("1 -2  3 4e1", [1, -2, 3, 40]),
        ("NaN,NaN,NaN,NaN", [np.nan] * 4),
        ("0,0,0,0", [np.nan] * 4),
        ("5,5,10,0", [np.nan] * 4),
        ("5,5,-1,9", [np.nan] * 4),
    ],
)
def test_boxes_in_the_notations_of_the_benchmarks(tmp_path, line, box):
    path = tmp_path / "groundtruth_rect.txt"
    path.write_text(f"{line}\n{line}\n")
    np.testing.assert_array_equal(read_boxes(path), [box, box])


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "is empty"),
        ("1,2,3,4\n1,2,3\n", "line 2: '1,2,3' holds 3 numbers"),
        ("1,2,3,x\n", "line 1: '1,2,3,x' is not four numbers"),
    ],
)
def test_malformed_boxes_are_refused_with_file_and_line(tmp_path, content, message):
    path = tmp_path / "groundtruth_rect.txt"
    path.write_text(content)
    with pytest.raises(SequenceError, match=message) as raised:
        read_boxes(path)
    assert str(path) in str(raised.value)


def test_each_missing_part_is_named(tmp_path):
    with pytest.raises(SequenceError, match=r"nowhere: groundtruth_rect\.txt is missing"):
        read_sequence(tmp_path / "nowhere")
    few = write_sequence(tmp_path / "few", frames=2)
    with pytest.raises(SequenceError, match=r"few: img/ holds 2 images but .* holds 3 boxes"):
        read_sequence(few)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "groundtruth_rect.txt").write_text("1,2,3,4\n")
    with pytest.raises(SequenceError, match=r"bare: expected a folder img/ or exactly one video, found 0"):
        read_sequence(bare)
    absent = write_sequence(tmp_path / "absent", boxes="NaN,NaN,NaN,NaN\n" * 3)
    with pytest.raises(SequenceError, match="absent: the target is absent in the first frame"):
        read_sequence(absent)


def test_a_folder_of_sequences_is_read_by_name_and_other_folders_are_passed_over(tmp_path):
    for name in ("b", "a"):
        write_sequence(tmp_path / name)
    (tmp_path / "notes").mkdir()
    assert [sequence.name for sequence in read_sequences(tmp_path)] == ["a", "b"]
    assert [sequence.name for sequence in read_sequences(tmp_path / "b")] == ["b"]
    with pytest.raises(SequenceError, match="notes: no sequence here"):
        read_sequences(tmp_path / "notes")
