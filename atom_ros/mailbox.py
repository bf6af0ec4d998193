# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Passes commands and images from the node's callbacks to the worker: every command, but only the newest image."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

FrameT = TypeVar("FrameT")
CommandT = TypeVar("CommandT")


class Mailbox(Generic[FrameT, CommandT]):
    """One slot for a frame, a queue of commands, and a way to wait for either. Thread-safe."""

    def __init__(self) -> None:
        self._frame: FrameT | None = None
        self._commands: deque[CommandT] = deque()
        self._closed = False
        self._woken = False
        self._changed = threading.Condition()

    def put_frame(self, frame: FrameT) -> None:
        """Puts a frame into the slot; the newest replaces one that was not taken."""
        with self._changed:
            self._frame = frame
            self._changed.notify()

    def put_command(self, command: CommandT) -> None:
        """Queues a command; raises RuntimeError after `close`."""
        with self._changed:
            if self._closed:
                raise RuntimeError("the mailbox is closed")
            self._commands.append(command)
            self._changed.notify()

    def wake(self) -> None:
        """Ends the current or the next `wait`: the worker has something else to do."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def wait(self, block: bool = True) -> bool:
        """Waits for a command or a frame (not at all if `block` is false); returns False once the mailbox is closed."""
        with self._changed:
            if block:
                self._changed.wait_for(lambda: self._closed or self._woken or self._commands or self._frame is not None)
            self._woken = False
            return not self._closed

    def take_command(self) -> CommandT | None:
        """Returns the oldest command, or None."""
        with self._changed:
            return self._commands.popleft() if self._commands else None

    def take_frame(self) -> FrameT | None:
        """Returns the frame and empties the slot; None if it is empty."""
        with self._changed:
            frame, self._frame = self._frame, None
            return frame

    def close(self) -> list[CommandT]:
        """Ends every wait, now and later; returns the commands that nobody took."""
        with self._changed:
            self._closed = True
            self._frame = None
            left = list(self._commands)
            self._commands.clear()
            self._changed.notify_all()
            return left
