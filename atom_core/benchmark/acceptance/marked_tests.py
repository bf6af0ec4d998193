# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the checkout's tests marked `gpu`; each is a line, with the differences that it measured."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from atom_core.benchmark.acceptance.sheet import Sheet, Status

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "test" / "gpu"
_OUTPUT = 2000  # characters of pytest's output that are reported if it writes no results


def run_marked_tests(sheet: Sheet, device_name: str, folder: Path, seconds: float, selection: str = "") -> None:
    """Adds a line for each test.

    Args:
        sheet: of this part.
        device_name: the device that the tests compare with the CPU.
        folder: for pytest's results.
        seconds: after which pytest is killed.
        selection: as pytest's option -k; empty for all.
    """
    if not FOLDER.is_dir():
        sheet.add("tests", Status.SKIPPED, f"this installation has no {FOLDER}; run it in a checkout")
        return
    results = folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", str(FOLDER), "-m", "gpu", "--compare-device", device_name, "-q"]
    command += [
        "-o",
        f"cache_dir={folder / 'cache'}",
        "-o",
        "junit_family=xunit1",
        "--junitxml",
        str(results),
        "-k",
        selection,
    ]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        sheet.add("tests", Status.FAILED, f"not finished after {seconds:.0f} s; the rest of the report continues")
        return
    count = read_results(sheet, results) if results.is_file() else 0
    if not count or done.returncode not in (0, 1):  # 1: tests failed, and each has its line
        output = (done.stdout + done.stderr)[-_OUTPUT:].strip()
        sheet.add("tests", Status.FAILED, f"pytest ended with status {done.returncode} after {count} tests: {output}")


def read_results(sheet: Sheet, path: Path) -> int:
    """Adds a line for each test of a file that pytest wrote (JUnit XML); returns how many there were."""
    cases = list(ElementTree.parse(path).iter("testcase"))
    for case in cases:
        figures = {p.get("name", ""): _number(p.get("value", "")) for p in case.iter("property")}
        name = f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"
        broken = next((found for kind in ("failure", "error") if (found := case.find(kind)) is not None), None)
        skipped = case.find("skipped")
        if broken is not None:
            sheet.add(name, Status.FAILED, broken.get("message", "").strip(), **figures)
        elif skipped is not None:
            sheet.add(name, Status.SKIPPED, skipped.get("message", ""), **figures)
        else:
            sheet.add(name, Status.PASSED, f"{float(case.get('time', 0)):.1f} s", **figures)
    return len(cases)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
