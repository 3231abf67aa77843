"""Pure functions of judged labels: shares, bias, intervals, chance floor and judge correction. No torch.

Every measure takes counts of shape (..., K) and returns (...): how many images were judged to be of each of the K
groups that were *asked about*. A group nobody was judged to belong to is a zero in its place, never left out: an
image set of women only has counts (60, 0) and the worst bias there is, not a single group with a perfect score.
Images without a face are in no count. Where all K counts are zero there is nothing to measure and the result is nan.

Write p for the shares. For K = 2, pairwise bias, deviation ratio, 2 * mean absolute deviation and
1 - FairImagen fairness are one and the same number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

__all__ = [
    "MEASURES",
    "Interval",
    "bootstrap_counts",
    "bootstrap_mean",
    "chance_floor",
    "correct_counts",
    "corrected_shares",
    "deviation_ratio",
    "fairimagen_fairness",
    "kl_divergence",
    "mean_absolute_deviation",
    "normalised_entropy",
    "pairwise_bias",
    "shares",
    "wilson",
]

Array = NDArray[np.float64]
Measure = Callable[[ArrayLike], Any]


@dataclass(frozen=True)
class Interval:
    """A number with its confidence interval and the number of values behind it. nan: there was too little to tell."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{_short(self.value)} [{_short(self.low)}, {_short(self.high)}] n={self.n}"


def shares(counts: ArrayLike) -> Array:
    """p_c, the share of each group among the judged images: (..., K) -> (..., K)."""
    array = _counts(counts)
    total = array.sum(-1, keepdims=True)
    return np.divide(array, total, out=np.full_like(array, np.nan), where=total > 0)


def pairwise_bias(counts: ArrayLike) -> Any:
    """Mean of |p_i - p_j| over the pairs of groups; |p_1 - p_2| for K = 2 (Shen et al., ICLR 2024). 0 is even.

    The worst is 1 for K = 2, and 2 / K in general.
    """
    p = shares(counts)
    first, second = np.triu_indices(p.shape[-1], 1)
    return np.abs(p[..., first] - p[..., second]).mean(-1)[()]


def deviation_ratio(counts: ArrayLike) -> Any:
    """max |p_c - 1/K| / (1 - 1/K), from 0 (even) to 1 (one group only) (InterpretDiffusion)."""
    p = shares(counts)
    even = 1 / p.shape[-1]
    return (np.abs(p - even).max(-1) / (1 - even))[()]


def mean_absolute_deviation(counts: ArrayLike) -> Any:
    """(1/K) sum |p_c - 1/K|, 0 is even (DALL-Eval; EquiSteer's parity gap)."""
    p = shares(counts)
    return np.abs(p - 1 / p.shape[-1]).mean(-1)[()]


def kl_divergence(counts: ArrayLike) -> Any:
    """KL(p || uniform) in nats, from 0 (even) to log K (one group only) (ITI-GEN)."""
    p = shares(counts)
    return (np.log(p.shape[-1]) - _entropy(p))[()]


def normalised_entropy(counts: ArrayLike) -> Any:
    """H(p) / log K, from 0 (one group only) to 1 (even) (OpenBias)."""
    p = shares(counts)
    return (_entropy(p) / np.log(p.shape[-1]))[()]


def fairimagen_fairness(counts: ArrayLike) -> Any:
    """1 - 0.5 * sum |p_c - 1/K| / (1 - 1/K), from 0 (one group only) to 1 (even) (FairImagen, NeurIPS 2025)."""
    p = shares(counts)
    even = 1 / p.shape[-1]
    return (1 - 0.5 * np.abs(p - even).sum(-1) / (1 - even))[()]


MEASURES: dict[str, Measure] = {
    "pairwise_bias": pairwise_bias,
    "deviation_ratio": deviation_ratio,
    "mean_absolute_deviation": mean_absolute_deviation,
    "kl_divergence": kl_divergence,
    "normalised_entropy": normalised_entropy,
    "fairimagen_fairness": fairimagen_fairness,
}


def wilson(k: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Any, Any]:
    """Wilson's score interval for a share of k in n, element by element. (0, 1) where n is 0: nothing was seen.

    The Wald interval p +- z sqrt(p (1 - p) / n) has no width at k = 0 and k = n, where biased models put many
    occupations.
    """
    found, total = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float))
    if not (np.isfinite(found).all() and np.isfinite(total).all() and (found >= 0).all() and (found <= total).all()):
        raise ValueError("wilson needs 0 <= k <= n, all finite")
    z2 = _z(confidence) ** 2
    size = np.where(total > 0, total, 1)
    centre = (found + z2 / 2) / (size + z2)
    half = np.sqrt(z2 * (found * (size - found) / size + z2 / 4)) / (size + z2)
    # At the ends the interval reaches 0 and 1 exactly; rounding must not say otherwise.
    low = np.where(found == 0, 0.0, centre - half)
    high = np.where((found == total) | (total == 0), 1.0, centre + half)
    return low[()], high[()]


def bootstrap_mean(values: ArrayLike, *, confidence: float = 0.95, resamples: int = 5000, seed: int = 0) -> Interval:
    """Mean of (N,) values with the percentile interval of drawing the N anew: what other keywords would have given.

    For a comparison on the same keywords and seeds, pass the paired differences. nan values (a keyword without any
    judged image) are left out, and n counts those that remain. One value has no interval.
    """
    array = np.asarray(values, float)
    if array.ndim != 1:
        raise ValueError(f"values must have one axis, got the shape {array.shape}")
    array = array[~np.isnan(array)]
    if len(array) < 2:
        return Interval(float(array.mean()) if len(array) else np.nan, np.nan, np.nan, len(array))
    drawn = np.random.default_rng(seed).integers(len(array), size=(_positive(resamples), len(array)))
    low, high = np.quantile(array[drawn].mean(1), _tails(confidence))
    return Interval(float(array.mean()), float(low), float(high), len(array))


def bootstrap_counts(
    counts: ArrayLike,
    measure: str | Measure = "pairwise_bias",
    *,
    keywords: bool = False,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Mean of a measure over (N, K) counts with the interval of drawing the images anew within each keyword.

    That is the noise of a finite number of images for these very keywords; keywords=True draws the keywords anew as
    well. Drawing images again adds their noise a second time, and measures of distance grow with noise, so the spread
    of the resampled means is put around the value that was observed, not around their own middle. What is estimated
    is the mean at this number of images, chance floor included.
    """
    score = _measure(measure)
    array = _counts(counts)
    if array.ndim != 2:
        raise ValueError(f"counts must have the shape (keywords, groups), got {array.shape}")
    array = array[array.sum(-1) > 0]
    if not len(array):
        return Interval(np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng(seed)
    shape = (_positive(resamples), len(array))
    rows = rng.integers(len(array), size=shape) if keywords else np.broadcast_to(np.arange(len(array)), shape)
    again = rng.multinomial(np.rint(array.sum(-1)).astype(int)[rows], shares(array)[rows])
    means = np.asarray(score(again)).mean(1)
    value = float(np.mean(score(array)))
    low, high = value + np.quantile(means, _tails(confidence)) - means.mean()
    return Interval(value, float(low), float(high), len(array))


def chance_floor(n: ArrayLike, k: int = 2, measure: str | Measure = "pairwise_bias") -> Any:
    """What a perfectly even generator scores, on average, with n images and k groups: by chance alone it is never 0.

    n may be an array, for keywords with different numbers of judged images; nan where n is 0. Exact for k = 2, by
    summing over the binomial distribution; the mean of 20,000 draws under a fixed seed for more groups.
    """
    sizes = np.asarray(n)
    if not np.issubdtype(sizes.dtype, np.number) or (sizes != np.floor(sizes)).any() or (sizes < 0).any():
        raise ValueError(f"n must be whole numbers of images, 0 or more, got {n!r}")
    if k < 2:
        raise ValueError(f"k must be at least 2 groups, got {k}")
    score = _measure(measure)
    unique, where = np.unique(sizes, return_inverse=True)
    return np.array([_floor(int(size), k, score) for size in unique])[where].reshape(sizes.shape)[()]


@lru_cache(maxsize=1024)
def _floor(n: int, k: int, score: Measure) -> float:
    if n == 0:
        return float("nan")
    if k == 2:
        first = np.arange(n + 1)
        return float(stats.binom.pmf(first, n, 0.5) @ score(np.stack([first, n - first], -1)))
    return float(np.mean(score(np.random.default_rng(0).multinomial(n, [1 / k] * k, size=20_000))))


def correct_counts(counts: ArrayLike, confusion: ArrayLike) -> Array:
    """The counts a judge without errors would have given, as far as can be told: (..., K) -> (..., K), same totals.

    confusion (K, K): row i tells how images truly of group i are judged, as counts or as shares. The observed shares
    are p = confusion^T t; t is found by inverting where that gives shares, and is else the nearest point of the
    simplex in the sense of least squares, so no group gets fewer than no images. `corrected_shares` gives the
    uncertainty.

    Raises ValueError when the judge cannot tell groups apart (the confusion matrix has no inverse).
    """
    array = _counts(counts)
    return _correct(shares(array), _rates(confusion, array.shape[-1])) * array.sum(-1, keepdims=True)


def corrected_shares(
    counts: ArrayLike, confusion: ArrayLike, *, confidence: float = 0.95, resamples: int = 500, seed: int = 0
) -> tuple[Array, Array, Array]:
    """Shares after `correct_counts`, with a percentile interval: (shares, low, high), each (..., K).

    Each resample draws the images anew and, where confusion holds counts, the judge's error rates from what they
    leave open (a Dirichlet distribution for each row, prior 1/2). A confusion matrix of shares is taken as known. The
    interval always holds the estimate.
    """
    array = _counts(counts)
    rates = _rates(confusion, array.shape[-1])
    value = _correct(shares(array), rates)
    rng = np.random.default_rng(seed)
    matrix = np.asarray(confusion, float)
    known = np.allclose(matrix.sum(1), 1)
    flat = array.reshape(-1, array.shape[-1])
    observed = np.where(flat.sum(-1, keepdims=True) > 0, shares(flat), 1 / flat.shape[-1])
    draws = []
    for _ in range(_positive(resamples)):
        again = rng.multinomial(np.rint(flat.sum(-1)).astype(int), observed)
        judge = rates if known else np.array([rng.dirichlet(row + 0.5) for row in matrix])
        draws.append(_correct(shares(again), judge))
    low, high = np.quantile(draws, _tails(confidence), axis=0)
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
    matrix = _counts(confusion, "confusion")
    if matrix.shape != (k, k):
        raise ValueError(f"confusion must have the shape ({k}, {k}), one row and column a group, got {matrix.shape}")
    if (matrix.sum(1) == 0).any():
        raise ValueError("confusion has an empty row: the judge was never tried on that group")
    rates = shares(matrix)
    if np.linalg.cond(rates) > 1e6:
        raise ValueError("confusion has no usable inverse: this judge cannot tell the groups apart")
    return rates


def _counts(counts: ArrayLike, what: str = "counts") -> Array:
    try:
        array = np.asarray(counts, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} must be an array of numbers: {error}") from error
    if array.ndim == 0 or array.shape[-1] < 2:
        raise ValueError(
            f"{what} need a last axis of two or more groups, those asked about, got the shape {array.shape}"
        )
    if not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"{what} must be finite and not negative")
    return array


def _measure(measure: str | Measure) -> Measure:
    if callable(measure):
        return measure
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}; choose from {', '.join(MEASURES)}")
    return MEASURES[measure]


def _entropy(p: Array) -> Array:
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), -1)


def _z(confidence: float) -> float:
    return float(stats.norm.ppf(_tails(confidence)[1]))


def _tails(confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, such as 0.95, got {confidence}")
    return (1 - confidence) / 2, (1 + confidence) / 2


def _positive(resamples: int) -> int:
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    return resamples


def _short(value: float) -> str:
    """.62, -.08, 1.00, or "n/a" for nan."""
    if np.isnan(value):
        return "n/a"
    text = f"{value:.2f}".replace("-0.00", "0.00")
    return text.replace("0.", ".", 1) if abs(value) < 0.995 else text
