# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from atom_core.data.held_back import held_back


def test_images_are_held_back_by_the_first_byte_of_their_names_sha1():
    # `printf 107072.jpg | sha1sum` begins with 02, `printf 100.jpg | sha1sum` with 3d (61).
    assert held_back("107072.jpg")
    assert not held_back("100.jpg")


def test_the_folder_does_not_count():
    assert held_back(Path("some/where/107072.jpg")) and held_back("/else/107072.jpg")


def test_five_percent_of_all_names():
    share = sum(held_back(f"{i:06d}.jpg") for i in range(20_000)) / 20_000
    assert abs(share - 13 / 256) < 0.005  # three standard deviations of a share among 20 000
