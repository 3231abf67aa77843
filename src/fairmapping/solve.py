"""The objective of Fair Mapping as a function of the folded map, and its exact minimum. Torch only.

Rows are vectors: a map M sends an embedding x to x M. With U_tj the difference between neutral and attribute-specific
version j in term t (one row, or one per token) and d_tj = ||U_tj M||,

    F(M) = tr((M - I)' G (M - I)) + weight * sum_t w_t Var_j(d_tj)          (Li et al., arXiv 2311.17695)

The variance is convex in P = M M', because each d^2 is linear in P and the geometric means d_i d_j are concave in them.
So the problem has a concave dual without local optima, and one number tells how far any M is from the global minimum.
docs/method.md proves it and gives the formulas used here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Objective", "Solution", "Terms", "solve"]

_DIRECT = 6000  # distances up to which the dual's Hessian is written out (144 MB); above, conjugate gradients
_CG_STEPS = 60


@dataclass(frozen=True, eq=False)
class Terms:
    """The sets of distances, one set a term, whose spread is penalised.

    ``rows`` (T, K, l, D): the differences to the K groups, l rows each. ``weight`` (T,). ``keyword`` (T,): which keyword
    a term is about, so that the solver can start from the mean of a keyword's terms.
    """

    rows: Tensor
    weight: Tensor
    keyword: Tensor

    def variance(self, M: Tensor) -> Tensor:
        """Sum over the terms of weight times the variance of the K distances under M."""
        d = (self.rows @ M).square().sum((-1, -2)).sqrt()  # (T, K)
        return (self.weight * d.var(1, correction=0)).sum()

    def mean_by_keyword(self) -> Terms:
        keywords, index = self.keyword.unique(return_inverse=True)
        count = torch.bincount(index).to(self.rows)
        rows = self.rows.new_zeros(len(keywords), *self.rows.shape[1:]).index_add_(0, index, self.rows)
        weight = self.weight.new_zeros(len(keywords)).index_add_(0, index, self.weight)
        return Terms(rows / count[:, None, None, None], weight, keywords)


@dataclass(frozen=True, eq=False)
class Objective:
    """F(M) of the module's docstring. ``gram`` (D, D) is positive definite; one entry of ``terms`` per attribute."""

    gram: Tensor
    terms: tuple[Terms, ...]
    weight: float

    def text(self, M: Tensor) -> Tensor:
        """L_text: the mean squared change of the embeddings, with what `gram` adds to them."""
        E = M - torch.eye(len(M), dtype=M.dtype, device=M.device)
        return ((self.gram @ E) * E).sum()

    def fair(self, M: Tensor) -> Tensor:
        """L_fair: the weighted variance of the distances."""
        return torch.stack([terms.variance(M) for terms in self.terms]).sum()

    def __call__(self, M: Tensor) -> Tensor:
        return self.text(M) + self.weight * self.fair(M)


@dataclass(frozen=True, eq=False)
class Solution:
    """``matrix`` (D, D); its ``value`` F; ``bound``, below which no matrix gets F; ``iterations`` of Newton's method.

    ``shares`` are the dual variables s_tj: at the optimum, each distance over the mean of its term.
    """

    matrix: Tensor
    value: float
    bound: float
    iterations: int
    shares: tuple[Tensor, ...]


def solve(
    objective: Objective,
    *,
    tolerance: float = 1e-5,
    max_iterations: int = 50,
    on_step: Callable[[int, float, float], None] | None = None,
) -> Solution:
    """The global minimum of F, found by Newton's method on the concave dual: no step size, no start to choose.

    Stops when value <= bound * (1 + tolerance), or when rounding leaves no more to gain. ``on_step`` is called with
    (iteration, value, bound).

    Raises ValueError if ``gram`` is not positive definite.
    """
    start = None
    if any(len(terms.keyword.unique()) < len(terms.keyword) for terms in objective.terms) and _is_direct(objective):
        # A keyword's templates behave alike. Their mean is a problem a fraction of the size, solved in no time, whose
        # dual variables are near the whole problem's: one Hessian of full size is then enough.
        means = tuple(terms.mean_by_keyword() for terms in objective.terms)
        coarse = _newton(Objective(objective.gram, means, objective.weight), None, 1e-3, max_iterations, None)
        start = tuple(
            s[torch.searchsorted(mean.keyword, terms.keyword)]
            for s, mean, terms in zip(coarse.shares, means, objective.terms, strict=True)
        )
    return _newton(objective, start, tolerance, max_iterations, on_step)


def _is_direct(objective: Objective) -> bool:
    shapes = [terms.rows.shape for terms in objective.terms]
    return all(shape[2] == 1 for shape in shapes) and sum(shape[0] * shape[1] for shape in shapes) <= _DIRECT


def _newton(
    objective: Objective,
    start: tuple[Tensor, ...] | None,
    tolerance: float,
    max_iterations: int,
    on_step: Callable[[int, float, float], None] | None,
) -> Solution:
    dual = _Dual(objective)
    s = dual.cat(start) if start is not None else torch.ones_like(dual.weight)
    point = dual.at(s)
    if point is None:  # only the start s = 1, where H = G, is sure to be inside
        s = torch.ones_like(s)
        point = dual.at(s)
    if point is None:
        raise ValueError("the Gram matrix is not positive definite; give a larger ridge")
    best, bound, gap, newton_step = point, point.bound, math.inf, None
    for iteration in range(max_iterations + 1):
        if point.value < best.value:
            best = point
        bound = max(bound, point.bound)
        if on_step:
            on_step(iteration, best.value, bound)
        previous, gap = gap, point.value - point.bound
        if best.value - bound <= tolerance * best.value or iteration == max_iterations:
            break
        if newton_step is None or gap > 0.2 * previous:  # else the last Hessian still serves
            newton_step = dual.newton(point)
        step, size = newton_step(point), 1.0
        while size > 1e-3:
            trial = point.s + size * step
            moved = dual.at(trial) if bool((trial > 0).all()) else None
            if moved is not None and moved.bound > point.bound:
                break
            size /= 2
        else:
            break  # rounding: the dual's value no longer rises
        point = moved
    return Solution(best.M, best.value, bound, iteration, dual.split(best.s))


@dataclass(frozen=True, eq=False)
class _Point:
    """What is known at the dual variables s: M = H^-1 G, V = U M, and F(M) with its bound."""

    s: Tensor
    M: Tensor
    V: Tensor  # (N, l, D)
    factor: Tensor  # Cholesky factor of H
    value: float
    bound: float


class _Dual:
    """The concave dual: multipliers mu = w (1 - 1/s), s > 0 with mean 1 in each term, H = G + sum mu U'U.

    Its value is sum mu <U M, U> with M = H^-1 G, and every such value bounds F from below. All N distances of all terms
    lie one after the other.
    """

    def __init__(self, objective: Objective) -> None:
        self.gram = objective.gram
        self.objective = objective
        self.shapes = [tuple(terms.rows.shape[:2]) for terms in objective.terms]
        self.U = torch.cat([terms.rows.flatten(0, 1) for terms in objective.terms])  # (N, l, D)
        self.rows = self.U.flatten(0, 1)  # (N l, D)
        self.weight = objective.weight * self.cat(
            tuple((terms.weight / k)[:, None].expand(t, k) for terms, (t, k) in zip(objective.terms, self.shapes, strict=True))
        )
        self.direct = _is_direct(objective)

    def cat(self, parts: tuple[Tensor, ...]) -> Tensor:
        return torch.cat([part.reshape(-1) for part in parts])

    def split(self, flat: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            part.view(shape) for part, shape in zip(flat.split([t * k for t, k in self.shapes]), self.shapes, strict=True)
        )

    def centre(self, flat: Tensor) -> Tensor:
        """Less the mean of each term."""
        return self.cat(tuple(part - part.mean(1, keepdim=True) for part in self.split(flat)))

    def at(self, s: Tensor) -> _Point | None:
        """The point at s, or None where H is not positive definite."""
        mu = self.weight * (1 - 1 / s)
        H = torch.addmm(self.gram, self.rows.mT * mu.repeat_interleave(self.U.shape[1]), self.rows)
        factor, info = torch.linalg.cholesky_ex(H)
        if int(info):
            return None
        M = torch.cholesky_solve(self.gram, factor)
        V = (self.rows @ M).view_as(self.U)
        spread = self.centre(V.square().sum((-1, -2)).sqrt())
        value = float(self.objective.text(M) + (self.weight * spread.square()).sum())
        bound = float((mu * (self.U * V).sum((-1, -2))).sum())
        return _Point(s, M, V, factor, value, bound) if math.isfinite(value + bound) else None

    def newton(self, point: _Point) -> Callable[[_Point], Tensor]:
        """Newton's step from any point, with the Hessian of this one."""
        # x = d^2. Gradient in s: a x; minus the Hessian: diag(2 a x / s) + 2 diag(a) (UH^-1U' o VV') diag(a)
        a = self.weight / point.s**2
        x = point.V.square().sum((-1, -2))
        curve = self._factored(point, a, x) if self.direct else functools.partial(self._conjugate, point, a, x)

        def step(here: _Point) -> Tensor:
            return curve(self.weight / here.s**2 * here.V.square().sum((-1, -2)))

        return step

    def _factored(self, point: _Point, a: Tensor, x: Tensor) -> Callable[[Tensor], Tensor]:
        # Float32 serves: the Hessian only steers the steps, and the gap tells when they have arrived.
        W = torch.linalg.solve_triangular(point.factor, self.rows.mT, upper=False).mT.float()  # (N, D)
        V = (point.V.flatten(0, 1) * a[:, None]).float()
        hessian = (W @ W.mT).mul_(V @ (V.mT * 2))
        hessian.diagonal().add_((2 * a * x / point.s).float())
        bases = [_contrasts(k).to(hessian) for _, k in self.shapes]
        hessian = self._reduce(self._reduce(hessian, bases).mT, bases)
        factor, info = torch.linalg.cholesky_ex(hessian)
        if int(info):
            hessian.diagonal().add_(1e-5 * hessian.diagonal().mean())
            factor = torch.linalg.cholesky(hessian)

        def step(gradient: Tensor) -> Tensor:
            reduced = self._reduce(gradient.float()[:, None], bases)
            y = torch.cholesky_solve(reduced, factor)[:, 0].to(gradient)
            parts = y.split([t * (k - 1) for t, k in self.shapes])
            return self.cat(
                tuple(part.view(t, k - 1) @ B.mT.to(part) for part, B, (t, k) in zip(parts, bases, self.shapes, strict=True))
            )

        return step

    def _reduce(self, columns: Tensor, bases: list[Tensor]) -> Tensor:
        """(N, m) -> (sum of T (K - 1), m): the contrasts of each term."""
        parts = columns.split([t * k for t, k in self.shapes])
        return torch.cat(
            [
                (B.mT @ part.reshape(t, k, -1)).flatten(0, 1)
                for part, B, (t, k) in zip(parts, bases, self.shapes, strict=True)
            ]
        )

    def _conjugate(self, point: _Point, a: Tensor, x: Tensor, gradient: Tensor) -> Tensor:
        """Newton's step by conjugate gradients on the steps whose sum over each term is zero."""
        length = self.U.shape[1]

        def apply(z: Tensor) -> Tensor:
            inner = (self.rows.mT * (a * z).repeat_interleave(length)) @ point.V.flatten(0, 1)
            back = (self.rows @ torch.cholesky_solve(inner, point.factor)).view_as(self.U)
            return self.centre(2 * a * x / point.s * z + 2 * a * (back * point.V).sum((-1, -2)))

        W = torch.linalg.solve_triangular(point.factor, self.rows.mT, upper=False).mT.view_as(self.U)
        diagonal = 2 * a * x / point.s + 2 * a**2 * ((W @ W.mT) * (point.V @ point.V.mT)).sum((-1, -2))
        residual = self.centre(gradient)
        solution, scale = torch.zeros_like(residual), residual.norm()
        z = self.centre(residual / diagonal)
        direction, rz = z, residual @ z
        for _ in range(_CG_STEPS):
            applied = apply(direction)
            alpha = rz / (direction @ applied)
            solution = solution + alpha * direction
            residual = residual - alpha * applied
            if residual.norm() <= 0.03 * scale:
                break
            z = self.centre(residual / diagonal)
            rz, old = residual @ z, rz
            direction = z + rz / old * direction
        return solution


def _contrasts(k: int) -> Tensor:
    """(k, k - 1) orthonormal columns, all orthogonal to the constant."""
    helmert = torch.tril(torch.ones(k, k), -1)[:, : k - 1].double()  # column j: zeros, then ones below j
    helmert[range(k - 1), range(k - 1)] = -torch.arange(k - 1, 0, -1).double()
    return helmert / helmert.norm(dim=0)
