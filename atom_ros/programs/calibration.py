# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Reads camera calibrations written by the ROS package camera_calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from sensor_msgs.msg import CameraInfo

_MATRICES = {"camera_matrix": ("k", 9), "rectification_matrix": ("r", 9), "projection_matrix": ("p", 12)}


def read_calibration(path: Path) -> CameraInfo:
    """Reads a calibration file; the header is left empty.

    Raises:
        OSError: if the file cannot be read.
        ValueError: naming the file and the entry that is missing or wrong.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML file: {error}") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{path} holds no calibration; expected the YAML file that camera_calibration writes")
    try:
        info = CameraInfo(width=_side(entries, "image_width"), height=_side(entries, "image_height"))
        info.distortion_model = str(entries.get("distortion_model", "plumb_bob"))
        info.d = _numbers(entries, "distortion_coefficients")
        for name, (field, count) in _MATRICES.items():
            setattr(info, field, _numbers(entries, name, count))
    except KeyError as error:
        raise ValueError(f"{path} has no entry {error}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    return info


def _side(entries: dict[str, Any], name: str) -> int:
    side = int(entries[name])
    if not 1 <= side <= 65536:
        raise ValueError(f"{name} is {side}; expected 1 to 65536 px")
    return side


def _numbers(entries: dict[str, Any], name: str, count: int | None = None) -> list[float]:
    numbers = [float(value) for value in entries[name]["data"]]
    if count is not None and len(numbers) != count:
        raise ValueError(f"{name} has {len(numbers)} numbers; expected {count}")
    return numbers
