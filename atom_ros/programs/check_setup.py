# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`ros2 run atom_tracker check_setup`: checks device and engine, in the node's own Python.

Loads a network, tracks a target through a few images, and shows the device, the engine and what would make it faster.
The exit status is 0 if the tracker works and uses the machine's hardware, 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from atom_core.arguments import add_weights

if TYPE_CHECKING:
    from atom_core.tracker import AtomTracker

_FRAMES = 10
# Files of a GPU's driver: a PC's, and a Jetson's.
_GPU_SIGNS = ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu")


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns the exit status."""
    parser = argparse.ArgumentParser(prog="check_setup", description=__doc__.partition("\n")[0])
    add_weights(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    arguments = parser.parse_args(argv)
    print(f"Python   {sys.executable} ({sys.version.split()[0]})")
    try:
        from atom_core.tracker import AtomTracker

        tracker = AtomTracker.from_pretrained(arguments.weights, arguments.device)
        milliseconds = _follow(tracker)
    except Exception as error:  # the boundary: the user sees every error
        print(f"does not work: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    import torch

    print(f"PyTorch  {torch.__version__} in {Path(torch.__file__).parent}")
    device = str(tracker.device)
    if tracker.device.type == "cuda":
        device += f" ({torch.cuda.get_device_name(tracker.device)})"
    print(f"device {device}, engine {tracker.engine} ({tracker.execution}), {milliseconds:.0f} ms an image")
    complaints = advice(arguments.device, tracker.device.type, torch.version.cuda)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def advice(asked: str, used: str, cuda: str | None, signs: tuple[str, ...] = _GPU_SIGNS) -> list[str]:
    """Advice if the machine could be faster.

    Args:
        asked: requested device.
        used: "cuda" or "cpu", the device in use.
        cuda: the version that PyTorch was built for, or None.
        signs: files that show a GPU's driver.
    """
    if used != "cpu":
        return []
    lines = []
    if asked == "auto" and any(Path(sign).exists() for sign in signs):
        reason = (
            f"(for CUDA {cuda}) cannot use it: update its driver, or install a PyTorch for the driver's CUDA"
            if cuda
            else "was built without CUDA, as the distribution's is: install another one, see the README, On a robot"
        )
        lines.append(f"There is a GPU, but PyTorch {reason}")
    if find_spec("openvino") is None:
        lines.append("OpenVINO is missing; it makes the network several times faster on the CPU: pip install openvino")
    return lines


def _follow(tracker: AtomTracker) -> float:
    """Tracks a bright square through some images; returns the mean time of the last ones in milliseconds."""
    import numpy as np

    rng = np.random.default_rng(0)
    background = rng.integers(0, 120, (240, 320, 3), np.uint8)
    start = 0.0
    for index in range(_FRAMES):
        image = background.copy()
        image[100:140, 100 + index : 140 + index] = (250, 200, 90)
        if index == 0:
            tracker.initialize(image, (100, 100, 40, 40))
            continue
        if index == _FRAMES // 2:  # the first ones may include set-up
            start = time.perf_counter()
        tracker.track(image)
    return 1000 * (time.perf_counter() - start) / (_FRAMES - _FRAMES // 2)


if __name__ == "__main__":
    sys.exit(main())
