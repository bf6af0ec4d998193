# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
from pathlib import Path

import numpy as np
import pytest

from atom_core.offline.containers import structural_damage
from atom_core.offline.video import VideoWriter

CONTAINERS = (".avi", ".mkv", ".webm", ".mp4")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy video of 40 frames in each container."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(40)]
    for suffix in CONTAINERS:
        with contextlib.closing(VideoWriter(folder / f"whole{suffix}", 20)) as writer:
            for picture in pictures:
                writer.write(picture)
    return folder


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_whole_file_has_no_damage_and_one_that_is_cut_off_has(videos: Path, tmp_path: Path, suffix: str) -> None:
    data = (videos / f"whole{suffix}").read_bytes()
    assert structural_damage(videos / f"whole{suffix}") is None
    (tmp_path / f"cut{suffix}").write_bytes(data[:-500])
    assert "is cut off" in structural_damage(tmp_path / f"cut{suffix}")


def test_files_of_other_formats_are_not_judged(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_bytes(b"no video at all")
    assert structural_damage(tmp_path / "text.mp4") is None


def test_zeros_and_text_behind_an_mp4_are_no_damage(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "padded.mp4").write_bytes((videos / "whole.mp4").read_bytes() + bytes(100))
    assert structural_damage(tmp_path / "padded.mp4") is None


def live(webm: bytes) -> bytes:
    """The video as a browser records it: segment and clusters do not tell their length. Nothing is moved."""
    data = bytearray(webm)
    segment = data.index(b"\x18\x53\x80\x67") + 4
    data[segment : segment + 8] = b"\x01" + b"\xff" * 7
    place = -1
    while (place := data.find(b"\x1f\x43\xb6\x75", place + 1)) >= 0:
        width = 9 - data[place + 4].bit_length()
        data[place + 4 : place + 4 + width] = (2 ** (7 * width + 1) - 1).to_bytes(width)
    return bytes(data)


@pytest.mark.parametrize("suffix", [".webm", ".mkv"])
def test_a_live_recording_does_not_tell_its_length_and_is_whole(videos: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"live{suffix}"
    path.write_bytes(live((videos / f"whole{suffix}").read_bytes()))
    assert path.read_bytes() != (videos / f"whole{suffix}").read_bytes()
    assert structural_damage(path) is None
    os.truncate(path, path.stat().st_size // 2)
    assert "is damaged at byte" in structural_damage(path)
