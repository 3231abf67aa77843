"""The chance floor: a generator that is perfectly even still scores above 0 with few images.

It is about images whose groups are drawn independently of one another. Where groups are assigned in exact numbers (a
quota), it does not bound a score from below, and a score under it is no error.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .measures import Measure, checked_target, named

__all__ = ["chance_floor", "target_floor"]


def chance_floor(n: ArrayLike, k: int = 2, measure: str | Measure = "pairwise_bias") -> Any:
    """What a perfectly even generator scores, on average, with n images and k groups: by chance alone it is never 0.

    n may be an array, for keywords with different numbers of judged images; nan where n is 0. Exact for k = 2, by
    summing over the binomial distribution; the mean of 20,000 draws under a fixed seed for more groups.
    """
    sizes = _sizes(n)
    if k < 2:
        raise ValueError(f"k must be at least 2 groups, got {k}")
    score = named(measure)
    unique, where = np.unique(sizes, return_inverse=True)
    return np.array([_floor(int(size), k, score) for size in unique])[where].reshape(sizes.shape)[()]


def target_floor(n: ArrayLike, target: ArrayLike) -> Any:
    """What a generator with exactly the `target` shares scores in `target_deviation`, on average, with n images.

    n (...) and target (..., K) broadcast; nan where n is 0. Exact: every count is binomial by itself, and with
    v = floor(n t) + 1 de Moivre gives E|X - n t| = 2 v (1 - t) P(X = v) (Diaconis and Zabell, Stat. Science 1991).
    """
    sizes = _sizes(n)[..., None]
    shares = np.asarray(target, dtype=float)
    shares = checked_target(shares, shares.shape[-1] if shares.ndim else 0)
    above = np.floor(sizes * shares) + 1
    deviation = 2 * above * (1 - shares) * stats.binom.pmf(above, sizes, shares)
    images = np.where(sizes > 0, sizes, np.nan)
    return (deviation / images).mean(-1)[()]


def _sizes(n: ArrayLike) -> np.ndarray:
    sizes = np.asarray(n)
    if not np.issubdtype(sizes.dtype, np.number) or (sizes != np.floor(sizes)).any() or (sizes < 0).any():
        raise ValueError(f"n must be whole numbers of images, 0 or more, got {n!r}")
    return sizes


@lru_cache(maxsize=1024)
def _floor(n: int, k: int, score: Measure) -> float:
    if n == 0:
        return float("nan")
    if k == 2:
        first = np.arange(n + 1)
        return float(stats.binom.pmf(first, n, 0.5) @ score(np.stack([first, n - first], -1)))
    return float(np.mean(score(np.random.default_rng(0).multinomial(n, [1 / k] * k, size=20_000))))
