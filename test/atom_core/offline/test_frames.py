# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.offline.frames import open_source


def test_frames_of_a_video_are_those_written(tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for blue in (200, 40, 90):
        writer.write(np.full((48, 64, 3), (blue, 0, 0), np.uint8))
    writer.release()
    source = open_source(path)
    assert (len(source), source.fps) == (3, 10)
    frames = [(frame.index, frame.stamp, frame.decode()) for frame in source]
    assert [(index, stamp) for index, stamp, _ in frames] == [(0, 0), (1, 100_000_000), (2, 200_000_000)]
    assert [image.shape for *_, image in frames] == [(48, 64, 3)] * 3
    # RGB: blue is last
    assert [int(image[..., 2].mean()) for *_, image in frames] == pytest.approx([200, 40, 90], abs=4)


def test_a_path_without_frames_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no frame"):
        open_source(tmp_path)
    with pytest.raises(ValueError, match=r"missing\.mp4 holds no frame"):
        open_source(tmp_path / "missing.mp4")
