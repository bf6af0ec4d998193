# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import tomllib
from pathlib import Path

import pytest

from atom_core.benchmark.acceptance.sheet import Sheet, Status
from atom_core.benchmark.acceptance.versions import OLDEST, check_versions, has_kernels, installed, is_at_least

ROOT = Path(__file__).parents[4]


def test_the_oldest_versions_are_those_of_the_package() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {f"{name}>={version}" for name, version in OLDEST.items()} <= set(wanted)


@pytest.mark.parametrize(
    ("version", "oldest", "fits"),
    [("2.14.1+cu130", "2.1", True), ("2.1", "2.1", True), ("2.0.1", "2.1", False), ("10.0", "9.3", True)],
)
def test_versions_are_compared_as_numbers(version, oldest, fits) -> None:
    assert is_at_least(version, oldest) is fits


@pytest.mark.parametrize(
    ("built_for", "capability", "runs"),
    [
        (["sm_80", "sm_90"], (9, 0), True),
        (["sm_80"], (8, 7), True),  # an Orin
        (["sm_90"], (8, 7), False),
        (["sm_86"], (8, 0), False),
        (["sm_80", "compute_90"], (12, 0), True),
        (["sm_90a"], (10, 0), False),
        ([], (9, 0), False),
        (["gfx942"], (9, 0), False),
    ],
)
def test_kernels_of_an_architecture(built_for, capability, runs) -> None:
    assert has_kernels(built_for, capability) is runs


def lines_of(device: str, folder: Path) -> dict:
    sheet = Sheet("versions", folder / "lines")
    check_versions(sheet, device)
    return {line.name: line for line in sheet.lines()}


def test_the_cpu_is_told_and_works(tmp_path) -> None:
    lines = lines_of("cpu", tmp_path)
    assert lines["torch"].status is Status.PASSED and installed("torch") in lines["torch"].text
    assert lines["a product on the device"].status is Status.PASSED
    assert lines["device"].text.startswith("cpu")


def test_a_device_that_is_not_there_is_two_lines(tmp_path) -> None:
    lines = lines_of("cuda:99", tmp_path)
    assert [lines[name].status for name in ("device", "a product on the device")] == [Status.FAILED] * 2
    assert "device 'cuda:99' cannot be used: PyTorch sees" in lines["device"].text
    assert lines["numpy"].status is Status.PASSED
    assert installed("no-such-package") is None
