# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The strategy in use fits the interface, so another one can take its place."""

import inspect

from atom_core.long_term.redetection import Redetection
from atom_core.long_term.strategy import LongTerm

METHODS = ("plan", "recognise", "judge", "teaches", "learn", "rescale")


def test_the_interface_is_what_the_tracker_calls() -> None:
    methods = {name for name, value in vars(LongTerm).items() if inspect.isfunction(value) and not name.startswith("_")}
    assert methods == set(METHODS)


def test_redetection_takes_the_arguments_of_the_interface() -> None:
    for name in METHODS:
        expected = list(inspect.signature(getattr(LongTerm, name)).parameters)
        assert list(inspect.signature(getattr(Redetection, name)).parameters) == expected, name
