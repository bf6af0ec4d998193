# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import torch

from atom_core.benchmark.acceptance.modes import CAPTURES, PRECISIONS, Mode

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_names() -> None:
    assert Mode("float16", "graph").name == "float16 captured"
    assert Mode("float32", "off").name == "float32 eager"


def test_only_cuda_has_graphs() -> None:
    modes = [Mode(precision, capture) for precision in PRECISIONS for capture in CAPTURES]
    assert [mode.name for mode in modes if mode.why_not(CPU)] == [f"{p} captured" for p in PRECISIONS]
    assert not any(mode.why_not(CUDA) for mode in modes)
