# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import array

import pytest
from sensor_msgs.msg import Image

from atom_ros.frame_buffer import NANOSECONDS, Frame, FrameBuffer

TENTH = NANOSECONDS // 10


def _frame(sequence: int, stamp: int, size: int = 100) -> Frame:
    message = Image(data=array.array("B", bytes(size)))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, NANOSECONDS)
    return Frame(sequence, message)


def _buffer(count: int = 10, max_age: float = 60.0, max_bytes: int = 10**6) -> FrameBuffer:
    """Frames 1, 2, ... with stamps 100.1 s, 100.2 s, ..."""
    buffer = FrameBuffer(max_age, max_bytes)
    for i in range(1, count + 1):
        assert not buffer.add(_frame(i, 100 * NANOSECONDS + i * TENTH))
    return buffer


def test_a_frame_knows_its_stamp() -> None:
    assert _frame(1, 123_000_000_456).stamp == 123_000_000_456


def test_newest() -> None:
    assert _buffer(3).newest().sequence == 3


@pytest.mark.parametrize(
    ("offset", "tolerance", "expected"), [(0, 0, 4), (TENTH // 5, TENTH // 2, 4), (4 * TENTH // 5, TENTH // 2, 5)]
)
def test_at_returns_the_nearest(offset: int, tolerance: int, expected: int) -> None:
    stamp = 100 * NANOSECONDS + 4 * TENTH + offset
    assert _buffer().at(stamp, tolerance).sequence == expected


def test_a_stamp_out_of_reach_names_the_range() -> None:
    with pytest.raises(LookupError) as error:
        _buffer().at(90 * NANOSECONDS, TENTH)
    assert "within 0.1 s of stamp 90.000000000" in str(error.value)
    assert "10 images from 100.100000000 to 101.000000000" in str(error.value)


def test_an_empty_buffer_says_so() -> None:
    buffer = _buffer()
    buffer.clear()
    assert len(buffer) == 0
    for look in (buffer.newest, lambda: buffer.at(0, 0)):
        with pytest.raises(LookupError, match="no image has arrived"):
            look()
    assert buffer.after(0) is None


def test_after_returns_the_oldest_that_is_newer() -> None:
    buffer = _buffer()
    assert [buffer.after(n).sequence for n in (0, 4, 9)] == [1, 5, 10]
    assert buffer.after(10) is None


def test_the_age_is_bounded() -> None:
    assert _buffer(10, max_age=0.3).after(0).sequence == 7  # 100.7 to 101.0 s


def test_the_bytes_are_bounded_but_the_newest_frame_stays() -> None:
    assert _buffer(10, max_bytes=350).after(0).sequence == 8
    assert len(_buffer(10, max_bytes=1)) == 1
    buffer = _buffer(10, max_bytes=350)
    buffer.clear()
    for i in range(3):
        buffer.add(_frame(11 + i, 200 * NANOSECONDS))
    assert len(buffer) == 3, "the count of bytes was cleared too"


def test_a_jump_back_forgets_the_older_frames() -> None:
    buffer = _buffer()
    assert buffer.add(_frame(11, 50 * NANOSECONDS))
    assert len(buffer) == 1 and buffer.newest().sequence == 11


def test_frames_out_of_order_are_no_jump() -> None:
    buffer = _buffer()
    assert not buffer.add(_frame(11, 100 * NANOSECONDS + 95 * TENTH // 10))
    assert len(buffer) == 11 and buffer.newest().sequence == 11
    with pytest.raises(LookupError, match=r"from 100\.100000000 to 101\.000000000"):
        buffer.at(300 * NANOSECONDS, TENTH)
