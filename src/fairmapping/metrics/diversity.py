"""How unlike images are: the mean distance of two of them, by their features."""

from __future__ import annotations

import numpy as np

from .measures import Array

__all__ = ["mean_distances"]


def mean_distances(vectors: np.ndarray, sets: np.ndarray, number: int) -> tuple[Array, Array, Array]:
    """Of each of `number` sets of vectors: the mean of 1 - cos over its pairs, the standard error of that, and the size
    of the set, each (number,). nan for fewer than 2 vectors, and for the error of fewer than 3.

    vectors (N, D); sets (N,) says which set each is of. With S the sum of a set's n vectors, each brought to length
    1, the mean is 1 - (|S|^2 - n) / (n (n - 1)): no pair is ever formed. It is the trace of their covariance, which is
    n / (n - 1) of their mean squared distance from their centre. The standard error is the jackknife's, of leaving one
    image out. A vector of zeros, which has no direction, is at a distance of 1 from every other.
    """
    lengths = np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    units = np.divide(vectors, lengths, out=np.zeros(vectors.shape), where=lengths > 0)
    own = (lengths[:, 0] > 0).astype(float)  # 1 - the distance from itself
    n = np.bincount(sets, minlength=number).astype(float)
    order = np.argsort(sets, kind="stable")
    sums = np.zeros((number, units.shape[1]))
    present = np.flatnonzero(n)
    if len(present):
        starts = np.concatenate([[0], np.cumsum(n[present])[:-1]]).astype(int)
        sums[present] = np.add.reduceat(units[order], starts)
    crossed = (sums**2).sum(1) - np.bincount(sets, own, number)  # the cosines of all pairs, each twice
    along = np.einsum("nd,nd->n", units, sums[sets])
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(n >= 2, 1 - crossed / (n * (n - 1)), np.nan)
        without = 1 - (crossed[sets] - 2 * (along - own)) / ((n[sets] - 1) * (n[sets] - 2))
        mean = np.bincount(sets, without, number) / n
        spread = np.bincount(sets, (without - mean[sets]) ** 2, number)
        error = np.where(n >= 3, np.sqrt(spread * (n - 1) / n), np.nan)
    return value, error, n
