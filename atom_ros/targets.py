# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Which targets there are: those that are followed, and those that are asked for and not learned yet.

Requests change this list at once, whatever the tracker's thread is doing: a removed target is gone from every report
that follows the answer. The thread looks here before each step and drops what is no longer listed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from atom_ros.frame_buffer import Frame
from atom_ros.report import Box, Report


@dataclass
class FollowedTarget:
    """A target that the tracker has learned."""

    seen: int  # sequence number of the newest frame that it was followed through
    given: Report | None  # of the frame that it was set on, for when that frame is reported
    sure: tuple[Frame, Box]  # where it was TRACKING last, or was set: it can be learned again from there


@dataclass(eq=False)
class Order:
    """A target to be learned."""

    frame: Frame
    box: Box
    target_id: int  # of the target that it replaces, keeping its number; 0 for a new one
    withdrawn: bool = False  # the target was removed before it was learned


class Targets:
    """The list of targets. Safe to use from several threads."""

    def __init__(self, last_id: int = 0) -> None:
        """Args: `last_id` is the highest number that was ever given."""
        self._lock = threading.Lock()
        self._followed: dict[int, FollowedTarget] = {}
        self._orders: list[Order] = []
        self._last_id = last_id

    @property
    def last_id(self) -> int:
        """The highest number that was ever given to a target, 0 before the first."""
        return self._last_id

    @property
    def ids(self) -> tuple[int, ...]:
        """Numbers of the targets that are followed, the oldest first."""
        with self._lock:
            return tuple(sorted(self._followed))

    def followed(self) -> dict[int, FollowedTarget]:
        """The targets that are followed now, by number, the oldest first."""
        with self._lock:
            return dict(sorted(self._followed.items()))

    def order(self, frame: Frame, box: Box, target_id: int, max_targets: int) -> Order:
        """Asks for a target. It ends with `learned` or `give_up`.

        Raises:
            LookupError: if no target has the number `target_id` (0: a new target).
            ValueError: if there is no room for a new one. Where `max_targets` is 1, a new one replaces the other.
        """
        with self._lock:
            if target_id:
                self._expect(target_id)
            count = len(self._followed) + sum(not order.target_id for order in self._orders)
            if not target_id and max_targets > 1 and count >= max_targets:
                raise ValueError(
                    f"{count} targets are followed, and max_targets is {max_targets}; remove one first, send the "
                    f"target_id of the one to replace ({self._list()}), or raise max_targets"
                )
            order = Order(frame, box, target_id)
            self._orders.append(order)
            return order

    def next_id(self, order: Order) -> int:
        """The number that the order's target will have. Raises LookupError if the one to replace is gone meanwhile."""
        with self._lock:
            self._expect_wanted(order)
            if order.target_id:
                self._expect(order.target_id)
            return order.target_id or self._last_id + 1

    def learned(self, order: Order, target_id: int, report: Report, max_targets: int) -> None:
        """Lists the order's target; with `max_targets` at 1 it is the only one from now on.

        Raises:
            LookupError: if it was removed while it was learned; it is not listed then.
        """
        with self._lock:
            self._last_id = max(self._last_id, target_id)
            self._expect_wanted(order)
            if max_targets == 1:
                self._followed.clear()
            frame = order.frame
            self._followed[target_id] = FollowedTarget(frame.sequence, report, (frame, order.box))

    def give_up(self, order: Order) -> None:
        """Ends an order, whatever became of it."""
        with self._lock:
            if order in self._orders:
                self._orders.remove(order)

    def remove(self, target_id: int) -> bool:
        """Removes a target, learned or not; returns whether there was one."""
        with self._lock:
            orders = [order for order in self._orders if order.target_id == target_id]
            self._withdraw(orders)
            return self._followed.pop(target_id, None) is not None

    def clear(self) -> int:
        """Removes all targets, learned or not; returns how many there were."""
        with self._lock:
            new = sum(not order.target_id and not order.withdrawn for order in self._orders)
            self._withdraw(self._orders)
            count = len(self._followed) + new
            self._followed.clear()
            return count

    def _withdraw(self, orders: list[Order]) -> None:
        for order in orders:
            order.withdrawn = True

    def _expect_wanted(self, order: Order) -> None:
        if order.withdrawn:
            raise LookupError("the target was removed by another request before it was learned")

    def _expect(self, target_id: int) -> None:
        if target_id not in self._followed:
            raise LookupError(f"there is no target {target_id}; followed now: {self._list()}")

    def _list(self) -> str:
        return ", ".join(map(str, sorted(self._followed))) or "none"
