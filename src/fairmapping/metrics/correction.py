"""Judge correction: the counts a judge without errors would have given, by the judge's confusion matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from .intervals import positive, tails
from .measures import Array, checked, shares

__all__ = ["correct_counts", "corrected_shares", "judge_draws", "share_draws"]


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

    Each resample draws the judged shares from what the images leave open (a Dirichlet distribution of the counts,
    prior 1/K: drawing the images anew would say that a group seen in none of 3 images has no share for certain) and,
    where confusion holds counts, the judge's error rates from what the card leaves open (:func:`judge_draws`). A
    confusion matrix of shares is taken as known. The interval always holds the estimate; nan without any image.
    """
    array = checked(counts)
    rates = _rates(confusion, array.shape[-1])
    value = _correct(shares(array), rates)
    rng = np.random.default_rng(seed)
    draws = [_correct(share_draws(array, rng), judge) for judge in judge_draws(confusion, positive(resamples), rng)]
    low, high = np.quantile(draws, tails(confidence), axis=0)
    none = np.isnan(value)
    return value, np.where(none, np.nan, np.fmin(low, value)), np.where(none, np.nan, np.fmax(high, value))


def share_draws(counts: ArrayLike, rng: np.random.Generator) -> Array:
    """Shares (..., K) that counts (..., K) leave open: one draw each of a Dirichlet distribution, prior 1/K."""
    array = checked(counts)
    weights = rng.standard_gamma(array + 1 / array.shape[-1])
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def judge_draws(confusion: ArrayLike, draws: int, rng: np.random.Generator) -> Array:
    """(draws, K, K): error rates that a confusion matrix of counts (K, K) leaves open, each row a draw of a Dirichlet
    distribution (prior 1/2). A confusion matrix of shares is taken as known: every draw is that matrix."""
    matrix = np.asarray(confusion, float)
    if np.allclose(matrix.sum(1), 1):
        return np.broadcast_to(matrix, (draws, *matrix.shape))
    return np.stack([rng.dirichlet(row + 0.5, draws) for row in matrix], 1)


def _correct(p: Array, rates: Array) -> Array:
    """Judged shares (..., K) -> true shares: the t in the simplex whose judged shares t @ rates lie closest to p."""
    flat = p.reshape(-1, p.shape[-1])
    truth = np.array(np.linalg.solve(rates.T, flat.T).T, dtype=np.float64)
    if len(rates) == 2:  # on a line, the nearest point is the end that was passed
        return truth.clip(0, 1).reshape(p.shape)
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
