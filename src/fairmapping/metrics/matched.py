"""Did the shares change between two judgements of the same prompts and seeds? A test of matched pairs, and its size.

The question is one of *marginal homogeneity*: are there as many pairs that enter a group as leave it? Pairs that stay
where they were say nothing of it. For K = 2 that is McNemar's test, here exact; for K > 2 it is the test of Stuart
(Biometrika 1955) and Maxwell (British Journal of Psychiatry 1970). Bowker's test asks for more, symmetry of the whole
table, and would also call a change in which every share stayed the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .intervals import tails
from .measures import Array

__all__ = ["EXACT", "matched_difference", "matched_p"]

EXACT = 12  # changed pairs up to which all their swaps are counted; chi-square is no guide to so few


def matched_p(tables: ArrayLike) -> Array:
    """p-values (N,), two-sided, of the shares not having changed: tables (N, K, K) hold pairs by their group before
    (rows) and after (columns).

    K = 2: McNemar's exact test, the binomial distribution of the changed pairs. K > 2: the Stuart-Maxwell statistic
    d' V^+ d, with d what each group gained. Up to 12 changed pairs its exact distribution, were each pair as likely
    to change the other way round; above, chi-square with the rank of V degrees of freedom. No changed pair: p = 1.

    Raises ValueError where the tables are not square or hold anything but counts.
    """
    array = _tables(tables)
    k = array.shape[-1]
    if k == 2:
        there, back = array[:, 0, 1], array[:, 1, 0]
        return np.minimum(2 * stats.binom.cdf(np.minimum(there, back), there + back, 0.5), 1.0)
    moved = array * (1 - np.eye(k))
    gained = moved.sum(1) - moved.sum(2)
    both = moved + moved.transpose(0, 2, 1)
    variance = both.sum(2)[..., None] * np.eye(k) - both  # of `gained`, were every change as likely both ways
    inverse = np.linalg.pinv(variance, hermitian=True)
    statistic = np.einsum("ni,nij,nj->n", gained, inverse, gained)
    p = np.array(stats.chi2.sf(statistic, np.maximum(np.linalg.matrix_rank(variance, hermitian=True), 1)))
    few = moved.sum((1, 2)) <= EXACT
    for row in np.flatnonzero(few):
        p[row] = _exact(moved[row], inverse[row], statistic[row])
    return p


def matched_difference(
    gained: ArrayLike, lost: ArrayLike, n: ArrayLike, confidence: float = 0.95
) -> tuple[Array, Array, Array]:
    """The change of a group's share among n pairs, gained and lost being those that entered and left it: (value, low,
    high), element by element; nan where n is 0.

    The interval is that of Agresti and Min (Statistics in Medicine 2005): Wald's after adding half a pair to each
    cell of the two-by-two table, which keeps its coverage with few pairs and has a width where nothing changed.
    """
    up, down, pairs = (np.asarray(part, float) for part in (gained, lost, n))
    if (up < 0).any() or (down < 0).any() or (up + down > pairs).any():
        raise ValueError("matched_difference needs gained and lost of 0 or more, together n at the most")
    z = stats.norm.ppf(tails(confidence)[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (up - down) / pairs
    size, centre = pairs + 2, (up - down) / (pairs + 2)
    half = z * np.sqrt((up + down + 1) - (up - down) ** 2 / size) / size
    told = pairs > 0
    low, high = (np.where(told, np.clip(end, -1, 1), np.nan) for end in (centre - half, centre + half))
    # The value is no mean of the interval: with few pairs it may lie at its very end, never beyond.
    return np.asarray(value), np.fmin(low, value), np.fmax(high, value)


def _exact(moved: Array, inverse: Array, statistic: float) -> float:
    """The share of all swaps of the changed pairs that give as large a statistic."""
    before, after = (np.repeat(index, moved.astype(int).ravel()) for index in np.indices(moved.shape).reshape(2, -1))
    m = len(before)
    if not m:
        return 1.0
    change = np.eye(len(moved))[after] - np.eye(len(moved))[before]  # (m, K)
    signs = 1 - 2 * ((np.arange(2 ** (m - 1))[:, None] >> np.arange(m)) & 1)  # the last never swapped: it is symmetric
    gained = signs @ change
    found = np.einsum("si,ij,sj->s", gained, inverse, gained, optimize=True)
    return float((found >= statistic - 1e-9).mean())


def _tables(tables: ArrayLike) -> Array:
    array = np.asarray(tables, dtype=np.float64)
    if array.ndim != 3 or array.shape[1] != array.shape[2] or array.shape[1] < 2:
        raise ValueError(f"tables must have the shape (N, K, K) with two or more groups, got {array.shape}")
    if not np.isfinite(array).all() or (array < 0).any() or (array != np.floor(array)).any():
        raise ValueError("tables must hold counts of pairs, whole numbers of 0 or more")
    return array
