# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.data.sequences import Sequence, read_sequence, read_sequences

RED = (200, 10, 30)  # RGB
NAN = [np.nan] * 4


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
    assert (sequence.name, sequence.layout, sequence.image_size) == ("walk", "simple", None)
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
        with pytest.raises(ValueError, match=r"cannot read the image .*0002\.png"):
            next(frames)


def test_each_missing_part_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere/groundtruth_rect\.txt is missing"):
        read_sequence(tmp_path / "nowhere")
    few = write_sequence(tmp_path / "few", frames=2)
    with pytest.raises(ValueError, match=r"few: 2 frames but 3 boxes; .* choose the layout otb"):
        read_sequence(few)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "groundtruth_rect.txt").write_text("1,2,3,4\n")
    with pytest.raises(ValueError, match=r"bare: expected a folder img/ or exactly one video, found 0"):
        read_sequence(bare)
    absent = write_sequence(tmp_path / "absent", boxes="NaN,NaN,NaN,NaN\n" * 3)
    with pytest.raises(ValueError, match="absent: the target is absent in the first frame"):
        read_sequence(absent)


def test_a_folder_of_sequences_is_read_by_name_and_other_folders_are_passed_over(tmp_path):
    for name in ("b", "a"):
        write_sequence(tmp_path / name)
    (tmp_path / "notes").mkdir()
    assert [sequence.name for sequence in read_sequences(tmp_path)] == ["a", "b"]
    assert [sequence.name for sequence in read_sequences(tmp_path / "b")] == ["b"]
    with pytest.raises(ValueError, match=r"notes: no sequence here; layout 'simple' expects .*; other layouts: uav123"):
        read_sequences(tmp_path / "notes")


def test_a_sequence_is_named_by_its_folder_or_the_link_to_it(tmp_path, monkeypatch):
    write_sequence(tmp_path / "b")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/a").symlink_to(tmp_path / "b")
    assert read_sequences(tmp_path / "links")[0].name == "a"
    monkeypatch.chdir(tmp_path / "b")
    assert read_sequence(".").name == "b"
    assert read_sequences("img/..")[0].name == "b"


def test_unknown_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown layout 'otb50'; expected one of auto, got10k, lasot"):
        read_sequences(tmp_path, "otb50")


@pytest.mark.parametrize(
    "boxes, known",
    [([[1, 2, 3, 4], NAN, NAN], False), ([[1, 2, 3, 4], NAN, [1, 2, 3, 4]], True), ([[1, 2, 3, 4]], False)],
)
def test_ground_truth_is_more_than_the_first_box(boxes, known):
    assert Sequence("s", [], np.array(boxes, float)).has_ground_truth is known
