# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Draws the debug image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atom_core.drawing import STATE_COLORS, Color, Mark, annotate
from atom_ros.report import Report, Status

COLORS: dict[Status, Color] = {status: STATE_COLORS[status.name] for status in Status}


def draw(image: np.ndarray, reports: Sequence[Report], fps: float) -> np.ndarray:
    """A copy of an image (H, W, 3; uint8 RGB) with the targets and the frame rate, see `atom_core.drawing.annotate`."""
    marks = [Mark(report.status.name, _caption(report), report.box) for report in reports]
    return annotate(image, marks, f"{fps:.1f} fps")


def _caption(report: Report) -> str:
    if report.status is Status.IDLE:
        return "IDLE  no target"
    return f"{report.target_id}  {report.status.name}  {report.confidence:.2f}"
