# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import functools
import importlib
import io
import itertools
import os
import pickle
from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_core.checkpoint.safe_pickle import Call, Name, PersistentId, read_pickle

PROTOCOLS = (2, 3, 4, 5)
NOTHING = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
DATA = st.recursive(
    NOTHING,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
)


class Reduce:
    """Pickles as the call `function(*arguments)`; either may be such a call itself."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments

    def __call__(self):
        raise AssertionError("only pickle asks whether this can be called")


class PicklerWithIds(pickle.Pickler):
    """Asks for an outside object wherever it meets a `PersistentId`."""

    def persistent_id(self, value):
        return value.value if isinstance(value, PersistentId) else None


def pickled(value, protocol):
    file = io.BytesIO()
    PicklerWithIds(file, protocol).dump(value)
    return file.getvalue()


def text(value):
    """The instruction that pushes a text."""
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def attack(kind, canary, protocol):
    """A pickle that creates the file `canary` when it is unpickled."""
    command = f"touch '{canary}'"
    ordered_dict = b"\x80\x02ccollections\nOrderedDict\n)R"  # an empty one, whose attributes can be set
    system = b"cposix\nsystem\n"
    get_system = Reduce(getattr, Reduce(importlib.import_module, "os"), "system")
    objects = {
        "os.system": Reduce(os.system, command),
        "eval": Reduce(eval, f"open({str(canary)!r}, 'w')"),
        "exec": Reduce(exec, f"open({str(canary)!r}, 'w')"),
        "nested reduce": Reduce(get_system, command),
        "partial": Reduce(Reduce(functools.partial, os.system, command)),
        "in a key": {Reduce(os.system, command): 1},
        "in a persistent id": PersistentId(("storage", Reduce(os.system, command), "0", "cpu", 1)),
    }
    programs = {
        "set state": ordered_dict + b"}" + text("__setstate__") + system + b"sb" + text(command) + b"b.",
        "append": ordered_dict + b"}" + text("append") + system + b"sb" + text(command) + b"a.",
        "instance": b"\x80\x02(" + text(command) + b"ios\nsystem\n.",
        "object": b"\x80\x02(" + system + text(command) + b"o.",
    }
    return programs[kind] if kind in programs else pickled(objects[kind], protocol)


ATTACKS = ["os.system", "eval", "exec", "nested reduce", "partial", "in a key", "in a persistent id"]
PROGRAMS = ["set state", "append", "instance", "object"]


class TrustingUnpickler(pickle.Unpickler):
    def persistent_load(self, reference):
        return reference


@pytest.mark.parametrize(
    ("kind", "protocol"), [*itertools.product(ATTACKS, PROTOCOLS), *itertools.product(PROGRAMS, [2])]
)
def test_nothing_runs(tmp_path, kind, protocol):
    canary = tmp_path / "it_ran"
    data = attack(kind, canary, protocol)
    if kind in ("instance", "object"):  # instructions that no protocol since 2 writes
        with pytest.raises(ValueError, match=r"holds the instruction (INST|OBJ) at byte"):
            read_pickle(io.BytesIO(data))
    else:
        names = read_pickle(io.BytesIO(data)).names
        assert any(name.partition(".")[2] in ("system", "eval", "exec", "getattr") for name in names)
    assert not canary.exists()
    TrustingUnpickler(io.BytesIO(data)).load()
    assert canary.exists()  # it was armed


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=50)
@given(value=DATA)
def test_plain_data_is_what_pickle_reads(protocol, value):
    assert read_pickle(io.BytesIO(pickle.dumps(value, protocol))).value == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shared_and_recursive_objects(protocol):
    shared = [1]
    value = [shared, shared]
    value.append(value)
    read = read_pickle(io.BytesIO(pickle.dumps(value, protocol))).value
    assert read[0] == [1] and read[0] is read[1] and read[2] is read


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_are_notes_of_what_was_asked_for(protocol):
    value = [OrderedDict(a=1, b=[2]), OrderedDict, PersistentId(("storage", 7))]
    read = read_pickle(io.BytesIO(pickled(value, protocol)))
    ordered, named, outside = read.value
    assert isinstance(ordered, Call) and ordered.function == named == Name("collections.OrderedDict")
    assert ordered.arguments == () and ordered.items == {"a": 1, "b": [2]}
    assert isinstance(outside, PersistentId) and outside.value == ("storage", 7)
    assert read.persistent_ids == (outside,) and read.names == ("collections.OrderedDict",)


def test_several_pickles_in_a_row():
    file = io.BytesIO(pickle.dumps([1], 2) + pickle.dumps("two", 2) + b"rest")
    assert [read_pickle(file).value, read_pickle(file).value, file.read()] == [[1], "two", b"rest"]


def test_numbers_in_the_pickle_ask_for_no_memory():
    # pickle.Unpickler would make a table of 2^32 entries for this place, and 2^40 bytes for the other.
    assert read_pickle(io.BytesIO(b"\x80\x02Nr\xff\xff\xff\x7f.")).value is None
    with pytest.raises(ValueError):
        read_pickle(io.BytesIO(b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"few."))


def test_deep_keys_do_not_overflow_the_stack():
    deep = b")" + b"\x85" * 300_000  # a tuple in a tuple in a tuple, ...: hashing it would end the process
    assert read_pickle(io.BytesIO(b"\x80\x02}(" + deep + b"Nu.")).value == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "pickle exhausted"),
        (b"\x80\x02N", "pickle exhausted"),
        (b"\x80\x02.", "empty stack"),
        (b"\x80\x02b.", "empty stack"),
        (b"\x80\x02Nt.", "empty stack"),
        (b"\x80\x02h\x05.", "recalls object 5"),
        (b"\x80\x04NN\x93.", "a name that is no text"),
        (b"\x80\x02}(Nu.", "shorter"),
        (b"\x80\x02\x82\x01.", "EXT1 at byte 2"),
        (b"\x80\x02X\x05\x00\x00\x00ab.", "expected 5 bytes"),
    ],
)
def test_damaged_pickles_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        read_pickle(io.BytesIO(data))
