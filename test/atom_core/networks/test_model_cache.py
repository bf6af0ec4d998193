# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Compiled models on disk: kept, found again, and done without where that cannot be."""

import os
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from atom_core.networks import engine, model_cache
from atom_core.tracker import AtomTracker

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(model_cache.VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


def test_where_it_is(monkeypatch):
    monkeypatch.delenv(model_cache.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert model_cache.folder() == Path("/elsewhere/atom_tracker")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert model_cache.folder() == Path("/home/someone/.cache/atom_tracker")
    monkeypatch.setenv(model_cache.VARIABLE, "/named")
    assert model_cache.folder() == Path("/named")
    monkeypatch.setenv(model_cache.VARIABLE, "off")
    assert model_cache.folder() is None
    assert model_cache.read("a") is None and not model_cache.write("a", b"data")


def test_what_was_written_is_read(folder):
    assert model_cache.read("a") is None
    assert model_cache.write("a", b"line\nline\x00")
    assert model_cache.read("a") == b"line\nline\x00"
    assert [path.name for path in folder.iterdir()] == ["a.openvino"]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:70] + b"x" + data[71:], lambda _: b""])
def test_a_damaged_file_is_not_used(folder, damage):
    model_cache.write("a", b"0123456789")
    path = folder / "a.openvino"
    path.write_bytes(damage(path.read_bytes()))
    assert model_cache.read("a") is None
    assert model_cache.write("a", b"new") and model_cache.read("a") == b"new"


def test_those_not_used_for_longest_are_removed(folder):
    for number in range(24):
        model_cache.write(str(number), b"data")
        os.utime(folder / f"{number}.openvino", (number, number))
    model_cache.read("0")  # it is in use
    model_cache.write("24", b"data")
    kept = {int(path.stem) for path in folder.iterdir()}
    assert kept == {*range(25)} - {1}


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(model_cache.VARIABLE, str(tmp_path / "file" / "models"))
    assert not model_cache.write("a", b"data")
    assert model_cache.read("a") is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_leaves_nothing_behind(folder, monkeypatch):
    """/dev/full takes no byte: each write there fails as on a full disk."""
    folder.mkdir()
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)

    class Full:
        name = str(folder / "x.part")

        def __init__(self, **_):
            Path(self.name).touch()
            self.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed by __exit__

        def __enter__(self):
            return self

        def write(self, data):
            return self.file.write(data)

        def __exit__(self, *_):
            self.file.close()

    monkeypatch.setattr(model_cache.tempfile, "NamedTemporaryFile", Full)
    assert not model_cache.write("a", b"data")
    assert list(folder.iterdir()) == []


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval().requires_grad_(False)


CROP = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def outputs(module: nn.Module, precision: str = "float32") -> torch.Tensor:
    engine.compile_module.cache_clear()  # as in another process
    return engine.Request(engine.compile_module(module, (tuple(CROP.shape),), precision=precision))(CROP)[0]


@needs_openvino
def test_a_kept_model_needs_no_conversion_and_computes_the_same(folder, monkeypatch):
    first = outputs(network())
    assert len(list(folder.iterdir())) == 1
    torch.testing.assert_close(first, network()(CROP))

    def refuse(*_):
        raise AssertionError("converted again")

    monkeypatch.setattr(engine, "convert", refuse)
    assert torch.equal(outputs(network()), first)
    with pytest.raises(AssertionError, match="converted again"):
        outputs(network(seed=1))  # other weights
    with pytest.raises(AssertionError, match="converted again"):
        outputs(network(), "bfloat16")


@needs_openvino
def test_a_kept_model_that_openvino_refuses_is_compiled_anew(folder):
    first = outputs(network())
    path = next(folder.iterdir())
    model_cache.write(path.stem, b"from another version")
    assert torch.equal(outputs(network()), first)
    assert model_cache.read(path.stem) != b"from another version"


@needs_openvino
def test_it_works_without_a_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for place in ("off", str(tmp_path / "file")):
        monkeypatch.setenv(model_cache.VARIABLE, place)
        torch.testing.assert_close(outputs(network()), network()(CROP))


FOLLOW = """
import sys
import numpy as np
import torch
from atom_core.networks import engine, openvino_model
torch.set_num_threads(1)
from atom_core.tracker import AtomTracker
tracker = AtomTracker.from_pretrained("default", device="cpu")
image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
tracker.initialize(image, (60, 40, 30, 30))
compiled = engine.compile_module.cache_info().misses
tracker.track(image)
tracker.finish_frame()
assert compiled == engine.compile_module.cache_info().misses == 3, "compiled in the first frame"
unneeded = "torchvision", "matplotlib", "sympy", "torch._dynamo", "torch._inductor", "openvino.frontend.pytorch"
print(*(name for name in unneeded if name in sys.modules))
"""


@needs_openvino
def test_a_restart_imports_neither_compiler_nor_converter_and_the_first_frame_compiles_nothing(folder):
    engine.compile_module.cache_clear()
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    AtomTracker.from_pretrained("default", device="cpu").initialize(image, (60, 40, 30, 30))
    assert len(list(folder.iterdir())) == 3
    result = subprocess.run([sys.executable, "-c", FOLLOW], capture_output=True, text=True)
    assert (result.returncode, result.stdout.split()) == (0, []), result.stderr
    assert len(list(folder.iterdir())) == 3
