# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""cv_bridge, if it is installed and works with the installed NumPy, for encodings that `atom_ros.images` lacks.

A cv_bridge that was compiled for another NumPy fails at its import, or ends the process at its first conversion. So the
first image of such an encoding triggers one trial, in a separate process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from atom_core.data.images import PixelRange, opencv_to_rgb

if TYPE_CHECKING:
    from sensor_msgs.msg import Image

_TRIAL = """
from types import SimpleNamespace
from cv_bridge import CvBridge
image = SimpleNamespace(encoding="mono8", width=2, height=2, step=2, is_bigendian=0, data=bytes(4))
assert CvBridge().imgmsg_to_cv2(image, "rgb8").shape == (2, 2, 3)
"""
_PATIENCE = 60.0  # s for the trial; importing OpenCV is slow on a busy machine


def obstacle() -> str | None:
    """Why cv_bridge cannot be used; None if it can. The first call takes a second or more."""
    return load()[1]


def knows(encoding: str) -> bool:
    """Whether cv_bridge can be used and knows an encoding."""
    bridge, _ = load()
    if bridge is None:
        return False
    try:
        bridge.encoding_to_cvtype2(encoding)
    except Exception:  # the boundary to a library: CvBridgeError, and others for strings that are not encodings
        return False
    return True


def to_rgb(message: Image, pixel_range: PixelRange | None) -> np.ndarray:
    """Decodes an image by cv_bridge.

    Args:
        message: of an encoding that it knows.
        pixel_range: converts grey pixels of more than 8 bits, such as 16SC1.

    Returns:
        (height, width, 3) uint8 RGB, contiguous.

    Raises:
        ValueError: if it cannot be converted to colours; the message names the encoding.
    """
    bridge, reason = load()
    if bridge is None:
        raise ValueError(f"encoding '{message.encoding}' needs cv_bridge, and {reason}")
    try:
        return np.ascontiguousarray(bridge.imgmsg_to_cv2(message, desired_encoding="rgb8"))
    except Exception as no_color:  # as above: encodings such as 16SC1 have no colours to convert
        try:
            pixels = np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding="passthrough"))
        except Exception as error:
            raise ValueError(f"cv_bridge cannot decode the encoding '{message.encoding}': {error}") from no_color
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4):
        raise ValueError(f"encoding '{message.encoding}' has {pixels.shape[2]} channels; expected 1, 3 or 4")
    return opencv_to_rgb(np.ascontiguousarray(pixels), pixel_range)


@cache
def load() -> tuple[Any | None, str | None]:
    """A CvBridge, or the reason why there is none."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _TRIAL],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"cv_bridge could not be tried out ({error})"
    if trial.returncode == 0:
        from cv_bridge import CvBridge

        return CvBridge(), None
    if "No module named 'cv_bridge'" in trial.stderr:
        return None, "cv_bridge is not installed"
    last = trial.stderr.strip().splitlines()[-1:] or [f"it ended with status {trial.returncode}"]
    return None, f"the installed cv_bridge does not work with NumPy {np.__version__} ({last[0]})"
