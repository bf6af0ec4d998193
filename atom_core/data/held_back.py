# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Which still images are held back from training, so that networks can be measured on them."""

from __future__ import annotations

import hashlib
from pathlib import Path

_LIMIT = 13  # of 256: 5 % of the images


def held_back(path: str | Path) -> bool:
    """Whether an image is never trained on: 5 % of all file names, chosen by the name's SHA-1.

    The folder does not count, so an image stays held back wherever it is copied to.
    """
    return hashlib.sha1(Path(path).name.encode(), usedforsecurity=False).digest()[0] < _LIMIT
