# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command-line programs: atom-track, atom-train, atom-eval, atom-weights."""

from __future__ import annotations

from atom_core.evaluation.command import main as eval_main
from atom_core.offline.command import main as track_main
from atom_core.training.command import main as train_main
from atom_core.weights_command import main as weights_main

__all__ = ["eval_main", "track_main", "train_main", "weights_main"]
