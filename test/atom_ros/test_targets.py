# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The list of targets alone, without a worker."""

from __future__ import annotations

from concurrent.futures import CancelledError

import pytest
from sensor_msgs.msg import Image

from atom_ros.frame_buffer import Frame
from atom_ros.report import Report
from atom_ros.targets import FollowedTarget, Order, RemovedError, ReplacedError, Targets

BOX = (0.0, 0.0, 10.0, 10.0)
FRAME = Frame(5, Image())


def learn(targets: Targets, order: Order, max_targets: int = 3) -> int:
    """As the worker does it."""
    assert targets.begin((), max_targets) is order
    number = targets.next_id(order)
    targets.learned(order, number, Report.of_given_box(FRAME, number, BOX, 0.0), max_targets)
    targets.give_up(order)
    return number


def test_numbers_grow_and_are_not_given_again() -> None:
    targets = Targets(last_id=4)
    assert [learn(targets, targets.order(FRAME, BOX, 0, 3)) for _ in range(2)] == [5, 6]
    assert targets.remove(6) and not targets.remove(6)
    assert learn(targets, targets.order(FRAME, BOX, 0, 3)) == 7
    assert (targets.ids, targets.last_id, targets.has_orders) == ((5, 7), 7, False)


def test_there_is_room_for_max_targets_with_those_that_wait() -> None:
    targets = Targets()
    learn(targets, targets.order(FRAME, BOX, 0, 2), 2)
    targets.order(FRAME, BOX, 0, 2)
    with pytest.raises(ValueError, match=r"2 targets are followed, and max_targets is 2; .* to replace \(1\)"):
        targets.order(FRAME, BOX, 0, 2)
    with pytest.raises(LookupError, match="there is no target 9; followed now: 1"):
        targets.order(FRAME, BOX, 9, 2)


def test_a_newer_order_for_the_same_target_replaces_the_one_that_waits() -> None:
    targets = Targets()
    first, second = (targets.order(FRAME, BOX, 0, 1) for _ in range(2))
    assert isinstance(first.future.exception(0), ReplacedError)
    assert learn(targets, second, 1) == 1


def test_a_single_target_takes_the_place_of_the_one_before() -> None:
    targets = Targets()
    assert [learn(targets, targets.order(FRAME, BOX, 0, 1), 1) for _ in range(2)] == [1, 2]
    assert targets.ids == (2,)


def test_a_target_that_is_removed_while_it_is_learned_is_not_listed() -> None:
    targets = Targets()
    order = targets.order(FRAME, BOX, 0, 3)
    assert targets.begin((), 3) is order
    assert targets.clear() == 1
    with pytest.raises(RemovedError):
        targets.learned(order, 1, Report.of_given_box(FRAME, 1, BOX, 0.0), 3)
    assert targets.ids == ()


def test_held_targets_are_learned_later() -> None:
    targets = Targets()
    number = learn(targets, targets.order(FRAME, BOX, 0, 3))
    again, new = targets.order(FRAME, BOX, number, 3), targets.order(FRAME, BOX, 0, 3)
    assert targets.begin((number,), 3) is new
    assert targets.begin((number,), 3) is None
    assert targets.begin((), 3) is again


def test_after_the_end_nothing_is_taken() -> None:
    targets = Targets()
    order = targets.order(FRAME, BOX, 0, 3)
    targets.close()
    assert order.future.cancelled()
    with pytest.raises(CancelledError):
        targets.order(FRAME, BOX, 0, 3)


def test_a_place_lies_between_the_two_nearest_frames() -> None:
    target = FollowedTarget(8, None, (FRAME, BOX))
    target.trail.extend([(4, (0.0, 0.0, 10.0, 10.0)), (8, (4.0, 8.0, 14.0, 10.0))])
    assert target.place(5) == (1, 2, 11, 10)  # a quarter of the way
    assert target.place(8) == (4, 8, 14, 10)
    assert target.place(3) is None and target.place(9) is None
