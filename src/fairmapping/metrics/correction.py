"""Judge correction: the counts a judge without errors would have given, by the judge's confusion matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from .intervals import positive, tails
from .measures import Array, checked, shares

__all__ = ["correct_counts", "corrected_shares"]


def correct_counts(counts: ArrayLike, confusion: ArrayLike) -> Array:
    """The counts a judge without errors would have given, as far as can be told: (..., K) -> (..., K), same totals.

    confusion (K, K): row i tells how images truly of group i are judged, as counts or as shares. The observed shares
    are p = confusion^T t; t is found by inverting where that gives shares, and is else the nearest point of the
    simplex in the sense of least squares, so no group gets fewer than no images. `corrected_shares` gives the
    uncertainty.

    Raises ValueError when the judge cannot tell groups apart (the confusion matrix has no inverse).
    """
    array = checked(counts)
    return _correct(shares(array), _rates(confusion, array.shape[-1])) * array.sum(-1, keepdims=True)


def corrected_shares(
    counts: ArrayLike, confusion: ArrayLike, *, confidence: float = 0.95, resamples: int = 500, seed: int = 0
) -> tuple[Array, Array, Array]:
    """Shares after `correct_counts`, with a percentile interval: (shares, low, high), each (..., K).

    Each resample draws the images anew and, where confusion holds counts, the judge's error rates from what they
    leave open (a Dirichlet distribution for each row, prior 1/2). A confusion matrix of shares is taken as known. The
    interval always holds the estimate.
    """
    array = checked(counts)
    rates = _rates(confusion, array.shape[-1])
    value = _correct(shares(array), rates)
    rng = np.random.default_rng(seed)
    matrix = np.asarray(confusion, float)
    known = np.allclose(matrix.sum(1), 1)
    flat = array.reshape(-1, array.shape[-1])
    observed = np.where(flat.sum(-1, keepdims=True) > 0, shares(flat), 1 / flat.shape[-1])
    draws = []
    for _ in range(positive(resamples)):
        again = rng.multinomial(np.rint(flat.sum(-1)).astype(int), observed)
        judge = rates if known else np.array([rng.dirichlet(row + 0.5) for row in matrix])
        draws.append(_correct(shares(again), judge))
    low, high = np.quantile(draws, tails(confidence), axis=0)
    return value, np.fmin(low.reshape(array.shape), value), np.fmax(high.reshape(array.shape), value)


def _correct(p: Array, rates: Array) -> Array:
    """Judged shares (..., K) -> true shares: the t in the simplex whose judged shares t @ rates lie closest to p."""
    flat = p.reshape(-1, p.shape[-1])
    truth = np.array(np.linalg.solve(rates.T, flat.T).T, dtype=np.float64)
    sums = np.full((1, len(rates)), 1e3)  # a row this heavy holds the sum of t at 1
    system = np.concatenate([rates.T, sums])
    for row in np.flatnonzero((truth < 0).any(-1)):  # only what inversion put outside; nan stays nan
        nearest, _ = optimize.nnls(system, np.append(flat[row], sums[0, 0]))
        truth[row] = nearest / nearest.sum()
    return truth.reshape(p.shape)


def _rates(confusion: ArrayLike, k: int) -> Array:
    matrix = checked(confusion, "confusion")
    if matrix.shape != (k, k):
        raise ValueError(f"confusion must have the shape ({k}, {k}), one row and column a group, got {matrix.shape}")
    if (matrix.sum(1) == 0).any():
        raise ValueError("confusion has an empty row: the judge was never tried on that group")
    rates = shares(matrix)
    if np.linalg.cond(rates) > 1e6:
        raise ValueError("confusion has no usable inverse: this judge cannot tell the groups apart")
    return rates
