# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
from importlib.util import find_spec

import cv2
import numpy as np
import pytest

from atom_core.data.held_back import held_back

HAS_TOOLKIT = find_spec("got10k") is not None
collect_ignore = [] if HAS_TOOLKIT else ["test_layouts.py", "test_metrics.py", "test_submission.py"]


def pytest_report_header() -> str:
    """Says what is left out, and why."""
    return "got10k: installed" if HAS_TOOLKIT else f"got10k is not installed: without {', '.join(collect_ignore)}"


@pytest.fixture(scope="session")
def stills(tmp_path_factory):
    """Dim, blurred noise with a white ellipse, its box and its mask, in 8 images that are held back and 8 others."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "masks"):
        (folder / "things" / name).mkdir(parents=True)
    files = [f"{i}.png" for i in range(2000)]
    files = [f for f in files if held_back(f)][:8] + [f for f in files if not held_back(f)][:8]
    rng = np.random.default_rng(0)
    boxes = {}
    for file in files:
        image = cv2.GaussianBlur(rng.integers(0, 100, (480, 640, 3), np.uint8), (0, 0), 3)
        mask = np.zeros((480, 640), np.uint8)
        x, y = (int(v) for v in rng.integers((200, 150), (400, 300)))
        cv2.ellipse(mask, (x, y), (30, 40), 0, 0, 360, 255, -1)
        image[mask > 0] = 255
        boxes[file] = [[x - 30.5, y - 40.5, 61.0, 81.0]]
        cv2.imwrite(str(folder / "things" / "images" / file), image)
        cv2.imwrite(str(folder / "things" / "masks" / file), mask)
    (folder / "things" / "boxes.json").write_text(json.dumps(boxes))
    return folder
