# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Nothing leaves the machine: loading a network and tracking starts no process and opens no socket."""

import ast
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from atom_core.networks.openvino_model import convert

ROOT = Path(__file__).parents[3]
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")

# Python's own reports of what starts a process or talks to a host, also from processes that are forked.
WATCH = """
import os, sys
log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
watched = ("os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "subprocess.", "socket.connect",
           "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind", "urllib.Request")
def watch(event, args):
    # PyTorch with CUDA asks ldconfig, a program of the system's C library, where its libraries are.
    if event.startswith(watched) and not (event == "subprocess.Popen" and str(args[0]).endswith("/ldconfig")):
        os.write(log, f"{event}\\n".encode())
sys.addaudithook(watch)
"""
TRACK = """
import numpy as np
from atom_core.tracker import AtomTracker
tracker = AtomTracker.from_pretrained("default", device="cpu")
image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
tracker.initialize(image, (60, 40, 30, 30))
tracker.track(image)
assert "openvino_telemetry" in sys.modules or sys.argv[2] == "without", "the engine is not OpenVINO"
"""
REPORT = "import openvino"  # as OpenVINO does by itself
ELSEWHERE = """
import multiprocessing, socket, time
def talk():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("127.0.0.1", 9))
        time.sleep(0.5)
child = multiprocessing.get_context("fork").Process(target=talk)
child.start()
child.join()
"""


def _descendants(pid: int) -> set[int]:
    try:
        children = {
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        }
    except OSError:  # it has ended meanwhile
        return set()
    return children.union(*(_descendants(child) for child in children))


def _internet_sockets(pid: int) -> set[str]:
    """Entries of the system's tables for TCP and UDP that belong to a process."""
    try:
        links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        tables = [Path(f"/proc/{pid}/net/{kind}").read_text() for kind in ("tcp", "tcp6", "udp", "udp6")]
    except OSError:
        return set()
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return {" ".join(row[1:3]) for row in rows if row[9] in inodes}


def _watch(code: str, folder: Path) -> tuple[list[str], set[str]]:
    """Runs code and returns Python's reports, and the sockets that it and the processes it started had open."""
    # A home without any consent, and no sign of a CI job, in which OpenVINO's telemetry would be off by itself.
    ci = ("CI", "TF_BUILD", "JENKINS_URL", "GITHUB_ACTIONS")
    environment = {name: value for name, value in os.environ.items() if name not in ci} | {"HOME": str(folder)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    log, engine = folder / "log", "with" if find_spec("openvino") else "without"
    command = [sys.executable, "-c", WATCH + code, str(log), engine]
    sockets = set()
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            sockets |= {name for pid in (process.pid, *_descendants(process.pid)) for name in _internet_sockets(pid)}
            time.sleep(0.01)
        assert process.returncode == 0, process.stderr.read()
    return log.read_text().split() if log.exists() else [], sockets


def test_loading_and_tracking_starts_no_process_and_opens_no_socket(tmp_path):
    assert _watch(TRACK, tmp_path) == ([], set())
    assert not (tmp_path / "intel").exists()  # where the telemetry keeps its client's number


def test_the_watch_sees_processes_and_sockets(tmp_path):
    reports, sockets = _watch(ELSEWHERE, tmp_path)
    assert {"os.fork", "socket.connect"} <= set(reports)
    assert sockets


@needs_openvino
def test_the_import_alone_would_report(tmp_path):
    """If this fails, OpenVINO has no telemetry any more, or another one."""
    if find_spec("openvino_telemetry") is None:
        pytest.skip("OpenVINO's telemetry is not installed")
    reports, _ = _watch(REPORT, tmp_path)
    assert "os.fork" in reports


def test_only_one_module_imports_openvino():
    others = []
    for path in [p for folder in ("atom_core", "atom_ros", "demo") for p in (ROOT / folder).rglob("*.py")]:
        tree = ast.parse(path.read_text())
        for_types = {
            id(node)
            for branch in ast.walk(tree)
            if isinstance(branch, ast.If) and getattr(branch.test, "id", "") == "TYPE_CHECKING"
            for node in ast.walk(branch)
        }
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = [
            name
            for node in imports
            if id(node) not in for_types
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        ]
        if any(name.split(".")[0] in ("openvino", "nncf") for name in names):
            others.append(path.name)
    assert others == ["openvino_model.py"]


@needs_openvino
def test_a_converted_module_takes_any_size():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    model = convert(module, ((2, 3, 8, 8),))
    assert not any(port.partial_shape.is_static for port in (*model.inputs, *model.outputs))
