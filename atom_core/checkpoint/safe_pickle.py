# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Reads a pickle as data, without importing or calling anything that it names.

A pickle is a program for a small stack machine, and `pickle.Unpickler` runs it. Restricting its `find_class` is not
enough: it still calls the permitted functions, calls `__setstate__`, `append`, `extend` and `__setitem__` on their
results, hashes keys of any depth, and allocates whatever size the file states. Here `pickletools`, which only decodes,
reads the instructions. Data instructions build plain lists, tuples and dictionaries; those that name or call something
leave a placeholder (`Name`, `Call`, `PersistentId`).

`torch.load(weights_only=True)` with stubs for the authors' classes (`torch.serialization.safe_globals`) does not
replace this. PyTorch before 2.5 has no such stubs. Later versions do not list the classes named in a file of the old
container, so stubs cannot be made for them. They also hash a dictionary's keys: a few hundred kilobytes of nested
tuples end the process with a segmentation fault (seen with PyTorch 2.14).
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the pickle names, such as "collections.OrderedDict"; it is not looked up."""

    path: str


@dataclass(eq=False, slots=True)
class Call:
    """Placeholder for an object that the pickle builds by a call; nothing is called.

    Arguments of `__setstate__`, `append` and `extend` are dropped.
    """

    function: object  # a Name; in a hostile file anything
    arguments: object  # a tuple; in a hostile file anything
    items: dict[str | int, object] = field(default_factory=dict)  # what would be set by object[key] = value


@dataclass(frozen=True, eq=False, slots=True)
class PersistentId:
    """Placeholder for an object stored outside the pickle: in PyTorch's files, a tensor's numbers."""

    value: object


@dataclass(frozen=True)
class Pickled:
    """A pickle's content."""

    value: object
    names: tuple[str, ...]  # of all classes and functions that it names, sorted
    persistent_ids: tuple[PersistentId, ...]


def read_pickle(file: BytesIO) -> Pickled:
    """Reads one pickle and leaves the file at its end.

    Args:
        file: in memory, so that a length stated in the pickle cannot exceed the data.

    Raises:
        ValueError: if it is not a pickle, is cut off, or holds an instruction that protocols 2 to 5 do not write.
    """
    machine = _Machine()
    for instruction, argument, position in pickletools.genops(file):
        step = _STEPS.get(instruction.name)
        if step is None:
            raise ValueError(f"the pickle holds the instruction {instruction.name} at byte {position}; it is not read")
        step(machine, argument)
    return Pickled(machine.pop(), tuple(sorted(machine.names)), tuple(machine.persistent_ids))


_MARK = object()


class _Machine:
    """The stack machine without names and calls."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, object] = {}
        self.names: set[str] = set()
        self.persistent_ids: list[PersistentId] = []

    def push(self, value: object) -> None:
        self.stack.append(value)

    def top(self) -> Any:
        if not self.stack:
            raise ValueError("the pickle is damaged: it takes from an empty stack")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.top()
        self.stack.pop()
        return value

    def pop_to_mark(self) -> list[Any]:
        values = []
        while (value := self.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def pop_tuple(self, length: int) -> tuple[Any, ...]:
        return tuple([self.pop() for _ in range(length)][::-1])

    def remember(self, index: int) -> None:
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError(f"the pickle is damaged: it recalls object {index}, which is not there")
        self.push(self.memo[index])

    def append(self, values: list[Any]) -> None:
        if isinstance(self.top(), list):
            self.top().extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.top()
        items = target.items if isinstance(target, Call) else target
        if isinstance(items, dict):
            # Other keys may be unhashable, or overflow the stack when hashed; no checkpoint needs them.
            items.update((k, v) for k, v in zip(values[::2], values[1::2], strict=True) if isinstance(k, str | int))

    def name(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("the pickle is damaged: it looks up a name that is no text")
        self.names.add(f"{module}.{name}")
        self.push(Name(f"{module}.{name}"))

    def call(self) -> None:
        function, arguments = self.pop_tuple(2)
        self.push(Call(function, arguments))

    def call_with_keywords(self) -> None:
        self.pop()
        self.call()

    def set_state(self) -> None:
        self.pop()
        self.top()

    def refer(self) -> None:
        reference = PersistentId(self.pop())
        self.persistent_ids.append(reference)
        self.push(reference)


_LITERALS = (
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)
# What each instruction does to the machine, given its argument. Sets are read as lists: their members need no hash.
_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(_LITERALS.split(), _Machine.push),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_SET": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "MARK": lambda machine, _: machine.push(_MARK),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.push(machine.pop_tuple(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.pop_tuple(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.pop_tuple(3)),
    "FROZENSET": lambda machine, _: machine.push(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(list(machine.pop_tuple(2))),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "GLOBAL": lambda machine, argument: machine.name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.pop_tuple(2)),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.call(),
    "NEWOBJ_EX": lambda machine, _: machine.call_with_keywords(),
    "BUILD": lambda machine, _: machine.set_state(),
    "BINPERSID": lambda machine, _: machine.refer(),
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
}
