# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from importlib.util import find_spec

HAS_TOOLKIT = find_spec("got10k") is not None
collect_ignore = [] if HAS_TOOLKIT else ["test_layouts.py", "test_metrics.py", "test_submission.py"]


def pytest_report_header() -> str:
    """Says what is left out, and why."""
    return "got10k: installed" if HAS_TOOLKIT else f"got10k is not installed: without {', '.join(collect_ignore)}"
