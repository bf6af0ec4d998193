# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import Tensor

from atom_core.benchmark.counting import Counts, counted

CPU = torch.device("cpu")


def count(run, device: torch.device = CPU) -> Counts:
    return counted(run, device)[1]


def test_a_small_function_counted_by_hand():
    def run() -> float:
        doubled = (x + 1) * 2  # two operations
        return doubled.view(-1).sum().item()  # a view, one operation, one read

    x = torch.zeros(2, 3)
    result, counts = counted(run, CPU)
    assert result == 12
    assert counts == Counts(
        operations=3, host_reads=1, uploads=0, views=1, names={"add.Tensor": 1, "mul.Tensor": 1, "sum": 1}
    )


def test_operations_inside_derivatives_count():
    """x * x and its sum; then the derivative of the sum (ones), twice ones * x, and their sum. `expand` is a view."""
    x = torch.ones(3)
    counts = count(lambda: torch.func.grad(lambda t: (t * t).sum())(x))
    assert counts.names == {"mul.Tensor": 3, "sum": 1, "ones_like": 1, "add.Tensor": 1}
    assert counts.operations == 6


def test_a_matrix_product_is_one_operation():
    """The product of (2, 3, 4) and (4, 5) is made of one of matrices (6, 4) and (4, 5), and of views."""
    a, b = torch.ones(2, 3, 4), torch.ones(4, 5)
    assert count(lambda: a @ b).names == {"mm": 1}


X = torch.arange(6.0).view(2, 3)
MASK = X > 2


@pytest.mark.parametrize(
    ("run", "operations"),
    [
        (lambda: bool(X[0, 0]), 0),
        (lambda: float(X[0, 0]), 0),
        (lambda: X.tolist(), 0),
        (lambda: X.cpu(), 0),
        (lambda: X.nonzero(), 1),
        (lambda: torch.where(MASK), 1),
        (lambda: X[MASK], 1),
        (lambda: X.clone().index_put_((MASK,), X[1, 0]), 2),
        (lambda: X.masked_select(MASK), 1),
        (lambda: torch.equal(X, X), 1),
    ],
)
def test_host_reads(run, operations: int):
    counts = count(run)
    assert (counts.host_reads, counts.operations) == (1, operations)


@pytest.mark.parametrize(
    "run",
    [
        lambda: X[torch.tensor([1, 0])],  # indices, not a mask
        lambda: torch.where(MASK, X, 0),
        lambda: X.masked_fill(MASK, 0),
        lambda: X.numpy(),  # of a tensor on the host, always
        lambda: X[1],
    ],
)
def test_no_host_reads(run):
    assert count(run).host_reads == 0


@pytest.mark.parametrize(
    ("run", "uploads"),
    [
        (lambda: X.to(CPU), 1),
        (lambda: X.to(device="cpu"), 1),
        (lambda: X.to(X), 1),
        (lambda: X.to(torch.float64), 0),
        (lambda: torch.tensor([1.0], device=CPU), 1),
        (lambda: torch.tensor([1.0]), 0),
        (lambda: X.new_tensor([1.0]), 1),
        (lambda: X.new_zeros(3), 0),
    ],
)
def test_on_the_cpu_the_calls_that_would_upload_elsewhere_count(run, uploads: int):
    assert count(run).uploads == uploads


def test_on_another_device_only_its_tensors_count():
    """Two operations on the host, a copy to the device, there a conversion and a sum."""

    def run() -> Tensor:
        on_host = torch.ones(3) * 2
        assert on_host.tolist() == [2, 2, 2]
        return on_host.to("meta").double().sum()

    counts = count(run, torch.device("meta"))
    assert counts == Counts(operations=2, host_reads=0, uploads=1, views=0, names={"_to_copy": 1, "sum": 1})


def test_nothing_is_counted_afterwards():
    counts = count(lambda: X + 1)
    X.add(1), X.tolist()
    assert (counts.operations, counts.host_reads) == (1, 0)
