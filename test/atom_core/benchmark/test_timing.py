# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import itertools
import time

import pytest
import torch

from atom_core.benchmark.timing import STAGES, Stage, staged, statistics, timed

CPU = torch.device("cpu")


class Work:
    """Stages in stages."""

    @classmethod
    def prepare(cls) -> type:
        return cls

    def outer(self, value: int) -> int:
        return self.inner(value) + 1

    def inner(self, value: int) -> int:
        return 2 * value

    def fail(self) -> None:
        raise KeyError("on purpose")


STAGES_OF_WORK = (
    Stage("first", Work, "prepare"),
    Stage("second", Work, "outer"),
    Stage("second", Work, "inner"),
    Stage("third", Work, "fail"),
)


@pytest.fixture
def clock(monkeypatch):
    """Each look at the clock takes a second."""
    monkeypatch.setattr(time, "perf_counter", itertools.count().__next__)


def test_the_whole_takes_from_one_look_at_the_clock_to_the_next(clock):
    assert timed(lambda: "done", CPU) == ("done", 1)


def test_stages_and_the_rest(clock):
    """Looks at the clock: 0, prepare 1 and 2, outer 3 and 4 (inner, a part of it, none), inner 5 and 6, and 7."""

    def run() -> tuple[type, int, int]:
        return Work.prepare(), Work().outer(3), Work().inner(4)

    result, seconds = staged(run, CPU, STAGES_OF_WORK)
    assert result == (Work, 7, 8)
    assert seconds == {"first": 1, "second": 2, "rest": 4}


def test_the_functions_are_put_back():
    before = dict(vars(Work))
    staged(lambda: Work().outer(1), CPU, STAGES_OF_WORK)
    assert dict(vars(Work)) == before
    with pytest.raises(KeyError, match="on purpose"):
        staged(lambda: Work().fail(), CPU, STAGES_OF_WORK)
    assert dict(vars(Work)) == before


def test_a_function_that_has_gone_is_named_and_nothing_stays_wrapped():
    before = dict(vars(Work))
    with pytest.raises(AttributeError, match="vanished"):
        staged(lambda: None, CPU, (*STAGES_OF_WORK, Stage("fourth", Work, "vanished")))
    assert dict(vars(Work)) == before


def test_the_trackers_stages_exist():
    assert [stage for stage in STAGES if not callable(getattr(stage.owner, stage.attribute, None))] == []


def test_statistics_by_hand():
    """Of 1, 2, 3, 4, 10 ms, the 95th percentile lies 0.95 * 4 = 3.8 steps up: 4 + 0.8 * (10 - 4)."""
    assert statistics([0.003, 0.001, 0.010, 0.002, 0.004]) == pytest.approx(
        {"count": 5, "median_ms": 3, "p95_ms": 8.8, "mean_ms": 4}
    )
    assert statistics([]) is None
