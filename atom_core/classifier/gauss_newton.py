# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Gauss-Newton with conjugate gradient, for any residual function (ATOM, section 3.2 and its equations 3 to 6).

The loss is L(w) = ||r(w)||^2. `gauss_newton` takes r alone and differentiates it by autograd; a model that can compute
J^T J p more cheaply passes that to `minimize` instead. Nothing here depends on filters, labels or images. Everything
runs on the device of the parameters without a host read, on `meta` and inside torch.compile(fullgraph=True).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Params = tuple[Tensor, ...]


class NormalEquations(NamedTuple):
    """The system J^T J dw = -J^T r of one Gauss-Newton step, with J = dr/dw and r taken at one w; vectors are (n,)."""

    apply: Callable[[Tensor], Tensor]  # p -> J^T J p
    descent: Tensor  # -J^T r


def gauss_newton(
    residuals: Callable[..., Params],
    params: Params,
    *,
    steps: int,
    cg_iterations: int,
    preconditioner: tuple[float, ...] | None = None,
) -> Params:
    """Minimise ||r(w)||^2 for any r that autograd can differentiate twice.

    Args:
        residuals: r, called as residuals(*params); returns a tuple of tensors of any shapes.
        params: w, the start; one or several tensors. Not modified.
        steps: Gauss-Newton steps.
        cg_iterations: conjugate-gradient iterations in each step.
        preconditioner: one number for each parameter tensor: M = diag of these. None for M = I.

    Returns:
        The new parameters, shaped as `params`.

    Raises:
        ValueError: if `preconditioner` does not have one number for each parameter tensor.
    """
    if preconditioner is not None and len(preconditioner) != len(params):
        raise ValueError(
            f"preconditioner has {len(preconditioner)} numbers for {len(params)} parameter tensors; "
            "give one number for each tensor"
        )

    def unflatten(vector: Tensor) -> Params:
        pieces = vector.split([w.numel() for w in params])
        return tuple(piece.view(w.shape) for piece, w in zip(pieces, params, strict=True))

    def linearize(vector: Tensor) -> NormalEquations:
        return _differentiate(lambda v: residuals(*unflatten(v)), vector)

    scales = None
    if preconditioner is not None:
        scales = _flatten(tuple(torch.full_like(w, m) for w, m in zip(params, preconditioner, strict=True)))
    start = _flatten(params)
    return unflatten(minimize(linearize, start, steps=steps, cg_iterations=cg_iterations, preconditioner=scales))


def minimize(
    linearize: Callable[[Tensor], NormalEquations],
    start: Tensor,
    *,
    steps: int,
    cg_iterations: int,
    preconditioner: Tensor | None = None,
) -> Tensor:
    """Gauss-Newton from the normal equations: each step solves J^T J dw = -J^T r for dw and adds it to w.

    Args:
        linearize: w -> the normal equations at w.
        start: (n,), all parameters as one vector. Not modified.
        steps: Gauss-Newton steps.
        cg_iterations: conjugate-gradient iterations in each step.
        preconditioner: see `conjugate_gradient`.

    Returns:
        The new parameters (n,).
    """
    w = start
    for _ in range(steps):
        equations = linearize(w)
        w = w + conjugate_gradient(
            equations.apply, equations.descent, iterations=cg_iterations, preconditioner=preconditioner
        )
    return w


def conjugate_gradient(
    apply_a: Callable[[Tensor], Tensor], b: Tensor, *, iterations: int, preconditioner: Tensor | None = None
) -> Tensor:
    """Solve A x = b from x = 0 by preconditioned conjugate gradient, A symmetric and positive semi-definite.

    Args:
        apply_a: x -> A x.
        b: right-hand side (n,), in the range of A.
        iterations: number of iterations; always all of them, since stopping early would need a host read.
        preconditioner: the diagonal of M (n,), by which the residual is divided; None for M = I.
    """
    state = CGState.start(b, preconditioner)
    for iteration in range(iterations):
        state = state.iterate(apply_a, preconditioner, is_last=iteration == iterations - 1)
    return state.x


class CGState(NamedTuple):
    """Conjugate gradient between two iterations; x is the best solution so far. All are (n,) or ().

    Written for few device operations: the direction is stored divided by rho = <r, z>, so that neither the step length
    nor the next direction needs another factor. With A and M fixed, the formulas of Fletcher-Reeves and of
    Polak-Ribiere for the next direction are equal, and so is this one.

    Once the residual has fallen to rounding error (at once if b = 0), further iterations change nothing.
    """

    x: Tensor
    residual: Tensor
    direction: Tensor
    going_on: Tensor  # bool, whether the residual is above rounding error
    rounding_error: Tensor
    never: Tensor  # infinity: what must not change is divided by it

    @classmethod
    def start(cls, b: Tensor, preconditioner: Tensor | None = None) -> CGState:
        """Before the first iteration; see `conjugate_gradient` for the arguments."""
        z = b if preconditioner is None else b / preconditioner
        rho = torch.dot(b, z)
        rounding_error, never = rho * torch.finfo(rho.dtype).eps ** 2, torch.full_like(rho, math.inf)
        going_on = rho > rounding_error
        direction = z / torch.where(going_on, rho, never)
        return cls(torch.zeros_like(b), b, direction, going_on, rounding_error, never)

    def iterate(
        self, apply_a: Callable[[Tensor], Tensor], preconditioner: Tensor | None = None, is_last: bool = False
    ) -> CGState:
        """After one more iteration, with the same A and M as before; after the last one, only x is of use."""
        x, r, p, going_on, rounding_error, never = self
        ap = apply_a(p)
        pap = torch.where(going_on, torch.dot(p, ap), never)
        x = torch.addcdiv(x, p, pap)
        if is_last:  # the next direction is not needed
            return self._replace(x=x)
        r = torch.addcdiv(r, ap, pap, value=-1)
        z = r if preconditioner is None else r / preconditioner
        rho = torch.dot(r, z)
        going_on = rho > rounding_error
        p = torch.addcdiv(p, z, torch.where(going_on, rho, never))
        return CGState(x, r, p, going_on, rounding_error, never)


def _differentiate(residuals: Callable[[Tensor], Params], w: Tensor) -> NormalEquations:
    """The normal equations at w (n,) by autograd.

    J p is the derivative of the linear map u -> J^T u: reverse mode twice. Forward mode (jvp) would repeat r for
    each p; reverse mode keeps the intermediate values of one evaluation and was measured two to four times faster.
    """
    r, transposed = torch.func.vjp(residuals, w)[:2]  # without auxiliary output

    def transposed_anew(*u: Tensor) -> Tensor:
        return torch.func.vjp(residuals, w)[1](u)[0]

    # The map is linear, so its derivative is the same everywhere; its value at u = r is needed, too.
    gradient, forward = torch.func.vjp(transposed_anew, *r)[:2]
    return NormalEquations(lambda p: transposed(forward(p))[0], -gradient)


def _flatten(params: Params) -> Tensor:
    return torch.cat([w.flatten() for w in params])
