"""How unlike images are: the mean distance of two of them, from vectors of length 1."""

from __future__ import annotations

import numpy as np

from .measures import Array

__all__ = ["mean_distances"]


def mean_distances(units: Array, sets: np.ndarray, number: int) -> tuple[Array, Array, Array]:
    """Of each of `number` sets of vectors of length 1: the mean of 1 - cos over its pairs, the standard error of that,
    and the size of the set, each (number,). nan for fewer than 2 vectors, and for the error of fewer than 3.

    units (N, D); sets (N,) says which set each is of. With S the sum of a set's n vectors the mean is
    1 - (|S|^2 - n) / (n (n - 1)): no pair is ever formed. For vectors of length 1 it is the trace of their
    covariance, which is n / (n - 1) of the mean squared distance from their centre. The standard error is the
    jackknife's, of leaving one image out.
    """
    n = np.bincount(sets, minlength=number).astype(float)
    order = np.argsort(sets, kind="stable")
    sums = np.zeros((number, units.shape[1]))
    present = np.flatnonzero(n)
    if len(present):
        starts = np.concatenate([[0], np.cumsum(n[present])[:-1]]).astype(int)
        sums[present] = np.add.reduceat(units[order].astype(float), starts)
    squared = (sums**2).sum(1)
    along = np.einsum("nd,nd->n", units, sums[sets])
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(n >= 2, 1 - (squared - n) / (n * (n - 1)), np.nan)
        without = 1 - (squared[sets] - 2 * along + 1 - (n[sets] - 1)) / ((n[sets] - 1) * (n[sets] - 2))
        mean = np.bincount(sets, without, number) / n
        spread = np.bincount(sets, (without - mean[sets]) ** 2, number)
        error = np.where(n >= 3, np.sqrt(spread * (n - 1) / n), np.nan)
    return value, error, n
