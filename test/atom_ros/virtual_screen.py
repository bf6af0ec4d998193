# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A screen without a monitor, whose pixels can be read, and a mouse and a keyboard without a hand."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np

MISSING = [program for program in ("Xvfb", "xdotool") if shutil.which(program) is None]


class VirtualScreen:
    """Xvfb, with xdotool as mouse and keyboard."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{width}x{height}x24", "-fbdir", str(folder)]
        with (folder / "Xvfb.log").open("w") as log:
            self._server = subprocess.Popen(command, pass_fds=[write], stdout=log, stderr=log)
        os.close(write)
        with os.fdopen(read) as numbers:
            self.display = f":{numbers.readline().strip()}"
        self._frame_buffer = folder / "Xvfb_screen0"

    def close(self) -> None:
        self._server.terminate()
        self._server.wait()

    def picture(self) -> np.ndarray:
        """What is on the screen, (height, width, 3) uint8 RGB. The file is an X window dump."""
        dump = self._frame_buffer.read_bytes()
        header = struct.unpack(">25I", dump[:100])
        header_size, width, height, bytes_per_line, colors = header[0], header[4], header[5], header[12], header[19]
        pixels = np.frombuffer(dump, np.uint8, bytes_per_line * height, header_size + 12 * colors)
        return pixels.reshape(height, bytes_per_line)[:, : 4 * width].reshape(height, width, 4)[:, :, 2::-1]

    def do(self, *actions: object) -> str:
        """Runs xdotool, such as `do("mousemove", 10, 20, "click", 1)`; returns what it prints."""
        environment = os.environ | {"DISPLAY": self.display}
        command = ["xdotool", *map(str, actions)]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Moves the mouse from one pixel to another with the left button down, and leaves the button down."""
        middle = ((start[0] + end[0]) // 2, (start[1] + end[1]) // 2)
        self.do("mousemove", *start, "mousedown", 1, "mousemove", *middle, "mousemove", *end)

    def release(self) -> None:
        self.do("mouseup", 1)

    def key(self, name: str) -> None:
        self.do("key", name)
