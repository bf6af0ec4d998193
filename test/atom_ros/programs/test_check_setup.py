# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import sys

import pytest

from atom_ros.programs import check_setup


def test_it_ends_with_the_device_and_the_engine(capsys):
    assert check_setup.main(["--device", "cpu"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("device cpu, engine ") and "float32" in last and last.endswith(" ms an image")


def test_what_does_not_work_is_named(capsys):
    assert check_setup.main(["--weights", "unknown"]) == 1
    assert "no shipped weights named 'unknown'" in capsys.readouterr().err


def test_a_missing_pytorch_is_named(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "atom_core.tracker", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert check_setup.main([]) == 1
    assert "torch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "used", "cuda", "says"),
    [
        ("auto", "cpu", None, "built without CUDA"),  # the distribution's, on a robot with a GPU
        ("auto", "cpu", "13.0", "for CUDA 13.0"),
        ("cpu", "cpu", None, ""),  # as it was asked for
        ("auto", "cuda", "13.0", ""),
    ],
)
def test_a_gpu_that_is_not_used_is_named(tmp_path, monkeypatch, asked, used, cuda, says):
    monkeypatch.setattr(check_setup, "find_spec", lambda name: True)
    sign = tmp_path / "nvidia0"
    assert check_setup.advice(asked, used, cuda, (str(sign),)) == []  # no GPU
    sign.touch()
    assert says in "".join(check_setup.advice(asked, used, cuda, (str(sign),)))
    assert bool(says) == bool(check_setup.advice(asked, used, cuda, (str(sign),)))


def test_a_missing_openvino_is_named(monkeypatch):
    monkeypatch.setattr(check_setup, "find_spec", lambda name: None)
    assert "pip install openvino" in check_setup.advice("cpu", "cpu", None, ())[0]
