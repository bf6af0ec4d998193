# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The node's process with a tracker that takes its time and has no network; `python slow_node.py --ros-args ...`."""

from __future__ import annotations

import sys
import time

import numpy as np

from atom_ros import ending, run_tracker

SECONDS = {"--slow": 1.5, "--stuck": 300.0}  # for learning a target
LOADING = 1.5  # s


class AnnouncedEnding(ending.Ending):
    """Says when signals are heard."""

    def __init__(self) -> None:
        super().__init__()
        print("signals are heard", flush=True)


def use_slow_tracker(seconds: float) -> None:
    from number_tracker import NumberTracker

    from atom_core.tracker import MultiTracker

    class SlowTracker(NumberTracker):
        def warm_up(self) -> None:
            time.sleep(LOADING)

        def add(self, image: np.ndarray, box: tuple[float, ...], target_id: int) -> int:
            time.sleep(seconds)
            return super().add(image, box, target_id)

    MultiTracker.from_pretrained = lambda *_: SlowTracker()


if __name__ == "__main__":
    run_tracker.Ending = AnnouncedEnding
    for option in SECONDS.keys() & set(sys.argv):
        sys.argv.remove(option)
        use_slow_tracker(SECONDS[option])
    sys.exit(run_tracker.main())
