# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The loop over a recording's frames, with stopping, resuming and progress."""

from __future__ import annotations

import contextlib
import enum
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np
from tqdm import tqdm

from atom_core.boxes import Box
from atom_core.jobs import Steps
from atom_core.offline.events import TargetEvent
from atom_core.offline.frames import FrameSource, SourceFrame
from atom_core.offline.journal import Journal
from atom_core.offline.results import FrameResult, TargetResult, TargetState, format_stamp
from atom_core.offline.sinks import Sink
from atom_core.offline.targets import NumberedTargets


class RunEnding(enum.IntEnum):
    """How a run ended; the value is the program's exit status."""

    COMPLETE = 0
    INCOMPLETE = 1  # a part of the recording could not be used
    INTERRUPTED = 130  # as shells report Ctrl-C


@dataclass
class Tally:
    """The summary at the end of the run."""

    frames: int = 0
    unreadable: int = 0
    first_error: str = ""
    last_stamp: int | None = None
    states: dict[TargetState, int] = field(default_factory=lambda: dict.fromkeys(TargetState, 0))

    def count(self, result: FrameResult) -> None:
        """Counts a frame."""
        self.frames += 1
        self.last_stamp = result.stamp
        for target in result.targets:
            self.states[target.state] += 1
        if result.error is not None:
            self.unreadable += 1
            self.first_error = self.first_error or result.error


class StopRequest:
    """In its `with` block, Ctrl-C (or SIGTERM) requests that the run end after its frame; a second one ends it at once.

    Args:
        steps: of a job; its caller may also request the end.
    """

    def __init__(self, steps: Steps | None = None) -> None:
        self._asked = False
        self._steps = steps
        self._handlers: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    @property
    def is_set(self) -> bool:
        """Whether the run should end."""
        return self._asked or (self._steps is not None and self._steps.is_stopped)

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is not threading.main_thread():
            return self  # a cluster's worker handles its own signals
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


class OfflineRun:
    """Tracks targets through the frames and passes the results to the sinks.

    Args:
        targets: to track; empty at first.
        events: when they are set. An event on an unreadable frame waits for the next.
        sinks: get every frame, including those of the earlier run when a run is resumed.
        journal: stores what `--resume` needs; None for a camera, whose frames come only once.
    """

    def __init__(
        self,
        targets: NumberedTargets,
        events: Iterable[TargetEvent],
        sinks: Sequence[Sink],
        journal: Journal | None = None,
    ) -> None:
        self.tally = Tally()
        self.pending = list(events)
        self._targets = targets
        self._sinks = sinks
        self._journal = journal

    def process(
        self, source: FrameSource, stop: StopRequest, limit: int | None = None, steps: Steps | None = None
    ) -> RunEnding:
        """Processes the source's frames, at most `limit` of them; reports each to `steps`, or shows a progress bar.

        Raises:
            ValueError: if a box cannot be used; the message says where the user gave it.
            OSError: if a result cannot be written.
        """
        frames = iter(source)
        with contextlib.closing(frames), _progress(source, limit, steps) as count:
            for frame in frames:
                if stop.is_set:
                    return self._interrupted()
                result = self._result(frame)
                for sink in self._sinks:
                    sink.write(frame, result)
                self.tally.count(result)
                count()
                if limit is not None and self.tally.frames >= limit:
                    break
        return RunEnding.INCOMPLETE if self.tally.unreadable or self.pending or source.damage else RunEnding.COMPLETE

    def complaints(self, source: FrameSource) -> Iterator[str]:
        """Parts of the recording or of the request that were skipped."""
        if source.damage:
            yield f"{source.damage}; the results hold the {self.tally.frames} frames that could be read"
        if self.tally.unreadable:
            yield f"{self.tally.unreadable} frames could not be read; the first: {self.tally.first_error}"
        for event in self.pending:
            last = f"it has {self.tally.frames} frames"
            if event.stamp is not None:
                last += f", the last of {format_stamp(self.tally.last_stamp) or 'no stamp'}"
            when = f"frame {event.frame}" if event.frame is not None else format_stamp(event.stamp)
            yield f"{event.origin}: {source.name} has no readable frame at or after {when}; {last}"

    def _interrupted(self) -> RunEnding:
        if self._journal is not None and self.tally.frames > len(self._journal.results):
            self._journal.save(self._targets.state())
        return RunEnding.INTERRUPTED

    def _result(self, frame: SourceFrame) -> FrameResult:
        """The frame's result: from the earlier run if there is one, else computed now."""
        earlier = self._journal.results if self._journal is not None else []
        if self.tally.frames < len(earlier):
            return self._repeat(earlier[self.tally.frames], frame)
        if self._journal is not None and earlier and self.tally.frames == len(earlier):
            self._targets.restore(self._journal.state)
        result = self._find(frame)
        if self._journal is not None:
            self._journal.append(result, self._targets.state)
        return result

    def _repeat(self, result: FrameResult, frame: SourceFrame) -> FrameResult:
        """An earlier run's result, if that run had the same boxes so far; later boxes may have been corrected since."""
        due = self._take_due(frame) if result.error is None else []
        given = {target.target_id: target.box for target in result.targets if target.state is TargetState.GIVEN}
        if {event.target_id: event.box for event in due if event.box is not None} != given:
            raise ValueError(
                f"the unfinished run had other boxes in frame {frame.index}: {given or 'none'}; "
                "give them as before, or start over with --overwrite"
            )
        return result

    def _find(self, frame: SourceFrame) -> FrameResult:
        try:
            image = frame.decode()
        except ValueError as error:
            return FrameResult(frame.index, frame.stamp, error=str(error))
        start = time.perf_counter()
        due = self._take_due(frame)
        found = self._targets.track(image, leave_out={event.target_id for event in due})
        for event in due:
            if event.box is None:
                self._targets.drop(event.target_id)
            else:
                found[event.target_id] = self._set(event, event.box, image)
        milliseconds = (time.perf_counter() - start) * 1000.0
        ordered = tuple(found[target_id] for target_id in sorted(found))
        return FrameResult(frame.index, frame.stamp, ordered, processing_ms=milliseconds)

    def _set(self, event: TargetEvent, box: Box, image: np.ndarray) -> TargetResult:
        try:
            return self._targets.set(event.target_id, image, box)
        except ValueError as error:
            raise ValueError(f"{event.origin}: {error}") from error

    def _take_due(self, frame: SourceFrame) -> list[TargetEvent]:
        due = [event for event in self.pending if event.is_due(frame.index, frame.stamp)]
        self.pending = [event for event in self.pending if event not in due]
        return due


@contextlib.contextmanager
def _progress(source: FrameSource, limit: int | None, steps: Steps | None) -> Iterator[Callable[[], object]]:
    """The function to call after each frame.

    A progress bar shows the time left. In a log file each of its steps is a line, so it is updated seldom.
    """
    if steps is not None:
        yield steps.count
        return
    total = min(len(source) or sys.maxsize, limit or sys.maxsize)
    interval = 0.1 if sys.stderr.isatty() else 10.0
    known = total if total < sys.maxsize else None
    with tqdm(desc="tracking", unit="frame", total=known, mininterval=interval) as bar:
        yield bar.update
