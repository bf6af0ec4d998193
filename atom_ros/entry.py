# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Entry points of `ros2 run atom_tracker ...`: Ctrl-C (SIGINT) and SIGTERM end the programs without a traceback.

Their imports take seconds, during which Python would raise KeyboardInterrupt anywhere. So signal handlers are installed
before anything else is imported. (In the first tenth of a second, while Python itself starts, this is not possible.)
"""

from __future__ import annotations

import importlib
import signal
from functools import partial

from atom_core.interrupts import INTERRUPTED
from atom_ros.ending import exit_now, ignore_signals


def run(module: str, status: int = 0) -> int:
    """Runs `main` of a module. Until that installs its own handlers, signals end the process with this status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: exit_now(status))
    ending_status = importlib.import_module(module).main()
    ignore_signals()
    return ending_status


def run_command(module: str) -> int:
    """Runs `main` of a module that handles KeyboardInterrupt itself."""
    before = signal.signal(signal.SIGINT, lambda *_: exit_now(INTERRUPTED))
    main = importlib.import_module(module).main
    signal.signal(signal.SIGINT, before)
    try:
        return main()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        ignore_signals()


tracker_node = partial(run, "atom_ros.run_tracker")
video_camera = partial(run, "atom_ros.programs.video_camera")
simulated_robot = partial(run, "atom_ros.programs.simulated_robot")
follow_target = partial(run, "atom_ros.programs.follow_target")
web = partial(run, "atom_ros.web.command")
select_target = partial(run_command, "atom_ros.programs.select_target")
check_setup = partial(run, "atom_ros.programs.check_setup", INTERRUPTED)
track_bag = partial(run_command, "atom_ros.programs.track_bag")
