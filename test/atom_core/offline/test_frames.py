# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.offline.frames import VideoSource, open_source
from atom_core.offline.video import VideoWriter


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
    with pytest.raises(ValueError, match="holds no image file"):
        open_source(tmp_path)
    with pytest.raises(ValueError, match=r"missing\.mp4 does not exist"):
        open_source(tmp_path / "missing.mp4")


FRAMES = 40
CONTAINERS = (".avi", ".mkv", ".webm", ".mp4")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy video of 40 frames, 0.05 s apart, in each container."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(FRAMES)]
    for suffix in CONTAINERS:
        with contextlib.closing(VideoWriter(folder / f"whole{suffix}", 20)) as writer:
            for picture in pictures:
                writer.write(picture)
    return folder


def read_all(video: VideoSource) -> int:
    return sum(frame.decode().shape == (96, 128, 3) for frame in video)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_whole_video_is_not_damaged(videos: Path, suffix: str) -> None:
    video = VideoSource(videos / f"whole{suffix}")
    assert (read_all(video), video.damage) == (FRAMES, None)
    assert (read_all(video), video.damage) == (FRAMES, None), "a second time"


@pytest.mark.parametrize("share", [0.5, 0.95])
@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".webm"])
def test_a_video_that_is_cut_off_says_so(videos: Path, tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cut{suffix}"
    shutil.copy(videos / f"whole{suffix}", path)
    size = path.stat().st_size
    os.truncate(path, int(size * share))
    video = open_source(path)
    found = read_all(video)
    assert share * FRAMES - 3 <= found <= share * FRAMES
    assert f"is cut off: it has {int(size * share)} of {size} bytes" in video.damage
    assert f"announces 40 frames, and {found} of them could be read" in video.damage
    assert f"the last one is frame {found - 1} ({(found - 1) / 20:.3f} s)" in video.damage


def test_an_mp4_without_its_index_says_so(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes((videos / "whole.mp4").read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"holds no frame that can be read; it is cut off.*index \(moov\)"):
        open_source(tmp_path / "cut.mp4")


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("filling", ["random", "zeros"])
def test_a_damaged_middle_is_named_and_read_beyond(videos: Path, tmp_path: Path, suffix: str, filling: str) -> None:
    path = tmp_path / f"damaged{suffix}"
    data = bytearray((videos / f"whole{suffix}").read_bytes())
    start, length = len(data) // 2, len(data) // 20
    data[start : start + length] = np.random.default_rng(1).bytes(length) if filling == "random" else bytes(length)
    path.write_bytes(data)
    video = open_source(path)
    found = read_all(video)
    assert 30 <= found < FRAMES
    assert f"damaged{suffix} is damaged" in video.damage
    assert f"announces 40 frames, and {found} of them could be read" in video.damage
    assert "behind frame" in video.damage


def test_16_bit_video_keeps_its_range(tmp_path: Path) -> None:
    path = tmp_path / "thermal.mkv"
    options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), 10, (64, 48), options)
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write video of 16 bits")
    ramp = np.tile(np.arange(30000, 30064, dtype=np.uint16), (48, 1))
    writer.write(ramp)
    writer.release()
    video = open_source(path)
    (image,) = (frame.decode() for frame in video)
    assert video.pixel_range.last == pytest.approx((30000, 30063), abs=1)
    assert np.ptp(image) == 255


def test_a_video_whose_name_is_not_utf8(videos: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.avi")
    shutil.copy(videos / "whole.avi", path)
    video = open_source(path)
    assert (len(video), read_all(video), video.damage) == (FRAMES, FRAMES, None)
    video.name.encode()
    with pytest.raises(ValueError, match="not UTF-8"):
        VideoWriter(path, 10)
