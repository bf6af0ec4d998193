# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Times are given: the clock stands until the test moves it."""

from fake_link import image

from atom_ros.web.pairing import Pairing, Shown
from atom_tracker.msg import Track, TrackArray


class Bench:
    """A pairing, and what came out of it, as the images' seconds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pairing = Pairing(lambda: self.now)
        self.pairing.begin("/camera")

    def image(self, second: int, **size: int) -> Shown | None:
        return self.pairing.add_image(image(second, **size))

    def tracks(self, second: int, count: int = 1) -> Shown | TrackArray | None:
        array = TrackArray(tracks=[Track(target_id=n + 1) for n in range(count)])
        array.header.stamp.sec = second
        return self.pairing.add_tracks(array)

    def warm(self) -> "Bench":
        """The tracker answers."""
        self.tracks(1)
        return self


def _second(shown: Shown | None) -> int | None:
    return None if shown is None else shown.image.header.stamp.sec


def test_an_image_waits_for_its_tracks() -> None:
    bench = Bench().warm()
    assert bench.image(2) is None
    bench.now += 0.1
    shown = bench.tracks(2, count=2)
    assert (_second(shown), len(shown.tracks), shown.received, shown.topic) == (2, 2, 100.0, "/camera")


def test_tracks_wait_for_their_image() -> None:
    bench = Bench().warm()
    assert bench.tracks(2) is None
    assert len(bench.image(2).tracks) == 1


def test_images_that_the_tracker_skips_are_not_shown_and_none_is_older_than_the_one_before() -> None:
    bench = Bench().warm()
    assert [bench.image(second) for second in (2, 3, 4, 5)] == [None] * 4
    assert _second(bench.tracks(4)) == 4
    assert bench.tracks(3) is None, "3 came before 4"
    assert _second(bench.tracks(5)) == 5
    bench.tracks(7)
    bench.image(6)
    assert _second(bench.image(7)) == 7
    assert bench.tracks(6) is None


def test_without_a_tracker_images_are_shown_as_they_come() -> None:
    bench = Bench()
    shown = bench.image(2)
    assert _second(shown) == 2 and shown.tracks is None


def test_when_the_tracker_pauses_images_come_without_boxes_after_half_a_second() -> None:
    bench = Bench().warm()
    bench.now += 0.45
    bench.tracks(2)  # so twice this interval: 0.9 s
    bench.now += 0.85
    assert bench.image(3) is None
    bench.now += 0.1
    shown = bench.image(4)
    assert _second(shown) == 4 and shown.tracks is None
    assert bench.tracks(3) is None, "3 came before 4"


def test_tracks_that_come_after_their_image_was_shown_follow_it() -> None:
    bench = Bench()
    assert bench.image(2).tracks is None
    late = bench.tracks(2, count=3)
    assert isinstance(late, TrackArray) and len(late.tracks) == 3
    assert bench.tracks(2) is None, "once"


def test_images_without_a_stamp_go_with_the_newest_tracks() -> None:
    bench = Bench()
    bench.tracks(0)
    assert bench.image(0) is None
    assert bench.tracks(0).tracks == [Track(target_id=1)]


def test_a_clock_that_jumps_back_is_followed() -> None:
    bench = Bench().warm()
    bench.image(50)
    bench.tracks(50)
    bench.image(3)
    assert _second(bench.tracks(3)) == 3


def test_images_kept_are_bounded_in_bytes_and_time() -> None:
    bench = Bench().warm()
    for second in range(2, 6):
        bench.image(second, width=4000, height=5000)  # 20 MB each; 64 MB are kept
    assert [_second(bench.tracks(second)) for second in (2, 3)] == [None, 3]
    bench = Bench().warm()
    bench.image(2)
    for step in range(5):
        bench.now += 0.45
        bench.tracks(1)
        bench.image(3 + step)
    assert [_second(bench.tracks(second)) for second in (2, 3)] == [None, 3], "2 is 2.25 s old, 3 is 1.8 s old"


def test_another_camera_begins_anew() -> None:
    bench = Bench().warm()
    bench.image(2)
    bench.pairing.begin("/other")
    assert bench.tracks(2) is None
