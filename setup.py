# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Installs the tracker alone, without ROS: `pip install .` gives atom_core, its weights and its programs.

The metadata is in pyproject.toml; here is what a static file cannot say. The ROS package is built by colcon from
CMakeLists.txt, which reads neither.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE_XML = ElementTree.parse(Path(__file__).resolve().parent / "package.xml")

setup(
    version=PACKAGE_XML.findtext("version"),  # its one place
    packages=[*find_packages(include=["atom_core", "atom_core.*"]), "atom_core._weights"],
    package_dir={"atom_core._weights": "weights"},
    package_data={"atom_core": ["py.typed"], "atom_core._weights": ["*.safetensors", "*.md"]},
)
