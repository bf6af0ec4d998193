# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a part of the tests with the oldest versions that the package supports. Run by `make oldest`.

The versions are those that package.xml's keys install on Ubuntu 24.04, as far as there are wheels, see
requirements/oldest.txt. ROS 2 is not installed, so this tests the library and its programs, including track_bag.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements" / "oldest.txt"

# The quick tests that depend most on the versions of NumPy, OpenCV and PyTorch.
TESTS = (
    "test/atom_core/checkpoint",
    "test/atom_core/networks",
    "test/atom_core/offline",
    "test/atom_core/refinement",
    "test/atom_core/test_crop.py",
    "test/atom_core/test_tracker.py",
    "test/atom_ros/programs/test_track_bag.py",
)
# Every module of the library can be imported.
IMPORT_ALL = """
import importlib, pkgutil, atom_core
names = [m.name for m in pkgutil.walk_packages(atom_core.__path__, "atom_core.") if not m.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
import cv2, numpy, torch
print(len(names), "modules imported; NumPy", numpy.__version__, "OpenCV", cv2.__version__, "torch", torch.__version__)
"""


def main() -> int:
    """Makes or updates the environment and returns the tests' status."""
    parser = argparse.ArgumentParser(description="Test with the oldest versions that the package supports.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-oldest", help="environment (5 GB; made if missing)")
    options, tests = parser.parse_known_args()
    python = options.venv.absolute() / "bin" / "python"
    installed = options.venv / "installed.txt"
    if not installed.is_file() or installed.read_text() != REQUIREMENTS.read_text():
        subprocess.run([sys.executable, "-m", "venv", options.venv], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        print("installing the packages of requirements/oldest.txt (3 GB)", flush=True)
        subprocess.run([*pip, "--requirement", REQUIREMENTS], check=True)
        installed.write_text(REQUIREMENTS.read_text())
    # No packages of a sourced environment, such as ROS, may replace the old ones.
    foreign = ("PYTHONPATH", "AMENT_PREFIX_PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    imports = subprocess.run([python, "-c", IMPORT_ALL], cwd=ROOT, env=environment, check=False)
    cache = options.venv.absolute() / "pytest_cache"  # not the one of the current versions
    pytest = [python, "-m", "pytest", "-q", "-o", f"cache_dir={cache}", *(tests or TESTS)]
    return subprocess.run(pytest, cwd=ROOT, env=environment, check=False).returncode or imports.returncode


if __name__ == "__main__":
    sys.exit(main())
