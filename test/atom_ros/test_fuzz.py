# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A small part of what `make fuzz` sends, over DDS to the node as a process."""

from __future__ import annotations

from pathlib import Path

import fuzz
import pytest
from hostile import Call, Hostile, Publication
from std_msgs.msg import Header

from atom_ros.benchmark.command import scene
from atom_ros.images import image_message


@pytest.mark.parametrize(("compressed", "items"), [(False, 120), (True, 80)], ids=["raw", "compressed"])
def test_the_node_stands_what_no_node_should_get(tmp_path: Path, compressed: bool, items: int) -> None:
    result = fuzz.run(items, seed=1, compressed=compressed, folder=tmp_path)
    assert sum(result.kinds.values()) == items
    assert result.rounds >= items / 8 and len(result.memory) == result.rounds
    # What a request or an image costs is far below this; five targets, the most, take some 150 MB.
    assert max(result.memory) - result.memory[0] < 500.0


def test_growth_is_that_of_the_second_half() -> None:
    # The second half's first fifth is 40 and 42, its last one 50 and 54.
    memory = [0] * 10 + [40, 42, 9, 9, 9, 9, 9, 9, 50, 54]
    assert fuzz.Result(memory=memory, targets=[5] * 20).growth() == 52 - 41
    assert fuzz.Result(memory=[7], targets=[1]).growth() == 0
    # Rounds with fewer targets than the most of the half do not count: here the first 40 and the last 54.
    fewer = [5] * 10 + [4, 5, 5, 5, 5, 5, 5, 5, 5, 4]
    assert fuzz.Result(memory=memory, targets=fewer).growth() == 50 - 42


def test_a_seed_gives_the_same_items() -> None:
    good = image_message(Header(), scene(0, 64, 48), "bgr8")
    first, again, other = (Hostile(seed, good) for seed in (5, 5, 6))
    items = [first.item() for _ in range(60)]
    assert [_content(item) for item in items] == [_content(again.item()) for _ in range(60)]
    assert [_content(item) for item in items] != [_content(other.item()) for _ in range(60)]
    assert len({item.kind for item in items}) > 20


def _content(item: Publication | Call) -> str:
    """Of serialized messages only the length: the gaps between their fields hold what was in memory."""
    if isinstance(item, Publication) and isinstance(item.payload, bytes):
        return f"{item.kind} {len(item.payload)}"
    return str(item)
