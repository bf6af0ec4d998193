# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Entry points of `ros2 run atom_tracker ...`: Ctrl-C (SIGINT) and SIGTERM end the programs without a traceback.

Their imports take seconds, during which Python would raise KeyboardInterrupt anywhere. So signal handlers are installed
before anything else is imported. (In the first tenth of a second, while Python itself starts, this is not possible.)

The programs that `ros2 launch` starts end without the interpreter's own last steps: taking PyTorch's modules apart
takes 0.7 s of processor time, which on a loaded machine is more than the 5 s that launch grants.
"""

from __future__ import annotations

import importlib
import signal
from functools import partial
from typing import NoReturn

from atom_core.interrupts import INTERRUPTED
from atom_ros.ending import exit_now, ignore_signals


def run(module: str, status: int = 0) -> NoReturn:
    """Runs `main` of a module, and ends the process with the status that it returns.

    Until `main` installs its own handlers, signals end the process with `status`.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: exit_now(status))
    exit_now(importlib.import_module(module).main())


def run_command(module: str) -> int:
    """Runs `main` of a module that handles KeyboardInterrupt itself; returns its status."""
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


def select_target() -> NoReturn:
    """Runs the window, which `ros2 launch` starts, too."""
    exit_now(run_command("atom_ros.programs.select_target"))


check_setup = partial(run, "atom_ros.programs.check_setup", INTERRUPTED)
track_bag = partial(run_command, "atom_ros.programs.track_bag")
