# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.offline.video import VIDEO_CODECS, VideoWriter


@pytest.mark.parametrize("suffix", VIDEO_CODECS)
def test_pictures_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"video{suffix}"
    writer = VideoWriter(path, 5.0)
    writer.write(np.full((48, 64, 3), 200, np.uint8))
    writer.write(np.full((96, 128, 3), 40, np.uint8))  # scaled to the first one's size
    writer.close()
    capture = cv2.VideoCapture(str(path))
    levels = []
    while (read := capture.read())[0]:
        assert read[1].shape == (48, 64, 3)
        levels.append(int(read[1].mean()))
    assert levels == pytest.approx([200, 40], abs=6)


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot write \.gif video; use \.avi"):
        VideoWriter(tmp_path / "video.gif", 5.0)
    with pytest.raises(OSError, match="nowhere"):
        VideoWriter(tmp_path / "nowhere" / "video.avi", 5.0).write(np.zeros((8, 8, 3), np.uint8))


def test_without_a_picture_there_is_no_file(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "video.avi", 5.0).close()
    assert not list(tmp_path.iterdir())
