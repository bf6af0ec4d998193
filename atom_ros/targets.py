# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The list of targets: those being tracked, and those requested but not yet learned.

Requests change this list at once, even while the tracker's thread is busy: no report after the answer contains a
removed target. The thread checks the list before each step and drops targets that are no longer in it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

from atom_core.boxes import Box, as_box
from atom_ros.frame_buffer import Frame
from atom_ros.report import Report

_TRAIL = 1000  # positions kept for each target; the buffer seldom holds more images
_REMOVED = "the target was removed by another request before it was learned"
_REPLACED = "a newer request for the same target came before this one was begun; that one is learned instead"


class RemovedError(LookupError):
    """The target was removed before it was learned."""

    def __init__(self) -> None:
        super().__init__(_REMOVED)


class ReplacedError(LookupError):
    """A newer request for the same target came before this one was started."""

    def __init__(self) -> None:
        super().__init__(_REPLACED)


@dataclass
class FollowedTarget:
    """A target that the tracker has learned."""

    seen: int  # sequence number of the newest frame in which it was tracked
    given: Report | None  # of the frame in which it was set, for that frame's report; None after a later one
    # Where it was TRACKING last, or was set: it can be learned again from there. None on the CPU, where that never
    # happens: a frame takes megabytes.
    sure: tuple[Frame, Box] | None
    newest: Report | None = None  # of the newest frame in which it was tracked; before the first, `given`
    is_tracking: bool = True  # in the newest frame in which it was tracked
    trail: deque[tuple[int, Box]] = field(default_factory=lambda: deque(maxlen=_TRAIL))  # TRACKING: frame and box

    def place(self, sequence: int) -> Box | None:
        """Its box in a frame, interpolated between the nearest frames in which it was TRACKING; None outside."""
        before = max((row for row in self.trail if row[0] <= sequence), default=None)
        after = min((row for row in self.trail if row[0] >= sequence), default=None)
        if before is None or after is None:
            return None
        share = (sequence - before[0]) / max(1, after[0] - before[0])
        return as_box(a + share * (b - a) for a, b in zip(before[1], after[1], strict=True))


@dataclass(eq=False)
class Order:
    """A target to learn, and the future of its number."""

    frame: Frame
    box: Box
    target_id: int  # of the target that it replaces under the same number; 0 for a new one
    future: Future = field(default_factory=Future)
    class_id: str = ""  # from the detector
    is_begun: bool = False
    is_withdrawn: bool = False  # the target was removed before it was learned


class Targets:
    """The list of targets. Thread-safe."""

    def __init__(self, last_id: int = 0) -> None:
        """Args: `last_id` is the highest number used so far."""
        self._lock = threading.Lock()
        self._followed: dict[int, FollowedTarget] = {}
        self._orders: list[Order] = []
        self._last_id = last_id
        self._is_closed = False

    @property
    def last_id(self) -> int:
        """The highest target number used so far, 0 before the first."""
        return self._last_id

    @property
    def ids(self) -> tuple[int, ...]:
        """Numbers of the tracked targets, the oldest first."""
        with self._lock:
            return tuple(sorted(self._followed))

    def followed(self) -> dict[int, FollowedTarget]:
        """The tracked targets by number, the oldest first."""
        with self._lock:
            return dict(sorted(self._followed.items()))

    def order(
        self,
        frame: Frame,
        box: Box,
        target_id: int,
        max_targets: int,
        future: Future | None = None,
        class_id: str = "",
    ) -> Order:
        """Requests a target. The order ends with `learned` or `give_up`; `future` gets the target's number.

        A waiting older order for the same target is answered as replaced. With `max_targets` at 1 all
        orders are for the same target.

        Raises:
            LookupError: if no target has the number `target_id` (0: a new target).
            ValueError: if there is no room for a new one. If `max_targets` is 1, a new one replaces the other.
            CancelledError: after `close`.
        """
        with self._lock:
            if self._is_closed:
                raise CancelledError
            if target_id:
                self._expect(target_id)
            count = len(self._followed) + sum(not order.target_id for order in self._orders)
            if not target_id and max_targets > 1 and count >= max_targets:
                raise ValueError(
                    f"{count} targets are followed, and max_targets is {max_targets}; remove one first, send the "
                    f"target_id of the one to replace ({self._list()}), or raise max_targets"
                )
            same = [o for o in self._orders if max_targets == 1 or (target_id and o.target_id == target_id)]
            replaced = self._withdraw([o for o in same if not o.is_begun])
            order = Order(frame, box, target_id, future or Future(), class_id)
            self._orders.append(order)
        _refuse(replaced, ReplacedError())
        return order

    def begin(self, held: Collection[int], max_targets: int) -> Order | None:
        """Returns the oldest order that can be learned now, or None.

        Args:
            held: numbers of targets that must not be relearned yet. With `max_targets` at 1, any of them holds back all
                orders.
            max_targets: as in `order`.
        """
        with self._lock:
            for order in self._orders:
                is_held = order.target_id in held or (max_targets == 1 and held)
                if not order.is_begun and not is_held:
                    order.is_begun = True
                    return order
            return None

    @property
    def has_orders(self) -> bool:
        """Whether there is a target to learn."""
        return bool(self._orders)

    def next_id(self, order: Order) -> int:
        """The number for the order's target. Raises LookupError if the target to replace no longer exists."""
        with self._lock:
            self._expect_wanted(order)
            if order.target_id:
                self._expect(order.target_id)
            return order.target_id or self._last_id + 1

    def learned(self, order: Order, target_id: int, report: Report, max_targets: int, keep_frame: bool = True) -> None:
        """Lists the order's target; with `max_targets` at 1 it is the only one from now on.

        Args:
            order: that has been carried out.
            target_id: number of the target.
            report: on the order's frame.
            max_targets: as in `order`.
            keep_frame: so that the target can be learned again.

        Raises:
            LookupError: if it was removed while it was learned; then it is not listed.
            CancelledError: if this was closed in the meantime.
        """
        with self._lock:
            self._last_id = max(self._last_id, target_id)
            self._expect_wanted(order)
            if max_targets == 1:
                self._followed.clear()
            frame = order.frame
            sure = (frame, order.box) if keep_frame else None
            self._followed[target_id] = target = FollowedTarget(frame.sequence, report, sure)
            target.trail.append((frame.sequence, order.box))

    def give_up(self, order: Order) -> None:
        """Ends an order, learned or not."""
        with self._lock:
            if order in self._orders:
                self._orders.remove(order)

    def remove(self, target_id: int) -> bool:
        """Removes a target, learned or not; returns whether there was one."""
        with self._lock:
            waiting = self._withdraw([order for order in self._orders if order.target_id == target_id])
            had = self._followed.pop(target_id, None) is not None
        _refuse(waiting, RemovedError())
        return had

    def clear(self) -> int:
        """Removes all targets, learned or not; returns how many there were."""
        with self._lock:
            new = sum(not order.target_id and not order.is_withdrawn for order in self._orders)
            waiting = self._withdraw(list(self._orders))
            count = len(self._followed) + new
            self._followed.clear()
        _refuse(waiting, RemovedError())
        return count

    def close(self) -> None:
        """Cancels waiting orders; an order being learned ends without a target."""
        with self._lock:
            self._is_closed = True
            waiting = self._withdraw(list(self._orders))
        for order in waiting:
            order.future.cancel()

    def _withdraw(self, orders: list[Order]) -> list[Order]:
        """Withdraws orders; returns the waiting ones, whose futures must be completed outside the lock."""
        waiting = [order for order in orders if not order.is_begun]
        self._orders = [order for order in self._orders if order not in waiting]
        for order in orders:
            order.is_withdrawn = True
        return waiting

    def _expect_wanted(self, order: Order) -> None:
        if self._is_closed:
            raise CancelledError
        if order.is_withdrawn:
            raise RemovedError

    def _expect(self, target_id: int) -> None:
        if target_id not in self._followed:
            raise LookupError(f"there is no target {target_id}; followed now: {self._list()}")

    def _list(self) -> str:
        return ", ".join(map(str, sorted(self._followed))) or "none"


def _refuse(orders: list[Order], reason: LookupError) -> None:
    for order in orders:
        order.future.set_exception(reason)
