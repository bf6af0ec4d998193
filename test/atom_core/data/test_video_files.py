# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import os

import cv2
import numpy as np
import pytest

from atom_core.data.video_files import opened_video

OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("before", [None, "rtsp_transport;udp"])
def test_the_user_s_options_are_as_before(clip, before, monkeypatch):
    monkeypatch.delenv(OPTIONS, raising=False)
    if before is not None:
        monkeypatch.setenv(OPTIONS, before)
    with opened_video(clip) as video:
        assert video.isOpened()
        assert os.environ.get(OPTIONS) == before


def test_a_name_that_is_no_utf8_can_be_opened(clip):
    named = os.fsencode(clip.parent) + b"/caf\xe9.avi"
    os.rename(clip, named)
    with opened_video(type(clip)(os.fsdecode(named))) as video:
        assert video.read()[0]


def test_a_missing_file_is_not_opened(tmp_path):
    with opened_video(tmp_path / "none.avi") as video:
        assert not video.isOpened()
