"""The theorems of docs/method.md, and the exact solver against scipy."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from fairmapping.solve import Objective, Solution, Terms, solve

module = sys.modules[solve.__module__]


def problem(width: int = 6, length: int = 1, weight: float = 1.0, seed: int = 0) -> Objective:
    """Two attributes of 2 and 3 groups, 5 subjects in 2 templates, with a part that is common to each group."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = normal(4 * width, width) * torch.linspace(0.3, 2, width, dtype=torch.float64)
    terms = []
    for groups in (2, 3):
        rows = normal(1, groups, length, width) + 0.5 * normal(10, groups, length, width)
        terms.append(Terms(rows, torch.full((10,), 0.2, dtype=torch.float64), torch.arange(5).repeat_interleave(2)))
    return Objective(x.mT @ x / len(x), tuple(terms), weight)


def multipliers(objective: Objective, M: torch.Tensor) -> torch.Tensor:
    """Phi of docs/method.md at M, term by term, as plainly as can be."""
    phi = torch.zeros_like(objective.gram)
    for terms in objective.terms:
        for rows, weight in zip(terms.rows, terms.weight, strict=True):
            d = (rows @ M).square().sum((-1, -2)).sqrt()
            for U, distance in zip(rows, d, strict=True):
                phi += objective.weight * weight / len(d) * (1 - d.mean() / distance) * U.mT @ U
    return phi


def gradient(objective: Objective, M: torch.Tensor) -> torch.Tensor:
    M = M.clone().requires_grad_()
    return torch.autograd.grad(objective(M), M)[0]


def by_scipy(objective: Objective, start: torch.Tensor) -> float:
    def both(flat: np.ndarray) -> tuple[float, np.ndarray]:
        M = torch.from_numpy(flat).view_as(objective.gram)
        return float(objective(M)), gradient(objective, M).flatten().numpy()

    found = minimize(
        both, start.flatten().numpy(), jac=True, method="L-BFGS-B", options={"maxiter": 4000, "ftol": 1e-15}
    )
    return float(found.fun)


@pytest.mark.parametrize("weight", [0.1, 3.0, 100.0])
@pytest.mark.parametrize("length", [1, 3])
def test_the_solution_satisfies_its_optimality_conditions(weight: float, length: int) -> None:
    objective = problem(length=length, weight=weight)
    found = solve(objective, tolerance=1e-12)
    M, phi = found.matrix, multipliers(objective, found.matrix)
    H = objective.gram + phi
    # (G + Phi) M = G, which is the gradient's being zero ...
    torch.testing.assert_close(H @ M, objective.gram, atol=5e-5, rtol=0)
    assert gradient(objective, M).norm() < 1e-5 * gradient(objective, torch.eye(6, dtype=torch.float64)).norm()
    # ... and H positive definite, which makes the stationary point the global minimum, with GM symmetric and positive
    assert torch.linalg.eigvalsh(H).min() > 0
    torch.testing.assert_close(objective.gram @ M, (objective.gram @ M).mT, atol=5e-5, rtol=0)
    assert found.value == pytest.approx(float(objective(M)), rel=1e-12)
    assert 0 <= found.value - found.bound <= 1e-8 * found.value


@pytest.mark.parametrize("length", [1, 2])
def test_no_descent_gets_below_the_bound(length: int) -> None:
    """L-BFGS of scipy, from the identity and from far away, where other stationary points lie."""
    objective = problem(width=4, length=length, weight=5.0)
    found = solve(objective, tolerance=1e-10)
    generator = torch.Generator().manual_seed(1)
    identity = torch.eye(4, dtype=torch.float64)
    starts = [identity] + [3 * torch.randn(4, 4, generator=generator, dtype=torch.float64) for _ in range(8)]
    values = [by_scipy(objective, start) for start in starts]
    assert min(values) == pytest.approx(found.value, rel=1e-6)
    assert min(values) >= found.bound * (1 - 1e-9)


def test_every_dual_point_bounds_the_loss_of_every_map() -> None:
    """Weak duality: tr(G - G H^-1 G) <= F(M), for any s > 0 of mean 1 with H positive definite."""
    objective = problem(weight=2.0)
    dual = module._Dual(objective)
    generator = torch.Generator().manual_seed(3)
    lowest = solve(objective, tolerance=1e-10).value
    tried = 0
    for _ in range(50):
        r = 0.3 * dual.centre(torch.rand(50, generator=generator, dtype=torch.float64))
        point = dual.at(r)
        if point is None:
            continue
        tried += 1
        mu = dual.weight * (1 - 1 / (1 + r))
        H = objective.gram + (dual.rows.mT * mu) @ dual.rows
        by_hand = torch.trace(objective.gram - objective.gram @ torch.linalg.solve(H, objective.gram))
        assert point.bound == pytest.approx(float(by_hand), abs=1e-10)
        assert point.bound <= lowest + 1e-9
        assert point.value == pytest.approx(float(objective(point.M)), rel=1e-10)
    assert tried > 10


def test_the_penalty_is_convex_in_the_metric() -> None:
    """Var_j of d_j = sqrt(tr(U_j P U_j')) is convex in P, and homogeneous of degree one."""
    terms = problem(length=2).terms
    generator = torch.Generator().manual_seed(5)

    def penalty(P: torch.Tensor) -> float:
        return float(sum(t.variance(torch.linalg.cholesky(P)) for t in terms))

    def metric() -> torch.Tensor:
        A = torch.randn(6, 6, generator=generator, dtype=torch.float64)
        return A @ A.mT + 1e-6 * torch.eye(6, dtype=torch.float64)

    for _ in range(50):
        P, Q = metric(), metric()
        assert penalty((P + Q) / 2) <= (penalty(P) + penalty(Q)) / 2 + 1e-12
        assert penalty(3 * P) == pytest.approx(3 * penalty(P))


def test_conjugate_gradients_find_what_cholesky_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = problem(width=8, weight=10.0)
    direct = solve(objective, tolerance=1e-9)
    monkeypatch.setattr(module, "_DIRECT", 0)
    assert not module._Dual(objective).direct
    torch.testing.assert_close(solve(objective, tolerance=1e-9).matrix, direct.matrix, atol=1e-4, rtol=0)


def test_blocks_make_the_same_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step of Newton from a Hessian in blocks, against one written out from its formula."""
    objective = problem(weight=10.0)
    monkeypatch.setattr(module, "_CHUNK", 7)
    dual = module._Dual(objective)
    r = 0.1 * dual.centre(torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    point, s = dual.at(r), 1 + r
    a = dual.weight / s**2
    V, U = point.V[:, 0], dual.rows
    inverse = U @ torch.cholesky_inverse(point.factor) @ U.mT
    hessian = 2 * torch.diag(a * V.square().sum(1) / s) + 2 * a[:, None] * inverse * (V @ V.mT) * a
    # One Lagrange multiplier per term keeps its sum of s.
    sums = torch.zeros(20, 50, dtype=torch.float64)
    for term in range(10):
        sums[term, 2 * term : 2 * term + 2] = 1
        sums[10 + term, 20 + 3 * term : 23 + 3 * term] = 1
    system = torch.cat([torch.cat([hessian, sums.mT], 1), torch.cat([sums, sums.new_zeros(20, 20)], 1)])
    right = torch.cat([a * V.square().sum(1), sums.new_zeros(20)])
    expected = torch.linalg.solve(system, right)[:50]
    torch.testing.assert_close(dual.newton(point)(point), expected)


def test_even_distances_leave_the_identity() -> None:
    rows = torch.eye(4, dtype=torch.float64)[None, :, None]  # four groups, all at distance 1
    objective = Objective(
        torch.eye(4, dtype=torch.float64), (Terms(rows, torch.ones(1, dtype=torch.float64), torch.zeros(1)),), 1.0
    )
    found = solve(objective)
    assert isinstance(found, Solution)
    torch.testing.assert_close(found.matrix, torch.eye(4, dtype=torch.float64))
    assert found.value == found.bound == 0


def test_one_term_in_the_plane_by_hand() -> None:
    """Two orthogonal differences of lengths 3 and 1 with G = I: the map is diag(m, n), and F has two unknowns."""
    rows = torch.tensor([[[[3.0, 0.0]], [[0.0, 1.0]]]], dtype=torch.float64)
    weight = 2.0
    objective = Objective(
        torch.eye(2, dtype=torch.float64), (Terms(rows, torch.ones(1, dtype=torch.float64), torch.zeros(1)),), weight
    )
    # F = (m-1)^2 + (n-1)^2 + weight/4 (3m - n)^2, so (m, n) solves two linear equations
    c = weight / 4
    m, n = np.linalg.solve([[1 + 9 * c, -3 * c], [-3 * c, 1 + c]], [1, 1])
    torch.testing.assert_close(
        solve(objective, tolerance=1e-12).matrix, torch.diag(torch.tensor([m, n])), atol=1e-6, rtol=0
    )


def test_progress_tells_value_and_bound() -> None:
    seen: list[tuple[int, float, float]] = []
    found = solve(problem(weight=10.0), on_step=lambda *state: seen.append(state))
    assert seen[0][0] == 0 and seen[-1][0] == found.iterations
    assert all(bound <= value * (1 + 1e-5) for _, value, bound in seen)
    assert seen[-1][1:] == (found.value, found.bound)


def test_a_gram_matrix_that_is_not_definite_is_refused() -> None:
    objective = problem()
    with pytest.raises(ValueError, match="larger ridge"):
        solve(Objective(-objective.gram, objective.terms, 1.0))
