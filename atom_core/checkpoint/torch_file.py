# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Reads tensors from a file written by `torch.save`, without executing code in it.

`torch.load` runs the file's pickle, and with `weights_only=True` it refuses a file that holds objects of other classes.
There are two containers, both documented by `torch.serialization`'s source: a zip archive (since PyTorch 1.6) with
`data.pkl` and one entry for each storage, and the older one: five pickles, then the storages. Tensors saved on a GPU
are read into the CPU's memory.
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from atom_core.checkpoint.safe_pickle import Call, Name, PersistentId, Pickled, read_pickle

_ZIP_BEGIN = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_REBUILD_TENSOR = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
_REBUILD_PARAMETER = "torch._utils._rebuild_parameter"
_ORDERED_DICT = "collections.OrderedDict"
# NumPy has no such type: these are the upper 16 of a float32's bits.
_BFLOAT16 = np.dtype([("bfloat16", "<i2")])
_DTYPES = {
    "BFloat16Storage": _BFLOAT16,
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


def is_exact_in_float32(dtype: np.dtype) -> bool:
    """Whether float32 represents each number of a tensor's type exactly."""
    return dtype in (np.dtype("<f4"), np.dtype("<f2"), _BFLOAT16)


@dataclass(frozen=True)
class TensorRecord:
    """The location of a tensor's numbers; `stride` and `offset` count elements of the storage."""

    storage: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class TorchFile:
    """The contents of a file written by `torch.save`."""

    path: Path
    container: str  # "zip" or "legacy"
    content: dict[str | int, object]  # the saved mapping; read it with `mapping` and `tensor_record`
    names: tuple[str, ...]  # of the classes and functions that the file names; none was imported
    storages: Mapping[str, bytes | memoryview]

    @property
    def foreign_names(self) -> list[str]:
        """Names of classes and functions unrelated to tensors; they were not used."""
        known = {_ORDERED_DICT, *_REBUILD_TENSOR, _REBUILD_PARAMETER, *(f"torch.{storage}" for storage in _DTYPES)}
        return [name for name in self.names if name not in known]

    def tensor(self, record: TensorRecord) -> Tensor:
        """A copy of a tensor.

        Raises:
            ValueError: if it does not lie within its storage.
        """
        raw = self.storages.get(record.storage)
        if raw is None:
            raise ValueError(f"{self.path} is damaged: storage {record.storage!r} is missing")
        values = np.frombuffer(raw, record.dtype)
        # A dimension of length 1 may have any stride.
        stride = [step if length > 1 else 0 for length, step in zip(record.shape, record.stride, strict=True)]
        numbers = (record.offset, *(length - 1 for length in record.shape), *stride)
        last = record.offset + sum((length - 1) * step for length, step in zip(record.shape, stride, strict=True))
        # The count is bounded, too: strides of 0 would make a tensor of any size from one number.
        if min(numbers) < 0 or last >= values.size or math.prod(record.shape) > values.size:
            raise ValueError(f"{self.path} is damaged: {record} is no part of a storage of {values.size} numbers")
        steps = [step * record.dtype.itemsize for step in stride]
        view = np.lib.stride_tricks.as_strided(values[record.offset :], record.shape, steps, writeable=False)
        if record.dtype == _BFLOAT16:
            return torch.from_numpy(np.array(view["bfloat16"], np.int16, order="C")).view(torch.bfloat16)
        return torch.from_numpy(np.array(view, record.dtype.newbyteorder("="), order="C"))


def read_torch_file(path: Path) -> TorchFile:
    """Reads a file written by `torch.save` that holds a mapping; see `TorchFile`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a file, is damaged, or holds anything but a mapping.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is {'a folder' if path.is_dir() else 'missing'}; give a file of torch.save")
    data = path.read_bytes()
    try:
        container = "zip" if data.startswith(_ZIP_BEGIN) else "legacy"
        pickled, storages = _read_zip(data) if container == "zip" else _read_legacy(data)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a file of torch.save: {error}") from error
    content = mapping(pickled.value)
    if content is None:
        raise ValueError(f"{path} holds no mapping; expected a checkpoint")
    return TorchFile(path, container, content, pickled.names, storages)


def mapping(value: object) -> dict[str | int, object] | None:
    """The entries of a dict or OrderedDict in a file; None if the value is neither."""
    match value:
        case dict():
            return value
        case Call(function=Name(path=path)) if path == _ORDERED_DICT:
            return value.items
    return None


def tensor_record(value: object) -> TensorRecord | None:
    """Description of a tensor or parameter in the file; None for other values."""
    match value:
        case Call(function=Name(path=path), arguments=(data, *_)) if path == _REBUILD_PARAMETER:
            value = data
    match value:
        case Call(
            function=Name(path=path),
            arguments=(PersistentId() as reference, int(offset), tuple(shape), tuple(stride), *_),
        ) if path in _REBUILD_TENSOR:
            storage = _storage(reference)
            integers = all(isinstance(number, int) for number in (*shape, *stride))
            if storage and integers and len(shape) == len(stride):
                return TensorRecord(*storage, offset, shape, stride)
    return None


def _storage(reference: PersistentId) -> tuple[str, np.dtype] | None:
    """Key and type of a storage; where it was saved from (such as "cuda:0") does not matter."""
    match reference.value:
        # The last field describes a view; PyTorch has not written it since 0.4.
        case ("storage", Name(path=path), str(key), str(), int(), *rest) if rest in ([], [None]):
            dtype = _DTYPES.get(path.rpartition(".")[2])
            return (key, dtype) if dtype else None
    return None


def _read_zip(data: bytes) -> tuple[Pickled, dict[str, bytes]]:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            entries = archive.infolist()
            # PyTorch does not compress: entries that unpack to more than the whole file are an attack on the memory.
            size = sum(entry.file_size for entry in entries)
            if size > len(data) or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError("entries of the archive are compressed or overlap")
            name, count = max(Counter(entry.filename for entry in entries).items(), key=lambda item: item[1])
            if count > 1:  # readers differ in which of them they use
                raise ValueError(f"the archive holds the entry {name!r} {count} times")
            records = {entry.filename.partition("/")[2]: archive.read(entry) for entry in entries}
    # zipfile lets all these through when headers are damaged.
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OverflowError, RuntimeError, struct.error) as error:
        raise ValueError(f"the archive is damaged: {error}") from error
    if "data.pkl" not in records:
        raise ValueError("the archive holds no data.pkl")
    if records.get("byteorder", b"little") != b"little":
        raise ValueError("its numbers are not in little-endian order")
    storages = {name.removeprefix("data/"): record for name, record in records.items() if name.startswith("data/")}
    return read_pickle(BytesIO(records["data.pkl"])), storages


def _read_legacy(data: bytes) -> tuple[Pickled, dict[str, memoryview]]:
    file = BytesIO(data)
    try:
        magic = read_pickle(file).value
    except ValueError:
        magic = None
    if magic != _LEGACY_MAGIC:
        raise ValueError("it begins neither as a zip archive nor with PyTorch's magic number")
    _version, system, pickled, keys = (read_pickle(file) for _ in range(4))
    if (mapping(system.value) or {}).get("little_endian") is not True:
        raise ValueError("its numbers are not in little-endian order")
    if not isinstance(keys.value, list):
        raise ValueError("the list of storages is damaged")
    dtypes = dict(storage for reference in pickled.persistent_ids if (storage := _storage(reference)))
    return pickled, _legacy_storages(memoryview(data)[file.tell() :], keys.value, dtypes)


def _legacy_storages(data: memoryview, keys: list[object], dtypes: dict[str, np.dtype]) -> dict[str, memoryview]:
    storages, begin = {}, 0
    for key in keys:
        if not isinstance(key, str) or key not in dtypes:
            raise ValueError("a storage is of unknown type")
        if begin + 8 > len(data):
            raise ValueError("the file is cut off")
        (count,) = struct.unpack_from("<q", data, begin)
        begin, end = begin + 8, begin + 8 + count * dtypes[key].itemsize
        if not begin <= end <= len(data):
            raise ValueError("the file is cut off")
        storages[key] = data[begin:end]
        begin = end
    return storages
