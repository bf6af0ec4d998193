# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Video files of formats without a length of their own: whole ones pass, and what is cut off or damaged is found."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from atom_core.offline import streams
from atom_core.offline.containers import structural_damage

CODECS = {  # that OpenCV's packages can write
    ".ts": "mp4v",
    ".m2ts": "MPG2",
    ".mpg": "MPG1",
    ".vob": "MPG2",
    ".flv": "FLV1",
    ".ogg": "VP80",
    ".mxf": "MPG2",
    ".wmv": "WMV2",
    ".mjpeg": "MJPG",
    ".y4m": "I420",
}
FRAMES = 40


def gif() -> bytes:
    """An animation of 40 pictures of 8 x 8 px, of which the blocks hold noise; nothing decodes it."""
    noise = np.random.default_rng(0).integers(0, 256, 200, np.uint8).tobytes()
    picture = b"\x21\xf9\x04\0\x04\0\0\0" + b"\x2c" + struct.pack("<4HB", 0, 0, 8, 8, 0x80) + b"\0\0\0\xff\xff\xff"
    picture += b"\x02" + bytes([200]) + noise + b"\0"
    return b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0xF0, 0, 0) + bytes(6) + picture * FRAMES + b"\x3b"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A video of 40 frames in each format that this OpenCV can write."""
    folder = tmp_path_factory.mktemp("videos")
    texture = cv2.resize(np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8), (320, 240))
    found = {".gif": folder / "whole.gif"}
    found[".gif"].write_bytes(gif())
    for suffix, codec in CODECS.items():
        path = folder / f"whole{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 25, (320, 240))
        for i in range(FRAMES):
            writer.write(np.roll(texture, 4 * i, 1))
        writer.release()
        if path.is_file() and path.stat().st_size > 1000:
            found[suffix] = path
    return found


def _damage(path: Path, data: bytes) -> str | None:
    path.write_bytes(data)
    return structural_damage(path)


@pytest.mark.parametrize("suffix", [".gif", *CODECS])
def test_what_is_whole_cut_off_and_damaged(videos: dict[str, Path], tmp_path: Path, suffix: str) -> None:
    if suffix not in videos:
        pytest.skip(f"this OpenCV cannot write {suffix} files")
    data = videos[suffix].read_bytes()
    half = len(data) // 2
    assert structural_damage(videos[suffix]) is None
    for missing in (1, half + 101):
        assert "is cut off" in _damage(tmp_path / f"cut{suffix}", data[:-missing])
    if suffix == ".mjpeg":
        return  # pictures have no numbers: where a part of one fits behind a part of another, nothing shows
    zeros = data[:half] + bytes(len(data) // 10) + data[half + len(data) // 10 :]
    assert "is damaged at byte" in _damage(tmp_path / f"zeros{suffix}", zeros)


def _continues_a_picture(data: bytes, begin: int, length: int, pid: int) -> bool:
    """Whether the first packet of pictures from here on is not the first of its picture."""
    for place in range(begin + length - 188, len(data), length):
        if int.from_bytes(data[place + 1 : place + 3]) & 0x1FFF == pid:
            return not data[place + 1] & 0x40
    return False


@pytest.mark.parametrize(("suffix", "length", "pid"), [(".ts", 188, 0x100), (".m2ts", 192, 0x1011)])
def test_a_transport_stream_that_ends_between_two_packets(
    videos: dict[str, Path], tmp_path: Path, suffix: str, length: int, pid: int
) -> None:
    if suffix not in videos:
        pytest.skip(f"this OpenCV cannot write {suffix} files")
    data = videos[suffix].read_bytes()
    count = len(data) // length
    for n in range(count // 2, count // 2 + 20):
        is_open = _continues_a_picture(data, n * length, length, pid)
        expected = "is cut off: it ends within a picture" if is_open else None
        assert _damage(tmp_path / f"cut{suffix}", data[: n * length]) == expected, n
    hole = data[: count // 2 * length] + data[(count // 2 + 3) * length :]
    assert _damage(tmp_path / f"hole{suffix}", hole) == f"is damaged at byte {count // 2 * length}"


def test_joined_transport_streams_are_no_damage(videos: dict[str, Path], tmp_path: Path) -> None:
    if ".ts" not in videos:
        pytest.skip("this OpenCV cannot write .ts files")
    assert _damage(tmp_path / "joined.ts", videos[".ts"].read_bytes() * 2) is None


def test_pictures_with_other_data_behind_them_are_no_damage(tmp_path: Path) -> None:
    """As of phones, which append what they know of a picture."""
    encoded = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    assert _damage(tmp_path / "one.jpg", encoded + b"what a phone appends") is None
    assert _damage(tmp_path / "two.mjpeg", encoded * 2 + bytes(50)) is None
    assert _damage(tmp_path / "gap.mjpeg", encoded * 2 + b"lost" + encoded) == f"is damaged at byte {2 * len(encoded)}"


def test_zeros_behind_a_program_stream_are_no_damage(videos: dict[str, Path], tmp_path: Path) -> None:
    if ".mpg" not in videos:
        pytest.skip("this OpenCV cannot write .mpg files")
    assert _damage(tmp_path / "filled.mpg", videos[".mpg"].read_bytes() + bytes(5000)) is None


def test_a_windows_video_whose_recorder_was_killed(videos: dict[str, Path], tmp_path: Path) -> None:
    if ".wmv" not in videos:
        pytest.skip("this OpenCV cannot write .wmv files")
    data = bytearray(videos[".wmv"].read_bytes())
    place = data.index(bytes.fromhex("a1dcab8c47a9cf11")) + 40
    data[place : place + 8] = bytes(8)  # the size, which is written last
    assert _damage(tmp_path / "open.wmv", bytes(data)) == streams.NOT_CLOSED


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("", 24),
        ("C420p10", 48),
        ("C422", 32),
        ("C411", 24),
        ("C444", 48),
        ("C444alpha", 64),
        ("Cmono", 16),
        ("Cmono16", 32),
    ],
)
def test_the_length_of_uncompressed_frames(tmp_path: Path, kind: str, values: int) -> None:
    """4 x 4 px: 16 grey values, and two planes of 4 (420), 8 (422), 4 (411: 1 x 4) or 16 (444) for the colour."""
    path = tmp_path / "a.y4m"
    whole = f"YUV4MPEG2 W4 H4 F25:1 {kind}\n".encode() + 3 * (b"FRAME\n" + bytes(values))
    assert _damage(path, whole) is None
    assert "is cut off" in _damage(path, whole[:-1])
    assert "is cut off" in _damage(path, whole[: -values - 3])
    assert "is damaged at byte" in _damage(path, whole + b"more")
