# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_core.classifier.gauss_newton import conjugate_gradient, gauss_newton
from atom_core.classifier.target_model import soft_hinge


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense_step(residuals, params):
    """The exact Gauss-Newton step, with the Jacobian written out."""
    r = torch.cat([t.flatten() for t in residuals(*params)])
    rows = torch.func.jacrev(residuals, argnums=tuple(range(len(params))))(*params)
    jacobian = torch.cat(
        [
            torch.cat([block.reshape(block.numel() // w.numel(), -1) for block, w in zip(row, params, strict=True)], 1)
            for row in rows
        ]
    )
    step = torch.linalg.solve(jacobian.T @ jacobian, -jacobian.T @ r)
    pieces = step.split([w.numel() for w in params])
    return tuple(w + dw.view_as(w) for w, dw in zip(params, pieces, strict=True))


def one_layer(activation):
    x, y = rand(12, 5, seed=1), rand(12, seed=2)
    return lambda w: (activation(x @ w) - y, 0.3 * w)


def two_layers(activation):
    """Projection and filter, as in the tracker: a product of two parameters."""
    x, y = rand(12, 4, seed=1), rand(12, seed=2)
    return lambda w1, w2: (activation(x @ w1 @ w2) - y, 0.3 * w1, 0.5 * w2)


def hinge(x):
    return soft_hinge(x, 0.05)


@pytest.mark.parametrize("scale", [None, 0.1, 7.0])
def test_linear_least_squares_is_solved_in_one_step(scale):
    a, b = rand(9, 5, seed=3), rand(9, seed=4)
    expected = torch.linalg.solve(a.T @ a + 0.04 * torch.eye(5, dtype=a.dtype), a.T @ b)

    (w,) = gauss_newton(
        lambda w: (a @ w - b, 0.2 * w),
        (rand(5),),
        steps=1,
        cg_iterations=5,  # as many as unknowns: exact
        preconditioner=None if scale is None else (scale,),
    )

    torch.testing.assert_close(w, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("activation", [torch.tanh, hinge])
def test_steps_agree_with_dense_solves_one_parameter(activation):
    residuals, params = one_layer(activation), (0.3 * rand(5),)
    expected = params
    for _ in range(3):
        expected = dense_step(residuals, expected)

    actual = gauss_newton(residuals, params, steps=3, cg_iterations=15)

    torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("activation", [torch.tanh, hinge])
def test_steps_agree_with_dense_solves_two_parameters(activation):
    residuals, params = two_layers(activation), (0.3 * rand(4, 3, seed=5), 0.3 * rand(3, seed=6))
    expected = dense_step(residuals, dense_step(residuals, params))

    actual = gauss_newton(residuals, params, steps=2, cg_iterations=40, preconditioner=(0.09, 0.25))

    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


def test_residuals_are_linearised_once_a_step():
    calls = []
    residuals = one_layer(torch.tanh)

    def counted(w):
        calls.append(1)
        return residuals(w)

    gauss_newton(counted, (rand(5),), steps=3, cg_iterations=10)

    assert len(calls) == 2 * 3  # once for J^T u, once for its derivative J p


def test_preconditioner_by_hand():
    # A = diag(2, 8), b = (1, 1). Without: p = b, rho = 2, <p, Ap> = 10, so x = 0.2 p.
    # With M = (1, 4), A's own shape: z = (1, 1/4), rho = 5/4, Ap = (2, 2), <p, Ap> = 5/2, so x = z / 2, the solution.
    diagonal, b = torch.tensor([2.0, 8.0]), torch.ones(2)

    plain = conjugate_gradient(lambda p: diagonal * p, b, iterations=1)
    preconditioned = conjugate_gradient(
        lambda p: diagonal * p, b, iterations=1, preconditioner=torch.tensor([1.0, 4.0])
    )

    torch.testing.assert_close(plain, torch.tensor([0.2, 0.2]))
    torch.testing.assert_close(preconditioned, torch.tensor([0.5, 0.125]))


def textbook_cg(a, b, m, iterations, polak_ribiere):
    x, r = np.zeros_like(b), b
    z = p = r / m
    rho = r @ z
    for _ in range(iterations):
        alpha = rho / (p @ a @ p)
        x = x + alpha * p
        last, r = r, r - alpha * (a @ p)
        z = r / m
        beta = (r @ z - (last @ z if polak_ribiere else 0.0)) / rho
        rho = r @ z
        p = z + max(0.0, beta) * p
    return x


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
@pytest.mark.parametrize("polak_ribiere", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_iterate_is_that_of_both_textbook_formulas(polak_ribiere, iterations, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(9, 6))
    a, b, m = a.T @ a, rng.normal(size=6), rng.uniform(0.5, 3.0, 6)
    a_torch = torch.from_numpy(a)

    x = conjugate_gradient(
        lambda p: a_torch @ p, torch.from_numpy(b), iterations=iterations, preconditioner=torch.from_numpy(m)
    )

    np.testing.assert_allclose(x.numpy(), textbook_cg(a, b, m, iterations, polak_ribiere), rtol=1e-9)


def test_zero_right_hand_side_gives_zero():
    x = conjugate_gradient(lambda p: 3 * p, torch.zeros(4), iterations=5)
    assert torch.equal(x, torch.zeros(4))


def test_optimum_is_a_fixed_point():
    w = torch.tensor([1.0, 2.0])
    (moved,) = gauss_newton(lambda v: (v - w,), (w,), steps=2, cg_iterations=3)
    assert torch.equal(moved, w)


def test_iterations_after_convergence_change_nothing():
    # A has rank 1; in float32 the division by <p, Ap> of rounding errors must not blow up.
    v = torch.tensor([1.0, 2.0, -1.0])
    x = conjugate_gradient(lambda p: v * (v @ p), 6 * v, iterations=100)
    torch.testing.assert_close(x, v)  # v (v.v) = 6 v


def test_no_iterations_leave_the_start():
    (w,) = gauss_newton(lambda w: (w - 1,), (torch.zeros(3),), steps=2, cg_iterations=0)
    assert torch.equal(w, torch.zeros(3))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 12),
    unknowns=st.integers(1, 8),
    regularization=st.floats(1e-3, 10.0),
    scale=st.floats(0.01, 100.0),
)
def test_loss_of_a_linear_problem_never_rises(seed, rows, unknowns, regularization, scale):
    a, b, start = rand(rows, unknowns, seed=seed), rand(rows, seed=seed + 1), rand(unknowns, seed=seed + 2)

    def residuals(w):
        return a @ w - b, math.sqrt(regularization) * w

    losses = []
    for iterations in range(unknowns + 2):
        (w,) = gauss_newton(residuals, (start,), steps=1, cg_iterations=iterations, preconditioner=(scale,))
        losses.append(sum(r.square().sum() for r in residuals(w)).item())

    for fewer, more in itertools.pairwise(losses):
        assert more <= fewer * (1 + 1e-9)


@pytest.mark.parametrize("scales", [(), (1.0, 2.0)])
def test_wrong_number_of_preconditioner_values_is_refused(scales):
    with pytest.raises(ValueError, match=f"{len(scales)} numbers for 1 parameter"):
        gauss_newton(lambda w: (w,), (torch.ones(2),), steps=1, cg_iterations=1, preconditioner=scales)


def test_runs_on_meta():
    x = torch.empty(12, 4, device="meta")
    params = torch.empty(4, 3, device="meta"), torch.empty(3, device="meta")

    w1, w2 = gauss_newton(
        lambda w1, w2: (hinge(x @ w1 @ w2), w1, w2),
        params,
        steps=2,
        cg_iterations=3,
        preconditioner=(1.0, 2.0),
    )

    assert (w1.device.type, w1.shape, w2.shape) == ("meta", (4, 3), (3,))


def test_compiles_as_one_graph():
    residuals, params = two_layers(hinge), (0.3 * rand(4, 3, seed=5), 0.3 * rand(3, seed=6))

    def optimise(w1, w2):
        return gauss_newton(residuals, (w1, w2), steps=2, cg_iterations=3, preconditioner=(0.09, 0.25))

    compiled = torch.compile(optimise, fullgraph=True, backend="eager")

    torch.testing.assert_close(compiled(*params), optimise(*params), rtol=1e-9, atol=1e-9)
