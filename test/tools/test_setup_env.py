# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The set-up program: what it keeps, what it mends, and what it says when a step fails."""

import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import numpy
import pytest

SETUP_ENV = Path(__file__).resolve().parents[2] / "tools" / "setup_env.py"


@pytest.fixture
def setup_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module, at work on an empty folder."""
    spec = importlib.util.spec_from_file_location("setup_env", SETUP_ENV)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "INSTALLED", tmp_path / ".venv" / "installed.json")
    monkeypatch.setattr(module, "VENV_PYTHON", Path(sys.executable))
    (tmp_path / ".venv" / "lib" / f"python{module.VERSION}" / "site-packages").mkdir(parents=True)
    return module


def test_a_half_copied_package_is_forgotten_and_a_whole_one_kept(setup_env: ModuleType):
    whole = setup_env.site_packages() / "whole-1.0.dist-info"
    half = setup_env.site_packages() / "half-1.0.dist-info"
    for info in (whole, half):
        info.mkdir()
        (info / "METADATA").write_text("Name: x")
    (whole / "RECORD").write_text("")
    setup_env.remove_half_installed()
    assert whole.is_dir()
    assert not half.exists()


def test_cmake_files_are_pointed_at_this_python(setup_env: ModuleType):
    path = setup_env.VENV / "share" / "std_msgs" / "cmake" / "std_msgsExport.cmake"
    path.parent.mkdir(parents=True)
    text = 'INCLUDES "{python};{numpy}"\nOTHER "/opt/ros/include"\n'
    built_on = "/opt/python/cp312-cp312"
    path.write_text(
        text.format(
            python=f"{built_on}/include/python3.12",
            numpy=f"{built_on}/lib/python3.12/site-packages/numpy/_core/include",
        )
    )
    setup_env.mend_cmake_paths()
    expected = text.format(python=sysconfig.get_path("include"), numpy=numpy.get_include())
    assert path.read_text() == expected
    setup_env.mend_cmake_paths()  # a second time changes nothing
    assert path.read_text() == expected


@pytest.mark.parametrize(
    ("stamp", "usable"),
    [
        (None, True),  # the install was interrupted: go on with it
        ({"root": "/elsewhere", "requirements": "x"}, False),  # the checkout was moved
    ],
)
def test_which_environment_is_kept(setup_env: ModuleType, stamp: dict[str, str] | None, usable: bool):
    assert setup_env.is_usable(stamp) is usable


def test_an_environment_in_its_place_is_kept(setup_env: ModuleType):
    assert setup_env.is_usable({"root": str(setup_env.ROOT), "requirements": "older"})


def test_an_environment_whose_python_is_gone_is_not_kept(setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(setup_env, "VENV_PYTHON", setup_env.VENV / "bin" / "python")
    assert not setup_env.is_usable(None)


def test_an_interrupted_environment_of_another_python_is_not_kept(setup_env: ModuleType):
    setup_env.site_packages().parent.rename(setup_env.VENV / "lib" / "python3.7")
    assert not setup_env.is_usable(None)


def test_a_cut_off_stamp_counts_as_none(setup_env: ModuleType):
    setup_env.INSTALLED.write_text('{"root": "/ho')
    assert setup_env.read_stamp() is None


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("WARNING: Retrying ... NewConnectionError: Temporary failure in name resolution", "Check the network"),
        ("ERROR: No matching distribution found for torch==2.14.1", "make PYTHON="),
        ("ERROR: something else", "pip.log"),
    ],
)
def test_a_failed_pip_says_what_to_do(setup_env: ModuleType, output: str, advice: str):
    message = setup_env.pip_failure(f"Collecting torch\n{output}")
    assert advice in message
    assert output in message


def test_the_build_depends_on_interfaces_and_on_which_files_there_are(setup_env: ModuleType):
    interface = setup_env.ROOT / "msg" / "Track.msg"
    source = setup_env.ROOT / "atom_core" / "boxes.py"
    for path in (interface, source, setup_env.INSTALLED):
        path.parent.mkdir(exist_ok=True)
        path.write_text("first")
    key = setup_env.build_key()
    source.write_text("edited: what is installed is a link to it")
    assert setup_env.build_key() == key
    interface.write_text("float64 x")
    with_new_interface = setup_env.build_key()
    assert with_new_interface != key
    source.with_name("crop.py").write_text("")
    assert setup_env.build_key() != with_new_interface


def test_another_ros_installation_is_kept_out(setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", "/opt/ros/humble/lib/python3.10/site-packages")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/humble")
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    environment = setup_env.build_environment()
    assert "PYTHONPATH" not in environment
    assert environment["AMENT_PREFIX_PATH"] == str(setup_env.VENV)
    assert environment["HTTPS_PROXY"] == "proxy:3128"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "  Downloading torch-2.14.1-cp311-cp311-manylinux_2_28_x86_64.whl (554.6 MB)\n",
            "     7 s  torch (554.6 MB)\n",
        ),
        ("  Downloading six-1.16.0-py2.py3-none-any.whl (11 kB)\n", ""),
        ("  Downloading cycler-0.12.1-py3-none-any.whl (8.3 MB)\n", ""),
        ("Installing collected packages: a, b, c\n", "     7 s  copying 3 packages to .venv (a minute or more)\n"),
    ],
)
def test_the_long_steps_of_pip_are_shown(
    setup_env: ModuleType, capsys: pytest.CaptureFixture[str], line: str, shown: str
):
    setup_env.show_pip_line(line, 7.4)
    assert capsys.readouterr().out == shown
