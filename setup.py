# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Installs the tracker alone, without ROS: `pip install .` gives atom_core, its weights and its programs.

The ROS package is built by colcon from CMakeLists.txt, which does not read this file.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
PACKAGE_XML = ElementTree.parse(ROOT / "package.xml")  # the version and the description have their one place there

setup(
    name="atom_core",
    version=PACKAGE_XML.findtext("version"),
    description="Visual object tracking after ATOM: initialise on one box, then follow",
    long_description=" ".join(PACKAGE_XML.findtext("description").split()),
    author="The atom_tracker Authors",
    license="Apache-2.0",
    packages=[*find_packages(include=["atom_core", "atom_core.*"]), "atom_core._weights"],
    package_dir={"atom_core._weights": "weights"},
    package_data={"atom_core": ["py.typed"], "atom_core._weights": ["*.safetensors", "*.md"]},
    python_requires=">=3.11",
    install_requires=[
        "matplotlib>=3.6",
        "numpy>=1.26",
        "opencv-python-headless>=4.6",
        "safetensors>=0.4.1",
        "torch>=2.1",
        "torchvision>=0.16",
        "tqdm>=4.66",
    ],
    extras_require={"cpu": ["openvino>=2024.1"], "vot": ["vot-trax>=4.0"]},
    entry_points={
        "console_scripts": [
            "atom-track = atom_core.offline.command:main",
            "atom-train = atom_core.training.command:main",
            "atom-bench = atom_core.benchmark.command:main",
            "atom-eval = atom_core.evaluation.command:main",
            "atom-trax = atom_core.evaluation.vot:main",
            "atom-weights = atom_core.checkpoint.command:main",
        ]
    },
)
