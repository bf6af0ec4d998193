# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_core.checkpoint.torch_file import TensorRecord, TorchFile, mapping, read_torch_file, tensor_record

CONTAINERS = ("zip", "legacy")


class Reduce:
    """Pickles as the call `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def example():
    """A checkpoint with each kind of tensor that a state dict can hold."""
    base = torch.arange(24, dtype=torch.float32).view(4, 6)
    net = OrderedDict(
        plain=base.clone(),
        transposed=base.clone().T,
        view=base[1:3, 2:5],
        same_storage=base[3],
        counter=torch.tensor(7),
        half=torch.tensor([1.5, -2.0], dtype=torch.float16),
        flags=torch.tensor([True, False, True]),
        parameter=torch.nn.Parameter(torch.tensor([[0.1, 0.2]])),
    )
    return {"epoch": 40, "net": net, "note": "text", "nothing": None}


def save(content, path, container):
    torch.save(content, path, _use_new_zipfile_serialization=container == "zip")
    return path


def rewrite(path, change=lambda name, data: data, compression=zipfile.ZIP_STORED):
    """Writes a zip archive again with changed entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, change(name, data))


def read_tensors(path):
    file = read_torch_file(path)
    return {name: file.tensor(tensor_record(value)) for name, value in mapping(file.content["net"]).items()}


@pytest.mark.parametrize("container", CONTAINERS)
def test_tensors_are_those_that_torch_reads(tmp_path, container):
    path = save(example(), tmp_path / "file.pth", container)
    expected = torch.load(path, weights_only=True)["net"]
    found = read_tensors(path)
    assert list(found) == list(expected)
    for name, tensor in found.items():
        assert tensor.dtype == expected[name].dtype and tensor.is_contiguous()
        assert torch.equal(tensor, expected[name].detach()), name
    file = read_torch_file(path)
    assert file.container == container
    assert [file.content[key] for key in ("epoch", "note", "nothing")] == [40, "text", None]
    assert file.foreign_names == []


@pytest.mark.parametrize("container", CONTAINERS)
def test_tensors_saved_on_a_gpu_are_read(tmp_path, container):
    path = save(example(), tmp_path / "file.pth", container)

    def move(_, data):
        return data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")

    rewrite(path, move) if container == "zip" else path.write_bytes(move("", path.read_bytes()))
    assert b"cuda:0" in path.read_bytes() and b"cpu" not in path.read_bytes()
    assert torch.equal(read_tensors(path)["plain"], example()["net"]["plain"])


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("module", ["ltr.admin.stats", "dlframework.common.utils.stats"])
def test_objects_of_unknown_classes_are_passed_over(tmp_path, monkeypatch, container, module):
    with monkeypatch.context() as patch:
        fake = types.ModuleType(module)
        classes = {
            "Meter": type("Meter", (), {"__module__": module}),
            "History": type("History", (list,), {"__module__": module}),
            "Table": type("Table", (dict,), {"__module__": module}),
        }
        for name, cls in classes.items():
            setattr(fake, name, cls)
        parts = module.split(".")
        for end in range(1, len(parts)):
            patch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
        patch.setitem(sys.modules, module, fake)
        meter = classes["Meter"]()
        meter.values = np.float64(3), {1, 2}, b"bytes"
        objects = {"stats": meter, "history": classes["History"]([meter]), "table": classes["Table"](a=meter)}
        path = save({**example(), **objects}, tmp_path / "file.pth", container)
    file = read_torch_file(path)
    assert {f"{module}.{name}" for name in classes} <= set(file.foreign_names)
    assert not any(name.startswith(("collections", "torch.")) for name in file.foreign_names)
    assert torch.equal(read_tensors(path)["view"], example()["net"]["view"])
    assert module not in sys.modules


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("place", ["beside the tensors", "among the tensors", "first"])
def test_nothing_in_the_file_runs(tmp_path, container, place):
    canary = tmp_path / "it_ran"
    bomb, content = Reduce(os.system, f"touch '{canary}'"), example()
    if place == "among the tensors":
        content["net"]["bomb"] = bomb
    content = {"bomb": bomb, **content} if place == "first" else {**content, "bomb": bomb}
    path = save(content, tmp_path / "file.pth", container)
    file = read_torch_file(path)
    assert file.foreign_names == ["posix.system"]
    record = tensor_record(mapping(file.content["net"])["plain"])
    assert torch.equal(file.tensor(record), example()["net"]["plain"])
    assert tensor_record(file.content["bomb"]) is None and mapping(file.content["bomb"]) is None
    assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists()  # it was armed


def test_attack_in_place_of_the_magic_number(tmp_path):
    canary, path = tmp_path / "it_ran", tmp_path / "file.pth"
    path.write_bytes(pickle.dumps(Reduce(os.system, f"touch '{canary}'"), 2))
    with pytest.raises(ValueError, match="neither as a zip archive nor with PyTorch's magic number"):
        read_torch_file(path)
    assert not canary.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"offset": 23},
        {"offset": -1},
        {"shape": (5, 6)},
        {"shape": (0, 6)},
        {"shape": (10**6, 10**6), "stride": (0, 0)},
        {"shape": (2, 2), "stride": (10**30, 1)},
        {"stride": (-6, 1)},
        {"storage": "nowhere"},
        {"dtype": np.dtype("<f8")},
    ],
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, change):
    good = TensorRecord("0", np.dtype("<f4"), 0, (4, 6), (6, 1))
    numbers = np.arange(24, dtype="<f4")
    file = TorchFile(tmp_path / "file.pth", "zip", {}, (), {"0": numbers.tobytes()})
    assert torch.equal(file.tensor(good), torch.from_numpy(numbers).view(4, 6))
    with pytest.raises(ValueError, match="is damaged"):
        file.tensor(dataclasses.replace(good, **change))


def test_a_length_of_one_takes_any_stride(tmp_path):
    file = TorchFile(tmp_path / "file.pth", "zip", {}, (), {"0": np.arange(3, dtype="<f4").tobytes()})
    record = TensorRecord("0", np.dtype("<f4"), 0, (1, 3), (10**30, 1))
    assert file.tensor(record).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.99])
def test_truncated_file(tmp_path, container, share):
    path = save(example(), tmp_path / "file.pth", container)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"file\.pth cannot be read as a file of torch\.save"):
        read_torch_file(path)


@pytest.mark.parametrize("data", [b"", b"a text\n", b"PK\x03\x04", pickle.dumps({"net": 1}, 2)])
def test_other_files(tmp_path, data):
    path = tmp_path / "file.pth"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"file\.pth cannot be read as a file of torch\.save: (it begins|the archive)"):
        read_torch_file(path)


def test_folder_and_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_torch_file(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth is missing"):
        read_torch_file(tmp_path / "nothing.pth")


def test_other_archives(tmp_path):
    path = save(example(), tmp_path / "file.pth", "zip")
    rewrite(path, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed"):
        read_torch_file(path)
    rewrite(path, lambda name, data: b"big" if name.endswith("byteorder") else data)
    with pytest.raises(ValueError, match="little-endian"):
        read_torch_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/other", b"")
    with pytest.raises(ValueError, match=r"no data\.pkl"):
        read_torch_file(path)


@pytest.mark.parametrize("container", CONTAINERS)
def test_other_contents(tmp_path, container):
    path = save([torch.zeros(2)], tmp_path / "file.pth", container)
    with pytest.raises(ValueError, match="holds no mapping"):
        read_torch_file(path)


@pytest.fixture(scope="module")
def good_files():
    files = {}
    for container in CONTAINERS:
        file = io.BytesIO()
        save(example(), file, container)
        files[container] = file.getvalue()
    return files


@pytest.mark.parametrize("container", CONTAINERS)
@settings(max_examples=300)
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, good_files, container, changes):
    data = bytearray(good_files[container])
    for place, value in changes:
        data[int(place * len(data))] = value
    path = tmp_path_factory.getbasetemp() / "damaged.pth"
    path.write_bytes(data)
    try:
        file = read_torch_file(path)
        for value in (mapping(file.content.get("net")) or {}).values():
            if record := tensor_record(value):
                assert file.tensor(record).shape == record.shape
    except ValueError as error:
        assert str(error)


def test_bfloat16_is_read(tmp_path):
    numbers = torch.tensor([[1.0, -2.5, 3e38], [0.0, float("inf"), 1e-40]]).bfloat16()
    for container in CONTAINERS:
        save({"net": {"a": numbers, "column": numbers[:, 1]}}, tmp_path / "b.pth", container)
        file = read_torch_file(tmp_path / "b.pth")
        for name, expected in (("a", numbers), ("column", numbers[:, 1])):
            found = file.tensor(tensor_record(file.content["net"][name]))
            assert found.dtype == torch.bfloat16
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
        assert file.foreign_names == []


def test_an_entry_that_the_archive_holds_twice_is_refused(tmp_path):
    path = tmp_path / "twice.pth"
    torch.save({"net": {"a": torch.ones(3)}}, path)
    with zipfile.ZipFile(path) as archive:
        name = next(entry.filename for entry in archive.infolist() if entry.filename.endswith("data/0"))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(name, bytes(12))
    with pytest.raises(ValueError, match=r"holds the entry '.*data/0' 2 times"):
        read_torch_file(path)
