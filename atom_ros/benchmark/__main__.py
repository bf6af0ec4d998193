# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m atom_ros.benchmark`: see `atom_ros.benchmark.command`."""

import sys

from atom_ros.benchmark.command import main

sys.exit(main())
