"""Measures of bias: from counts (..., K) to numbers (...). Write p for the shares.

For K = 2, pairwise bias, deviation ratio, 2 * mean absolute deviation and 1 - FairImagen fairness are one and the
same number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MEASURES",
    "SOURCES",
    "Array",
    "Measure",
    "checked",
    "checked_target",
    "deviation_ratio",
    "fairimagen_fairness",
    "kl_divergence",
    "mean_absolute_deviation",
    "named",
    "normalised_entropy",
    "pairwise_bias",
    "shares",
    "target_deviation",
]

Array = NDArray[np.float64]
Measure = Callable[[ArrayLike], Any]


def shares(counts: ArrayLike) -> Array:
    """p_c, the share of each group among the judged images: (..., K) -> (..., K)."""
    array = checked(counts)
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


def target_deviation(counts: ArrayLike, target: ArrayLike) -> Any:
    """(1/K) sum |p_c - t_c| for target shares t (..., K) that broadcast to the counts; 0 where every share is met.

    Mean absolute deviation is the case of an even target.
    """
    p = shares(counts)
    return np.abs(p - checked_target(target, p.shape[-1])).mean(-1)[()]


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

SOURCES: dict[str, str] = {  # under which names papers report them
    "pairwise_bias": "pairwise bias (Shen et al., ICLR 2024)",
    "deviation_ratio": "deviation ratio (InterpretDiffusion)",
    "mean_absolute_deviation": "mean absolute deviation (DALL-Eval); parity gap (EquiSteer)",
    "kl_divergence": "KL divergence from uniform (ITI-GEN)",
    "normalised_entropy": "normalised entropy (OpenBias, FairMOP)",
    "fairimagen_fairness": "fairness (FairImagen)",
}


def named(measure: str | Callable[..., Any]) -> Callable[..., Any]:
    """A measure by its name, or as it is."""
    if callable(measure):
        return measure
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}; choose from {', '.join(MEASURES)}")
    return MEASURES[measure]


def checked(counts: ArrayLike, what: str = "counts") -> Array:
    """`counts` as floats (..., K). Raises TypeError for what are no numbers, ValueError for what counts nothing."""
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


def checked_target(target: ArrayLike, k: int) -> Array:
    """Target shares as floats (..., K). Raises ValueError for what are no shares of `k` groups."""
    array = checked(target, "target")
    if array.shape[-1] != k:
        raise ValueError(f"target needs {k} shares, one a group, got {array.shape[-1]}")
    if not np.allclose(array.sum(-1), 1):
        raise ValueError("target shares must add up to 1")
    return array


def _entropy(p: Array) -> Array:
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), -1)
