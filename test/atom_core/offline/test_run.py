# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The loop over frames, with targets that stay where they were set."""

import os
import signal
from collections.abc import Collection, Generator
from typing import Any

import numpy as np
import pytest

from atom_core.boxes import Box
from atom_core.data.images import PixelRange
from atom_core.offline.events import TargetEvent
from atom_core.offline.frames import SourceFrame
from atom_core.offline.results import FrameResult, TargetResult, TargetState
from atom_core.offline.run import OfflineRun, RunEnding, StopRequest, Tally

BOX, OTHER = (1.0, 2.0, 8.0, 8.0), (3.0, 2.0, 8.0, 8.0)


class StillTargets:
    """Stands for NumberedTargets: every target is found where it was set."""

    def __init__(self) -> None:
        self.boxes: dict[int, Box] = {}

    def set(self, target_id: int, image: np.ndarray, box: Box) -> TargetResult:
        if box[2] > image.shape[1]:
            raise ValueError("the box is too large")
        self.boxes[target_id] = box
        return TargetResult.given(target_id, box)

    def drop(self, target_id: int) -> None:
        del self.boxes[target_id]

    def track(self, image: np.ndarray, leave_out: Collection[int] = ()) -> dict[int, TargetResult]:
        kept = {number: box for number, box in self.boxes.items() if number not in leave_out}
        return {number: TargetResult(number, TargetState.TRACKING, box, 1.0, 1.0, 1.0) for number, box in kept.items()}

    def state(self) -> dict[str, Any]:
        return dict(self.boxes)


class Frames:
    """A recording of blank frames, of which some cannot be read."""

    name, fps, damage = "frames", 30.0, None

    def __init__(self, count: int, unreadable: Collection[int] = ()) -> None:
        self.pixel_range = PixelRange()
        self._count = count
        self._unreadable = unreadable
        self.is_closed = False

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Generator[SourceFrame]:
        try:
            for index in range(self._count):
                yield SourceFrame(index, index * 10**9, lambda index=index: self._decode(index))
        finally:
            self.is_closed = True

    def _decode(self, index: int) -> np.ndarray:
        if index in self._unreadable:
            raise ValueError(f"frame {index} is damaged")
        return np.zeros((16, 20, 3), np.uint8)


class Rows:
    """A sink that keeps what it gets: for each frame the numbers, states and boxes of its targets."""

    def __init__(self) -> None:
        self.rows: list[list[tuple[int, str, Box | None]]] = []

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        self.rows.append([(t.target_id, t.state.value, t.box) for t in result.targets])


def process(events: list[TargetEvent], source: Frames, limit: int | None = None) -> tuple[OfflineRun, RunEnding, Rows]:
    sink = Rows()
    run = OfflineRun(StillTargets(), events, [sink])
    return run, run.process(source, StopRequest(), limit), sink


def test_targets_are_set_moved_and_dropped_in_their_frames() -> None:
    events = [TargetEvent(1, BOX, frame=0), TargetEvent(2, OTHER, frame=1), TargetEvent(1, None, frame=2)]
    run, ending, sink = process(events, Frames(4))
    assert ending is RunEnding.COMPLETE and run.tally.frames == 4
    assert sink.rows == [
        [(1, "given", BOX)],
        [(1, "tracking", BOX), (2, "given", OTHER)],
        [(2, "tracking", OTHER)],
        [(2, "tracking", OTHER)],
    ]


def test_an_event_on_an_unreadable_frame_waits_for_the_next() -> None:
    source = Frames(3, unreadable=[0])
    run, ending, sink = process([TargetEvent(1, BOX, frame=0)], source)
    assert ending is RunEnding.INCOMPLETE
    assert sink.rows == [[], [(1, "given", BOX)], [(1, "tracking", BOX)]]
    assert list(run.complaints(source)) == ["1 frames could not be read; the first: frame 0 is damaged"]


def test_an_event_after_the_end_is_reported() -> None:
    source = Frames(2)
    run, ending, _ = process([TargetEvent(1, BOX, stamp=5 * 10**9, origin="boxes.csv line 2")], source)
    assert ending is RunEnding.INCOMPLETE
    (complaint,) = run.complaints(source)
    assert complaint.startswith("boxes.csv line 2: frames has no readable frame at or after 5.0")
    assert complaint.endswith("it has 2 frames, the last of 1.000000000")


def test_a_limit_ends_the_run_and_closes_the_source() -> None:
    source = Frames(10)
    run, ending, _ = process([TargetEvent(1, BOX, frame=0)], source, limit=3)
    assert (ending, run.tally.frames, source.is_closed) == (RunEnding.COMPLETE, 3, True)


def test_a_bad_box_names_where_it_was_written() -> None:
    with pytest.raises(ValueError, match=r"boxes\.csv line 3: the box is too large"):
        process([TargetEvent(1, (0.0, 0.0, 99.0, 9.0), frame=0, origin="boxes.csv line 3")], Frames(1))


def test_a_signal_ends_the_run_after_its_frame_and_a_second_one_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert not stop.is_set
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set
        assert OfflineRun(StillTargets(), [], []).process(Frames(3), stop) is RunEnding.INTERRUPTED
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_tally_counts_states_and_keeps_the_first_error() -> None:
    tally = Tally()
    given = TargetResult.given(1, BOX)
    tally.count(FrameResult(0, 7, (given, TargetResult.given(2, BOX))))
    tally.count(FrameResult(1, 8, error="first"))
    tally.count(FrameResult(2, 9, error="second"))
    assert (tally.frames, tally.unreadable, tally.first_error, tally.last_stamp) == (3, 2, "first", 9)
    assert {state.value: count for state, count in tally.states.items() if count} == {"given": 2}
