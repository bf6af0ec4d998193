# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs for a cluster's workers, which import them by this name."""

import os
import signal
import time

from atom_core.jobs import Steps


def work(job: str | int, steps: Steps) -> int:
    """A job of this many frames; "kill" kills its worker, "endless" ends when asked to stop, "broken" fails."""
    if job == "kill":
        time.sleep(0.5)  # the scheduler hears of its beginning
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "broken":
        raise ValueError("no box in line 3")
    if job == "endless":
        while not steps.is_stopped:
            time.sleep(0.01)
            steps.count()
        return 0
    for _ in range(job):
        steps.count()
    return 10 * job
