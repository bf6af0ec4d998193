# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.data.frames import ImageFiles, VideoFile, open_video
from atom_core.data.sequences import read_sequence

RED = (200, 10, 30)  # RGB


def test_image_files_are_those_of_a_folder_in_the_order_of_their_numbers(tmp_path):
    for name in ("10.png", "2.png", ".3.png", "notes.txt"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 6, 3), np.uint8)) if name[-3:] == "png" else None
    (tmp_path / "notes.txt").touch()
    (tmp_path / "5.png").mkdir()
    frames = ImageFiles.find(tmp_path)
    assert (frames.names, len(frames)) == (("2.png", "10.png"), 2)
    assert frames.paths == (tmp_path / "2.png", tmp_path / "10.png")
    assert frames.path(1) == tmp_path / "10.png"
    assert [image.shape for image in frames] == [(4, 6, 3)] * 2
    with pytest.raises(FileNotFoundError):
        ImageFiles.find(tmp_path / "missing")


def write_video(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(frames):
        writer.write(np.full((48, 64, 3), RED[::-1], np.uint8))
    writer.release()


def test_reads_a_video_as_rgb(tmp_path):
    write_video(tmp_path / "clip.avi", 3)
    (tmp_path / "groundtruth_rect.txt").write_text("1,2,3,4\n" * 3)
    video = read_sequence(tmp_path).frames
    assert video == VideoFile(tmp_path / "clip.avi", 3) == open_video(tmp_path / "clip.avi")
    for _ in range(2):  # again in each iteration
        frames = list(video)
        assert len(frames) == 3
        assert frames[2].shape == (48, 64, 3)
        np.testing.assert_allclose(frames[2][24, 32], RED, atol=6)  # JPEG


def test_a_video_that_ends_too_early_is_named(tmp_path):
    write_video(tmp_path / "clip.avi", 3)
    (tmp_path / "groundtruth_rect.txt").write_text("1,2,3,4\n" * 3)
    sequence = read_sequence(tmp_path)
    write_video(tmp_path / "clip.avi", 2)
    with pytest.raises(ValueError, match=r"clip\.avi: ends at frame 2; its reference boxes need 3"):
        list(sequence.frames)
