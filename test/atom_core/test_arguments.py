# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import ast
from pathlib import Path

import pytest

from atom_core.arguments import join_negative_values

ROOT = Path(__file__).parents[2]
PROGRAMS = [
    path.relative_to(ROOT)
    for package in ("atom_core", "atom_ros")
    for path in sorted((ROOT / package).rglob("*.py"))
    if any(isinstance(n, ast.FunctionDef) and n.name == "main" for n in ast.parse(path.read_text()).body)
]


def test_negative_values_are_joined_to_their_options() -> None:
    words = ["in.mp4", "--box", "-5,10,60,60", "--box", ".5,1,2,3", "--overwrite", "-x", "--other", "-5", "--box", "-h"]
    expected = ["in.mp4", "--box=-5,10,60,60", "--box", ".5,1,2,3", "--overwrite", "-x", "--other", "-5", "--box", "-h"]
    assert join_negative_values(words, ["--box"]) == expected


@pytest.mark.parametrize("path", PROGRAMS, ids=str)
def test_every_program_runs_as_a_module(path: Path) -> None:
    """`python -m` of a module that has a `main` does something, instead of nothing with status 0."""
    body = ast.parse((ROOT / path).read_text()).body
    assert isinstance(body[-1], ast.If) and ast.unparse(body[-1].test) == "__name__ == '__main__'"
    assert "main(" in ast.unparse(body[-1])
