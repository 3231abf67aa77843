"""The objective of Fair Mapping as a function of the folded map, and its exact minimum. Torch only.

Rows are vectors: a map M sends an embedding x to x M. With U_tj the difference between a neutral prompt and its
attribute-specific version j in term t (one row, or one per token) and d_tj = ||U_tj M||,

    F(M) = tr((M - I)' G (M - I)) + weight * sum_t w_t Var_j(d_tj)          (Li et al., arXiv 2311.17695)

The variance is convex in P = M M', because each d^2 is linear in P and the geometric means d_i d_j are concave in them.
So the problem has a concave dual without local optima, and one number tells how far any M is from the global minimum.
docs/method.md proves it and gives the formulas used here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Objective", "Solution", "Terms", "solve"]

_DIRECT = 6000  # distances up to which the Hessian of the dual is written out (144 MB); above, conjugate gradients
_CHUNK = 960  # distances in a block of it
_CG_STEPS = 60
Step = Callable[[int, float, float], None]


@dataclass(frozen=True, eq=False)
class Terms:
    """The sets of distances of one attribute, one set a term, whose spread is penalised.

    ``rows`` (T, K, l, D): the differences to the K groups, l rows each. ``weight`` (T,). ``subject`` (T,): what a term
    is about (a keyword, say), so that the solver can start from the mean of a subject's terms.
    """

    rows: Tensor
    weight: Tensor
    subject: Tensor

    def variance(self, M: Tensor) -> Tensor:
        """Sum over the terms of weight times the variance of the K distances under M."""
        d = (self.rows @ M).square().sum((-1, -2)).sqrt()  # (T, K)
        return (self.weight * d.var(1, correction=0)).sum()

    def mean_by_subject(self) -> Terms:
        subjects, index = self.subject.unique(return_inverse=True)
        count = torch.bincount(index).to(self.rows)
        rows = self.rows.new_zeros(len(subjects), *self.rows.shape[1:]).index_add_(0, index, self.rows)
        weight = self.weight.new_zeros(len(subjects)).index_add_(0, index, self.weight)
        return Terms(rows / count[:, None, None, None], weight, subjects)


@dataclass(frozen=True, eq=False)
class Objective:
    """F(M) of the module's docstring. ``gram`` (D, D) is positive definite; one entry of ``terms`` per attribute."""

    gram: Tensor
    terms: tuple[Terms, ...]
    weight: float

    def text(self, M: Tensor) -> Tensor:
        """L_text: the mean squared change of the embeddings, and of whatever else `gram` stands for."""
        E = M - torch.eye(len(M), dtype=M.dtype, device=M.device)
        return ((self.gram @ E) * E).sum()

    def fair(self, M: Tensor) -> Tensor:
        """L_fair: the weighted variance of the distances."""
        return torch.stack([terms.variance(M) for terms in self.terms]).sum()

    def __call__(self, M: Tensor) -> Tensor:
        return self.text(M) + self.weight * self.fair(M)

    def to(self, dtype: torch.dtype) -> Objective:
        terms = tuple(Terms(t.rows.to(dtype), t.weight.to(dtype), t.subject) for t in self.terms)
        return Objective(self.gram.to(dtype), terms, self.weight)


@dataclass(frozen=True, eq=False)
class Solution:
    """``matrix`` (D, D), its ``value`` F, the ``bound`` that F is nowhere below, and Newton's ``iterations``."""

    matrix: Tensor
    value: float
    bound: float
    iterations: int


def solve(
    objective: Objective, *, tolerance: float = 1e-5, max_iterations: int = 50, on_step: Step | None = None
) -> Solution:
    """The global minimum of F, found by Newton's method on the concave dual: no step size and no start to choose.

    Stops when value - bound <= tolerance * value, or when rounding leaves no more to gain. ``on_step`` is called with
    (iteration, value, bound). Raises ValueError if ``gram`` is not positive definite.
    """
    single = objective.to(torch.float32)
    dual, search = _Dual(single), _Search(max_iterations, on_step)
    r = torch.zeros_like(dual.weight)
    if any(len(terms.subject.unique()) < len(terms.subject) for terms in single.terms):
        # A subject's templates behave alike. Their mean is a problem a fraction of the size, whose dual variables are
        # near those of the whole: one Hessian of full size is then mostly enough.
        means = tuple(terms.mean_by_subject() for terms in single.terms)
        small = _Dual(Objective(single.gram, means, single.weight))
        found = _Search(max_iterations, None).run(small, torch.zeros_like(small.weight), 1e-2)
        places = [torch.searchsorted(m.subject, t.subject) for m, t in zip(means, single.terms, strict=True)]
        r = torch.cat([part[place].flatten() for part, place in zip(small.split(found.r), places, strict=True)])
    # The way in single precision, the certificate in double, with more steps there if 1e-5 is not enough.
    r = search.run(dual, r, max(tolerance, 1e-5)).r
    found = search.run(_Dual(objective.to(torch.float64)), r.double(), tolerance)
    return Solution(found.M, found.value, search.bound, search.iteration)


@dataclass(frozen=True, eq=False)
class _Point:
    """What is known at the dual variables r: M = H^-1 G, V = U M, F(M) and the value of the dual."""

    r: Tensor  # (N,)
    M: Tensor
    V: Tensor  # (N, l, D)
    factor: Tensor  # Cholesky factor of H
    value: float
    bound: float

    @property
    def gap(self) -> float:
        return self.value - self.bound


class _Search:
    """Newton's ascent of the dual. Another run goes on where the last stopped, in another precision."""

    def __init__(self, max_iterations: int, on_step: Step | None) -> None:
        self.max_iterations, self.on_step = max_iterations, on_step
        self.iteration, self.bound = 0, -math.inf
        self.newton_step: Callable[[_Point], Tensor] | None = None

    def run(self, dual: _Dual, r: Tensor, tolerance: float) -> _Point:
        """The point of lowest F on the way from r to where F is within ``tolerance`` of its bound."""
        point = dual.at(dual.centre(r)) or dual.at(torch.zeros_like(r))  # at 0, H is the Gram matrix
        if point is None:
            raise ValueError("the Gram matrix is not positive definite; give a larger ridge")
        best, self.bound = point, point.bound
        while True:
            if self.on_step:
                self.on_step(self.iteration, best.value, self.bound)
            if best.value - self.bound <= tolerance * best.value or self.iteration == self.max_iterations:
                return best
            fresh = self.newton_step is None
            step = self.newton_step or dual.newton(point)
            moved = self._line_search(dual, point, step(point))
            if moved is None and fresh:
                return best  # rounding: the dual rises no further
            keep = moved is not None and moved.gap < 0.5 * point.gap  # the Hessian still serves
            self.newton_step = step if keep else None
            if moved is not None:
                self.iteration, point = self.iteration + 1, moved
                best, self.bound = min(best, point, key=lambda p: p.value), max(self.bound, point.bound)

    @staticmethod
    def _line_search(dual: _Dual, point: _Point, step: Tensor) -> _Point | None:
        size = 1.0
        while size > 1e-3:
            trial = dual.centre(point.r + size * step)  # rounding must not lift the bound
            moved = dual.at(trial) if bool((trial > -1).all()) else None
            if moved is not None and (moved.bound > point.bound or moved.gap < point.gap):
                return moved
            size /= 2
        return None


class _Dual:
    """The concave dual: multipliers mu = w (1 - 1/s) with s > 0 of mean 1 in each term, and H = G + sum mu U'U.

    Its value at s is sum mu <U M, U> with M = H^-1 G, and F is nowhere below it. What is kept of s is r = s - 1, small
    and of mean 0, which rounding hurts less. The N distances of all terms lie one after the other.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective, self.gram = objective, objective.gram
        self.shapes = [tuple(terms.rows.shape[:2]) for terms in objective.terms]
        self.U = torch.cat([terms.rows.flatten(0, 1) for terms in objective.terms])  # (N, l, D)
        self.rows = self.U.flatten(0, 1)  # (N l, D)
        parts = [
            (terms.weight / k).repeat_interleave(k) for terms, (_, k) in zip(objective.terms, self.shapes, strict=True)
        ]
        self.weight = objective.weight * torch.cat(parts)
        self.direct = self.U.shape[1] == 1 and len(self.U) <= _DIRECT

    def split(self, flat: Tensor) -> list[Tensor]:
        """(N,) -> (T, K) per attribute."""
        sizes = [t * k for t, k in self.shapes]
        return [part.view(shape) for part, shape in zip(flat.split(sizes), self.shapes, strict=True)]

    def centre(self, flat: Tensor) -> Tensor:
        """(N,) less the mean of each term."""
        return torch.cat([(part - part.mean(1, keepdim=True)).flatten() for part in self.split(flat)])

    def at(self, r: Tensor) -> _Point | None:
        """The point at r, or None where H is not positive definite."""
        mu = self.weight * r / (1 + r)
        phi = (self.rows.mT * mu.repeat_interleave(self.U.shape[1])) @ self.rows
        factor, info = torch.linalg.cholesky_ex(self.gram + phi)
        if int(info):
            return None
        # E = M - I = -H^-1 Phi, as H M = G: rounding is then relative to the small change and not to the whole.
        E = torch.cholesky_solve(phi, factor).neg_()
        V = (self.rows + self.rows @ E).view_as(self.U)
        spread = self.centre(_norm(V))
        value = float(((self.gram @ E) * E).sum() + (self.weight * spread.square()).sum())
        bound = float((mu.double() * (self.U * V).sum((-1, -2))).sum())
        E.diagonal().add_(1)
        return _Point(r, E, V, factor, value, bound) if math.isfinite(value + bound) else None

    def newton(self, point: _Point) -> Callable[[_Point], Tensor]:
        """Newton's step from any point, with the Hessian of this one.

        With x = d^2 and a = w / s^2 the gradient is a x, and the Hessian, its sign turned,
        diag(2 a x / s) + 2 diag(a) (U H^-1 U' o V V') diag(a), both on the steps that sum to 0 in each term.
        """
        a = self.weight / (1 + point.r) ** 2
        diagonal = 2 * a * _norm(point.V).square() / (1 + point.r)
        invert = self._factored(point, a, diagonal) if self.direct else self._conjugate(point, a, diagonal)
        return lambda here: invert(self.weight / (1 + here.r) ** 2 * _norm(here.V).square())

    def _factored(self, point: _Point, a: Tensor, diagonal: Tensor) -> Callable[[Tensor], Tensor]:
        """The inverse Hessian by Cholesky, in the K - 1 contrasts of each term."""
        W = torch.linalg.solve_triangular(point.factor, self.rows.mT, upper=False).mT  # (N, D)
        V = point.V.flatten(0, 1) * a[:, None]
        chunks = self._chunks()
        hessian = W.new_zeros(chunks[-1][2].stop, chunks[-1][2].stop)
        for i, (rows, basis, place) in enumerate(chunks):
            for others, other_basis, other_place in chunks[: i + 1]:  # Cholesky reads the lower triangle only
                block = (W[rows] @ W[others].mT) * (V[rows] @ (2 * V[others].mT))
                if rows == others:
                    block.diagonal().add_(diagonal[rows])
                left = basis.mT @ block.view(-1, len(basis), block.shape[1])
                right = left.reshape(-1, len(other_basis)) @ other_basis
                hessian[place, other_place] = right.view(place.stop - place.start, -1)
        factor, info = torch.linalg.cholesky_ex(hessian)
        if int(info):  # rounding
            hessian.diagonal().mul_(1 + 1e-4)
            factor = torch.linalg.cholesky(hessian)

        def invert(gradient: Tensor) -> Tensor:
            reduced = torch.cat([(gradient[rows].to(W).view(-1, len(B)) @ B).flatten() for rows, B, _ in chunks])
            y = torch.cholesky_solve(reduced[:, None], factor)[:, 0]
            return torch.cat([(y[place].view(-1, len(B) - 1) @ B.mT).flatten() for _, B, place in chunks]).to(gradient)

        return invert

    def _chunks(self) -> list[tuple[slice, Tensor, slice]]:
        """Blocks of whole terms of one attribute: distances, the basis (K, K - 1) of their contrasts, contrasts."""
        found, row, place = [], 0, 0
        for t, k in self.shapes:
            basis = _contrasts(k).to(self.U)
            for start in range(0, t, max(_CHUNK // k, 1)):
                n = min(max(_CHUNK // k, 1), t - start)
                found.append((slice(row, row + n * k), basis, slice(place, place + n * (k - 1))))
                row, place = row + n * k, place + n * (k - 1)
        return found

    def _conjugate(self, point: _Point, a: Tensor, diagonal: Tensor) -> Callable[[Tensor], Tensor]:
        """The inverse Hessian by conjugate gradients, for distances too many or too long to write it out."""
        accuracy = min(0.3, max(0.03, math.sqrt(max(point.gap / point.value, 0.0))))  # far away, a rough step will do
        V = point.V.flatten(0, 1)
        W = torch.linalg.solve_triangular(point.factor, self.rows.mT, upper=False).mT.view_as(self.U)
        jacobi = diagonal + 2 * a**2 * ((W @ W.mT) * (point.V @ point.V.mT)).sum((-1, -2))

        def apply(z: Tensor) -> Tensor:
            inner = (self.rows.mT * (a * z).repeat_interleave(self.U.shape[1])) @ V
            back = (self.rows @ torch.cholesky_solve(inner, point.factor)).view_as(self.U)
            return self.centre(diagonal * z + 2 * a * (back * point.V).sum((-1, -2)))

        def invert(gradient: Tensor) -> Tensor:
            residual = self.centre(gradient.to(V))
            solution, scale = torch.zeros_like(residual), residual.norm()
            direction = z = self.centre(residual / jacobi)
            rz = residual @ z
            for _ in range(_CG_STEPS):
                applied = apply(direction)
                size = rz / (direction @ applied)
                solution, residual = solution + size * direction, residual - size * applied
                if residual.norm() <= accuracy * scale:
                    break
                z = self.centre(residual / jacobi)
                rz, before = residual @ z, rz
                direction = z + rz / before * direction
            return solution.to(gradient)

        return invert


def _norm(V: Tensor) -> Tensor:
    """(N, l, D) -> (N,)"""
    return V.square().sum((-1, -2)).sqrt()


def _contrasts(k: int) -> Tensor:
    """(k, k - 1): orthonormal columns, orthogonal to the constant (Helmert's)."""
    columns = torch.tril(torch.ones(k, k - 1, dtype=torch.float64), -1)
    columns.diagonal().copy_(-torch.arange(k - 1, 0, -1))
    return columns / columns.norm(dim=0)
