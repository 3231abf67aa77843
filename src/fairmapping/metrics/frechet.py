"""Fréchet distance between two sets of images, by features of them: how far a generator's images are, as a whole, from
those they should be like (Heusel et al., NeurIPS 2017, who take Inception's features).

It is the Wasserstein-2 distance, squared, of two Gaussians of these means and covariances. Estimated from finite
sets it is *biased upwards*, by an amount that falls like 1 / N and depends on the generator (Chong and Forsyth, CVPR
2020): compare only figures of the same number of images against the same reference, and have many more images than
features (10 times as many is a fair start). Values of different feature extractors have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .intervals import Interval, positive, tails
from .measures import Array

__all__ = ["frechet", "frechet_difference", "frechet_distance"]


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    """|m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)) of features x (N, F) and y (M, F).

    With centred features X = Q R, S_x = R_x^T R_x / (N - 1), so tr (S_x S_y)^(1/2) is the sum of the singular values
    of R_x R_y^T over ((N - 1)(M - 1))^(1/2). No root of a matrix is taken: covariances without full rank do no harm,
    and nothing can become complex.

    Raises ValueError for other shapes, fewer than 2 rows on either side, or features that are not finite.
    """
    return _distance(*_checked(x, y))


def frechet(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95, resamples: int = 200, seed: int = 0) -> Interval:
    """`frechet_distance` of x (N, F) from the reference y (M, F), with the interval of drawing both anew.

    Drawing again adds the bias of a finite number a second time, so the spread of the resampled distances is put
    around the value that was observed. What is estimated is the distance at these numbers, bias included. n is N.
    """
    first, second = _checked(x, y)

    def again(rng: np.random.Generator) -> float:
        return _distance(_drawn(first, rng), _drawn(second, rng))

    found = _interval(_distance(first, second), again, len(first), confidence, resamples, seed)
    return Interval(found.value, max(found.low, 0.0), found.high, found.n)


def frechet_difference(
    after: ArrayLike,
    before: ArrayLike,
    reference: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> Interval:
    """Distance of `after` (N, F) from the reference (M, F) less that of `before` (N, F): above 0 where it grew.

    Row i of both is the same prompt and seed, and pairs are drawn anew together. The bias of finite numbers, alike on
    both sides, falls out as far as their spreads are alike. Raises ValueError, besides what `frechet_distance`
    refuses, where `after` and `before` are not as many.
    """
    (late, goal), (early, _) = _checked(after, reference), _checked(before, reference)
    if len(late) != len(early):
        raise ValueError(
            f"after holds {len(late)} images and before {len(early)}: give the same prompts and seeds in the same order"
        )

    def again(rng: np.random.Generator) -> float:
        rows, drawn = rng.integers(len(late), size=len(late)), _drawn(goal, rng)
        return _distance(late[rows], drawn) - _distance(early[rows], drawn)

    value = _distance(late, goal) - _distance(early, goal)
    return _interval(value, again, len(late), confidence, resamples, seed)


def _distance(x: Array, y: Array) -> float:
    apart = float(((x.mean(0) - y.mean(0)) ** 2).sum())
    roots = _root(x), _root(y)
    spread = sum(float((root**2).sum()) for root in roots)
    shared = float(np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum())
    return max(apart + spread - 2 * shared, 0.0)  # rounding may fall below 0


def _root(features: Array) -> Array:
    """R with R^T R the covariance of features (N, F)."""
    centred = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r"), dtype=np.float64)


def _interval(
    value: float,
    again: Callable[[np.random.Generator], float],
    n: int,
    confidence: float,
    resamples: int,
    seed: int,
) -> Interval:
    rng = np.random.default_rng(seed)
    drawn = np.array([again(rng) for _ in range(positive(resamples))])
    low, high = value + np.quantile(drawn, tails(confidence)) - drawn.mean()
    return Interval(value, float(low), float(high), n)


def _drawn(features: Array, rng: np.random.Generator) -> Array:
    return features[rng.integers(len(features), size=len(features))]


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    for array in (first, second):
        if array.ndim != 2 or not array.shape[1]:
            raise ValueError(f"features must have the shape (images, features), got {array.shape}")
        if len(array) < 2:
            raise ValueError(f"a covariance needs at least 2 images, and far more to mean anything, got {len(array)}")
        if not np.isfinite(array).all():
            raise ValueError("features must be finite")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"both sides need the same features, got {first.shape[1]} and {second.shape[1]}")
    return first, second
