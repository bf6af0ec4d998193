# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import array

import pytest
from sensor_msgs.msg import CompressedImage, Image

from atom_ros import frame_buffer
from atom_ros.frame_buffer import NANOSECONDS, Arrival, Frame, FrameBuffer, NotArrivedError
from atom_ros.images import to_jpeg, to_rgb

TENTH = NANOSECONDS // 10


def _image(stamp: int, size: int = 100) -> Image:
    message = Image(data=array.array("B", bytes(size)))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, NANOSECONDS)
    return message


def _buffer(count: int = 10, max_age: float = 60.0, max_bytes: int = 10**6) -> FrameBuffer:
    """Frames 1, 2, ... with stamps 100.1 s, 100.2 s, ..."""
    buffer = FrameBuffer(max_age, max_bytes)
    for i in range(1, count + 1):
        arrival, frame = buffer.add(_image(100 * NANOSECONDS + i * TENTH))
        assert (arrival, frame.sequence) == (Arrival.NEXT, i)
    return buffer


def test_a_frame_knows_its_stamp() -> None:
    assert Frame(1, _image(123_000_000_456)).stamp == 123_000_000_456


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


def test_only_an_image_newer_than_all_may_still_come() -> None:
    buffer, newest = _buffer(), 101 * NANOSECONDS
    for stamp in (newest - TENTH // 2, newest, newest + 1000):  # between two, the newest, and that one rounded up
        buffer.expect(stamp)
    with pytest.raises(NotArrivedError, match=r"stamp 101\.033333333 has not arrived yet"):
        buffer.expect(newest + TENTH // 3)
    buffer.clear()
    with pytest.raises(NotArrivedError):
        buffer.expect(newest)


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
        buffer.add(_image(200 * NANOSECONDS + i))
    assert len(buffer) == 3, "the count of bytes was cleared too"


@pytest.mark.parametrize(
    ("behind", "arrival"),  # in ns, by which the next image is older than the newest
    [
        (-1, Arrival.NEXT),
        (-3600 * NANOSECONDS, Arrival.NEXT),  # a pause of an hour
        (0, Arrival.DUPLICATE),
        (1, Arrival.OUT_OF_ORDER),
        (TENTH, Arrival.OUT_OF_ORDER),  # the one before again
        (NANOSECONDS, Arrival.OUT_OF_ORDER),
        (NANOSECONDS + 1, Arrival.RESTART),
        (100 * NANOSECONDS, Arrival.RESTART),
    ],
)
def test_what_an_image_is_to_those_before_it(behind: int, arrival: Arrival) -> None:
    buffer = _buffer(10, max_age=10.0**6)
    newest = buffer.newest().stamp
    seen, frame = buffer.add(_image(newest - behind))
    assert seen is arrival
    if arrival.is_ignored:
        assert frame is None
        assert len(buffer) == 10 and buffer.newest().stamp == newest
    else:
        assert frame.sequence == 11, "ignored images have no number"
        assert buffer.newest() is frame
    assert len(buffer) == {Arrival.NEXT: 11, Arrival.RESTART: 1}.get(arrival, 10)


def test_after_a_restart_the_new_time_counts() -> None:
    buffer = _buffer()
    buffer.add(_image(50 * NANOSECONDS))
    assert buffer.add(_image(50 * NANOSECONDS))[0] is Arrival.DUPLICATE
    assert buffer.add(_image(50 * NANOSECONDS + TENTH))[0] is Arrival.NEXT
    with pytest.raises(LookupError, match=r"2 images from 50\.000000000 to 50\.100000000"):
        buffer.at(101 * NANOSECONDS, TENTH)


def test_one_stamp_far_in_the_future_does_not_shut_the_camera_out() -> None:
    buffer = _buffer()
    assert buffer.add(_image(2**31 * NANOSECONDS - 1))[0] is Arrival.NEXT
    assert buffer.add(_image(102 * NANOSECONDS))[0] is Arrival.RESTART
    assert buffer.add(_image(103 * NANOSECONDS))[0] is Arrival.NEXT


def test_after_clearing_every_stamp_is_welcome() -> None:
    buffer = _buffer()
    buffer.clear()
    assert buffer.add(_image(100 * NANOSECONDS))[0] is Arrival.NEXT


def test_images_without_a_stamp_are_all_new() -> None:
    buffer = FrameBuffer(1.0, 10**6)
    assert [buffer.add(_image(0))[0] for _ in range(3)] == [Arrival.NEXT] * 3
    assert len(buffer) == 3


def _picture(seconds: float) -> Image:
    """A smooth grey image of 64x48, 3072 bytes."""
    message = _image(round(seconds * NANOSECONDS), 64 * 48)
    message.width, message.height, message.step, message.encoding = 64, 48, 64, "mono8"
    return message


def test_images_older_than_a_second_become_jpegs_and_free_their_bytes() -> None:
    buffer = FrameBuffer(60.0, 8 * 3072)
    for i in range(8):
        buffer.add(_picture(100.0 + 0.25 * i))
    assert [buffer.compress_next() for _ in range(4)] == [True, True, True, False], (
        "100.0, 100.25, 100.5; newest 101.75"
    )
    old, recent = buffer.at(100_500_000_000, 0), buffer.at(100_750_000_000, 0)
    assert isinstance(old.message, CompressedImage) and isinstance(recent.message, Image)
    assert (old.sequence, old.stamp) == (3, 100_500_000_000)
    assert to_rgb(old.message).shape == (48, 64, 3)
    buffer.add(_picture(101.9))
    buffer.add(_picture(101.95))
    assert len(buffer) == 10, "three small images left room for two more"
    assert [frame.sequence for frame in map(buffer.after, range(10))] == list(range(1, 11))


def test_an_image_that_cannot_become_a_jpeg_is_tried_once() -> None:
    buffer = _buffer(12)  # their encoding is not known
    assert [buffer.compress_next() for _ in range(2)] == [True, False], "100.1 alone is more than 1 s behind 101.2"
    assert isinstance(buffer.after(0).message, Image)


def test_an_image_that_is_dropped_while_it_is_compressed_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = FrameBuffer(60.0, 10**6)
    for seconds in (100.0, 102.0):
        buffer.add(_picture(seconds))

    def clear_and_encode(message: Image) -> CompressedImage | None:
        buffer.clear()
        buffer.add(_picture(103.0))
        return to_jpeg(message)

    monkeypatch.setattr(frame_buffer, "to_jpeg", clear_and_encode)
    assert buffer.compress_next()
    assert len(buffer) == 1 and isinstance(buffer.newest().message, Image)
