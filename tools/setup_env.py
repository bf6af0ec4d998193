# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Builds the environment that `make demo`, `make test` and `make shell` run in. Run by `make env`.

It makes `.venv` in the checkout, installs the pinned packages of requirements/ (real ROS 2 Jazzy among them), and
builds the ROS package with colcon. Parts that are up to date are kept; incomplete ones are repaired.
Needs only Python's standard library, and a C++ compiler.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
INSTALLED = VENV / "installed.json"  # written when every package is in place
BUILT = ROOT / "install" / "built.sha256"  # written when the workspace is built
REQUIREMENTS = [ROOT / "requirements" / name for name in ("core.txt", "ros.txt", "dev.txt", "docs.txt")]
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
NO_DEPS = ROOT / "requirements" / "no_deps.txt"

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 12)
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
OLDEST_GLIBC = (2, 28)  # required by the ROS wheels
DISK_BYTES = 10 * 1024**3  # the environment takes 6.5 GB, pip's temporary files the rest
INTERFACE_FILES = ("CMakeLists.txt", "package.xml", "cmake/*", "action/*", "msg/*", "srv/*")
LINKED_FOLDERS = ("atom_core", "atom_ros", "config", "launch", "rviz", "weights")


class SetupError(Exception):
    """A step failed; the message says what to do."""


def main() -> int:
    """Bring the environment up to date."""
    try:
        check_machine()
        with Path(__file__).open() as this_file:
            wait_for_lock(this_file)
            install_packages()
            build_workspace()
    except SetupError as error:
        print(f"\nThe set-up stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe set-up was interrupted. Run the same command again to continue.", file=sys.stderr)
        return 130
    return 0


def wait_for_lock(file: TextIO) -> None:
    """Let one set-up at a time work in this checkout; the lock ends with the process."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another set-up is running in this checkout: waiting for it")
        fcntl.flock(file, fcntl.LOCK_EX)


def check_machine() -> None:
    """Raise SetupError unless the machine has what the wheels and the build need."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise SetupError(
            f"ROS 2 comes as Python wheels for Linux on x86_64 only, and this is {platform.system()} on "
            f"{platform.machine()}. Install ROS 2 Jazzy and build this package in a workspace, see README.md "
            "under 'On a robot'; or install the tracker alone, without ROS: pip install ."
        )
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        raise SetupError(f"Python 3.11 or 3.12 is needed, and this is {platform.python_version()}. {python_advice()}")
    glibc = tuple(int(part) for part in re.findall(r"\d+", platform.libc_ver()[1])[:2])
    if glibc < OLDEST_GLIBC:
        raise SetupError(f"the ROS wheels need glibc 2.28 or newer, and this system has {platform.libc_ver()[1]}.")
    missing = [name for name in ("gcc", "g++", "make") if not shutil.which(name)]
    if missing:
        raise SetupError(f"{', '.join(missing)} not found. On Debian or Ubuntu: sudo apt install build-essential")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        raise SetupError(f"Python's C headers are missing. On Debian or Ubuntu: sudo apt install python{VERSION}-dev")


def python_advice() -> str:
    """How to use another interpreter."""
    return "Install one and name it: make PYTHON=python3.12 ..."


def install_packages() -> None:
    """Install the pinned packages, unless the stamp says that they are there."""
    wanted = {"root": str(ROOT), "requirements": digest([*REQUIREMENTS, CONSTRAINTS, NO_DEPS])}
    found = read_stamp()
    usable = is_usable(found)
    if usable and found == wanted:
        return
    check_disk()
    if not usable:
        create_venv()
    INSTALLED.unlink(missing_ok=True)
    remove_half_installed()
    say("installing the packages of requirements/ (about 3 GB; most of it is PyTorch)")
    run_pip()
    mend_cmake_paths()
    INSTALLED.write_text(json.dumps(wanted))


def read_stamp() -> dict[str, str] | None:
    """The record of the installation, or None if the environment was not installed completely."""
    try:
        return json.loads(INSTALLED.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def is_usable(stamp: dict[str, str] | None) -> bool:
    """Whether .venv can be kept and brought up to date, rather than made again."""
    if not works(VENV_PYTHON, "pip"):
        return False
    if stamp is None:  # never completed, perhaps for lack of packages for that Python: make it with the requested one
        return site_packages().parent.name == f"python{VERSION}"
    return stamp["root"] == str(ROOT)  # the scripts of a moved environment hold the old path


def check_disk() -> None:
    """Raise SetupError if a new environment would not fit on the disk."""
    free = shutil.disk_usage(ROOT).free
    if not VENV.exists() and free < DISK_BYTES:
        raise SetupError(
            f"{ROOT} has {free / 1024**3:.1f} GB free, and the environment needs {DISK_BYTES / 1024**3:.0f} GB. "
            "Free some space, or put the checkout on a larger disk."
        )


def works(python: Path, module: str) -> bool:
    """Whether this interpreter runs and can import the module."""
    try:
        return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def create_venv() -> None:
    """Make an empty virtual environment, replacing a broken one."""
    say(f"making .venv with Python {platform.python_version()}")
    result = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", "--prompt", "atom_tracker", VENV],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetupError(
            f"python -m venv failed:\n{result.stdout}{result.stderr}\n"
            f"On Debian or Ubuntu it is a separate package: sudo apt install python{VERSION}-venv"
        )


def site_packages() -> Path:
    """The folder of the environment's packages."""
    return next((VENV / "lib").glob("python3.*")) / "site-packages"


def remove_half_installed() -> None:
    """Remove the packages that an interrupted pip left half copied, so that pip copies them again.

    pip writes a package's RECORD last. Without one the files may be incomplete, yet pip would count it as installed.
    """
    for info in site_packages().glob("*.dist-info"):
        if not (info / "RECORD").is_file():
            shutil.rmtree(info)


def run_pip() -> None:
    """Install the requirements, showing the larger steps; the whole output goes to .venv/pip.log."""
    files = [option for path in REQUIREMENTS for option in ("--requirement", path)]
    with (VENV / "pip.log").open("w") as log:
        pip_install(["--constraint", CONSTRAINTS, *files], log)
        pip_install(["--no-deps", "--requirement", NO_DEPS], log)


def pip_install(arguments: Sequence[str | Path], log: TextIO) -> None:
    """Run one `pip install`; raise SetupError if it fails."""
    command: list[str | Path] = [VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--no-compile", "--progress-bar", "off", *arguments]  # Python compiles what it imports
    start = time.monotonic()
    lines = []
    with subprocess.Popen(command, env=clean_environment(), stdout=-1, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None, "it is a pipe"
        for line in process.stdout:
            log.write(line)
            lines.append(line.rstrip())
            show_pip_line(line, time.monotonic() - start)
    if process.returncode != 0:
        raise SetupError(pip_failure("\n".join(lines[-200:])))


def show_pip_line(line: str, seconds: float) -> None:
    """Show pip's downloads of 10 MB and more when they start, and its last, long step."""
    download = re.search(r"Downloading (?:\S*/)?([\w.]+)-\S+ (\(\d\d+(?:\.\d+)? MB\))", line)
    if download:
        say(f"  {seconds:4.0f} s  {download[1]} {download[2]}")
    elif line.startswith("Installing collected packages"):
        say(f"  {seconds:4.0f} s  copying {line.count(',') + 1} packages to .venv (a minute or more)")


def pip_failure(output: str) -> str:
    """What to do about a failed pip, judged by its output."""
    advice = "See the messages above it in .venv/pip.log, and run the same command again: finished steps are kept."
    if re.search(r"No space left|Errno 28|Disk quota", output):
        advice = "The disk is full. Free some space (10 GB), also where temporary files go (TMPDIR), and try again."
    elif re.search(r"Max retries|NewConnectionError|timed out|name resolution|Connection (refused|reset)|SSL", output):
        advice = "The package index could not be reached. Check the network (pip obeys HTTPS_PROXY), and try again."
    elif re.search(r"No matching distribution|Could not find a version", output):
        advice = f"A pinned package is not there for Python {platform.python_version()}. {python_advice()}"
    tail = "\n".join(f"  | {line[:200]}" for line in output.splitlines()[-8:])
    return f"pip failed:\n{tail}\n{advice}"


def mend_cmake_paths() -> None:
    """Point the ROS wheels' CMake files at this environment.

    They have the header paths of Python and NumPy on their build machine, /opt/python/cp311-cp311/..., and CMake
    refuses paths that do not exist.
    """
    code = "import numpy, sysconfig; print(sysconfig.get_path('include'), numpy.get_include(), sep='\\n')"
    python_include, numpy_include = output_of([VENV_PYTHON, "-c", code]).splitlines()
    for path in (VENV / "share").glob("*/cmake/*.cmake"):
        text = path.read_text(encoding="utf-8")
        mended = re.sub(r'/opt/python/[^;"]*/numpy/_core/include', numpy_include, text)
        mended = re.sub(r'/opt/python/[^;"]*/include/python3\.\d+', python_include, mended)
        if mended != text:
            path.write_text(mended, encoding="utf-8")


def output_of(command: Sequence[str | Path]) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def build_workspace() -> None:
    """Build the ROS package with colcon, unless nothing that it installs or generates has changed."""
    wanted = build_key()
    if BUILT.is_file() and BUILT.read_text() == wanted:
        return
    say("building the ROS package with colcon (about 20 s)")
    if not BUILT.is_file():  # a build that failed or was interrupted
        for folder in ("build", "install"):
            shutil.rmtree(ROOT / folder, ignore_errors=True)
    BUILT.unlink(missing_ok=True)
    # CMake does not export headers inside the source folder, such as NumPy's in .venv. Through this link, as in a
    # workspace's src, the source folder is a different one.
    link = ROOT / "build" / "src" / "atom_tracker"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to("../..", target_is_directory=True)
    command = ["colcon", "--log-base", "log", "build", "--symlink-install", "--base-paths", "build/src"]
    command += ["--event-handlers", "console_stderr-", "summary-", "--cmake-args", "-DBUILD_TESTING=OFF"]
    command += [f"-DPython3_EXECUTABLE={VENV_PYTHON}", "-Wno-dev"]
    result = subprocess.run(command, cwd=ROOT, env=build_environment(), check=False)
    if result.returncode != 0:
        stderr = ROOT / "log" / "latest_build" / "atom_tracker" / "stderr.log"
        detail = "\n".join(stderr.read_text().splitlines()[-40:]) if stderr.is_file() else ""
        raise SetupError(f"colcon build failed; its full output is in log/latest_build/.\n{detail}")
    BUILT.write_text(wanted)


def build_key() -> str:
    """A key of the build's inputs: the interfaces' content, the environment, and the list of installed files.

    The installed files are links to the checkout, so their content does not matter.
    """
    interfaces = sorted(path for pattern in INTERFACE_FILES for path in ROOT.glob(pattern))
    installed = sorted(str(path) for folder in LINKED_FOLDERS for path in (ROOT / folder).rglob("*.*"))
    names = "\n".join(name for name in installed if not name.endswith(".pyc"))
    return digest([INSTALLED, *interfaces]) + hashlib.sha256(names.encode()).hexdigest()


def clean_environment() -> dict[str, str]:
    """The caller's environment without another ROS installation's or another virtual environment's settings."""
    foreign = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "VIRTUAL_ENV")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in foreign and not name.startswith(("COLCON_", "_ROS_WHEELS", "MAKE", "MFLAGS"))
    }


def build_environment() -> dict[str, str]:
    """The environment in which colcon and CMake find the wheels."""
    return clean_environment() | {
        "VIRTUAL_ENV": str(VENV),
        "AMENT_PREFIX_PATH": str(VENV),
        "CMAKE_PREFIX_PATH": str(VENV),
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "ROS_VERSION": "2",
        "ROS_DISTRO": "jazzy",
        "COLCON_LOG_LEVEL": "error",  # it warns that .venv, unlike /opt/ros, has no local_setup files
    }


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 of the files' names and contents."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def say(text: str) -> None:
    """Show progress at once, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
