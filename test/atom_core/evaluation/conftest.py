# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import signal
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

HAS_TOOLKIT = find_spec("got10k") is not None
collect_ignore = [] if HAS_TOOLKIT else ["test_layouts.py", "test_metrics.py", "test_submission.py"]


def pytest_report_header() -> str:
    """Says what is left out, and why."""
    return "got10k: installed" if HAS_TOOLKIT else f"got10k is not installed: without {', '.join(collect_ignore)}"


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Makes SIGINT an exception: what a shell starts in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
