"""Association tests in the manner of WEAT (Caliskan, Bryson and Narayanan, Science 2017): are some keywords nearer to
the words of one group than to those of another?

They take cosines, so that where the vectors come from is no matter here. p-values are two-sided, which no direction
has to be guessed for; Caliskan et al. test one side, for half of it. The effect size d is a difference in standard
deviations and does not shrink where all associations shrink alike: read it beside the plain difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from .intervals import Interval, positive, tails
from .measures import Array

__all__ = ["Association", "association", "cosines", "weat"]

RESAMPLES = 9999  # of the partitions, where there are more


@dataclass(frozen=True)
class Association:
    """Of the keyword sets X and Y, of x and y keywords, with the words of a group against those of others.

    difference: of their mean associations, with the interval of drawing keywords of both anew. effect: Cohen's d. p:
    two-sided, by permutation."""

    x: int
    y: int
    difference: Interval
    effect: float
    p: float

    def __str__(self) -> str:
        low, high = self.difference.low, self.difference.high
        return (
            f"d = {self.effect:.2f} (p = {self.p:.2g}), difference of cosines {self.difference.value:.3f} "
            f"[{low:.3f}, {high:.3f}], {self.x} against {self.y} keywords"
        )


def cosines(first: ArrayLike, second: ArrayLike) -> Array:
    """(..., N, M) cosines between vectors (..., N, D) and (..., M, D). Raises ValueError for one without a length."""
    units = []
    for vectors in (np.asarray(first, np.float64), np.asarray(second, np.float64)):
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
        if not (lengths > 0).all() or not np.isfinite(lengths).all():
            raise ValueError("a vector of length 0, or one that is not finite, has no direction")
        units.append(vectors / lengths)
    return np.asarray(units[0] @ units[1].swapaxes(-1, -2))


def association(
    to_a: ArrayLike, to_b: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Array, Array, Array]:
    """Each keyword by itself (single-category WEAT): (difference, effect, p), each (N,), of its cosines to the words of
    A (N, a) and of B (N, b).

    difference: of the two means. effect: that over the standard deviation of all its cosines (Caliskan et al., of
    WEFAT), 0 where they have none. p: over the partitions of the words into sets of these sizes.
    Raises ValueError for other shapes or no words.
    """
    a, b = np.asarray(to_a, float), np.asarray(to_b, float)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or not a.shape[1] or not b.shape[1]:
        raise ValueError(f"cosines must be (keywords, words) to both sets of words, got {a.shape} and {b.shape}")
    return _tested(np.concatenate([a, b], 1), a.shape[1], resamples, seed)


def weat(x: ArrayLike, y: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Association:
    """Two sets of keywords against each other: associations s(w, A, B) = mean cos(w, a) - mean cos(w, b) of X (N,) and
    of Y (M,), in WEAT of as many. p: over the partitions of X and Y together into sets of these sizes.

    Raises ValueError for other shapes or fewer than 2 keywords in a set.
    """
    first, second = np.asarray(x, float), np.asarray(y, float)
    if first.ndim != 1 or second.ndim != 1 or min(len(first), len(second)) < 2:
        raise ValueError(f"weat needs two or more keywords in each set, got {first.shape} and {second.shape}")
    difference, effect, p = _tested(np.concatenate([first, second])[None], len(first), resamples, seed)
    rng = np.random.default_rng(seed)
    means = [part[rng.integers(len(part), size=(2000, len(part)))].mean(1) for part in (first, second)]
    low, high = np.quantile(means[0] - means[1], tails(0.95))
    interval = Interval(float(difference[0]), float(low), float(high), len(first) + len(second))
    return Association(len(first), len(second), interval, float(effect[0]), float(p[0]))


def _tested(values: Array, first: int, resamples: int, seed: int) -> tuple[Array, Array, Array]:
    """Of rows (N, m): mean of the `first` columns less that of the others, over the row's standard deviation, and p."""
    m = values.shape[1]
    weights = _partitions(m, first, positive(resamples), seed)  # (partitions, m): mean of one part less of the other
    difference, spread = values @ weights[0], values.std(1, ddof=1)
    effect = np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 1e-12)
    # The observed partition is among them, so none has p = 0.
    as_far = np.abs(values @ weights.T) >= np.abs(difference)[:, None] - 1e-12
    return difference, effect, np.asarray(as_far.mean(1))


def _partitions(m: int, first: int, resamples: int, seed: int) -> Array:
    """Every choice of `first` of m columns, or so many at random, the given one at the head."""
    if math.comb(m, first) <= resamples + 1:
        chosen = np.array(list(combinations(range(m), first)))
    else:
        rng = np.random.default_rng(seed)
        chosen = np.argsort(rng.random((resamples + 1, m)), axis=1)[:, :first]
        chosen[0] = np.arange(first)
    weights = np.full((len(chosen), m), -1 / max(m - first, 1))
    np.put_along_axis(weights, chosen, 1 / first, axis=1)
    return weights
