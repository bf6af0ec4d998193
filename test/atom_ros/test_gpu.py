# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import gc
import weakref

from atom_ros.gpu import keep_loaded, release_loaded


class Knot:
    """Refers to itself: only the garbage collection can free it."""

    def __init__(self) -> None:
        self.myself = self


def test_what_is_loaded_is_left_out_of_collections_until_it_is_released() -> None:
    knot = Knot()
    alive = weakref.ref(knot)
    try:
        keep_loaded()
        del knot
        gc.collect()
        assert alive() is not None
    finally:
        release_loaded()
    assert alive() is None and gc.get_freeze_count() == 0
