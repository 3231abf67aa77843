"""Confidence intervals of shares and of means over keywords."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .measures import Measure, checked, named, shares

__all__ = ["Interval", "TargetMeasure", "bootstrap_counts", "bootstrap_mean", "positive", "tails", "wilson"]

TargetMeasure = Callable[[ArrayLike, ArrayLike], Any]  # of counts and target shares


@dataclass(frozen=True)
class Interval:
    """A number with its confidence interval and the number of values behind it. nan: there was too little to tell."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{_short(self.value)} [{_short(self.low)}, {_short(self.high)}] n={self.n}"


def wilson(k: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Any, Any]:
    """Wilson's score interval for a share of k in n, element by element. (0, 1) where n is 0: nothing was seen.

    The Wald interval p +- z sqrt(p (1 - p) / n) has no width at k = 0 and k = n, where biased models put many
    occupations.
    """
    found, total = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float))
    if not (np.isfinite(found).all() and np.isfinite(total).all() and (found >= 0).all() and (found <= total).all()):
        raise ValueError("wilson needs 0 <= k <= n, all finite")
    z2 = stats.norm.ppf(tails(confidence)[1]) ** 2
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
    drawn = np.random.default_rng(seed).integers(len(array), size=(positive(resamples), len(array)))
    low, high = np.quantile(array[drawn].mean(1), tails(confidence))
    return Interval(float(array.mean()), float(low), float(high), len(array))


def bootstrap_counts(
    counts: ArrayLike,
    measure: str | Measure | TargetMeasure = "pairwise_bias",
    *,
    keywords: bool = False,
    target: ArrayLike | None = None,
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
    score: Callable[..., Any] = named(measure)
    array = checked(counts)
    if array.ndim != 2:
        raise ValueError(f"counts must have the shape (keywords, groups), got {array.shape}")
    judged = array.sum(-1) > 0
    goal = None if target is None else np.broadcast_to(np.asarray(target, float), array.shape)[judged]
    array = array[judged]
    if not len(array):
        return Interval(np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng(seed)
    shape = (positive(resamples), len(array))
    rows = rng.integers(len(array), size=shape) if keywords else np.broadcast_to(np.arange(len(array)), shape)
    again = rng.multinomial(np.rint(array.sum(-1)).astype(int)[rows], shares(array)[rows])
    means = np.asarray(score(again) if goal is None else score(again, goal[rows])).mean(1)
    value = float(np.mean(score(array) if goal is None else score(array, goal)))
    low, high = value + np.quantile(means, tails(confidence)) - means.mean()
    return Interval(value, float(low), float(high), len(array))


def tails(confidence: float) -> tuple[float, float]:
    """The two quantiles of a distribution that bound an interval."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, such as 0.95, got {confidence}")
    return (1 - confidence) / 2, (1 + confidence) / 2


def positive(resamples: int) -> int:
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    return resamples


def _short(value: float) -> str:
    """.62, -.08, 1.00, or "n/a" for nan."""
    if np.isnan(value):
        return "n/a"
    text = f"{value:.2f}".replace("-0.00", "0.00")
    return text.replace("0.", ".", 1) if abs(value) < 0.995 else text
