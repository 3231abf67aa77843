"""Judged counts to figures with their intervals: shares, means over keywords, and one arm against the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import metrics
from .metrics import Interval

__all__ = ["Comparison", "bias_difference", "group_share", "mean_over_keywords", "named", "share_of"]


@dataclass(frozen=True)
class Comparison:
    """Mapped against raw on the same prompts and seeds. Intervals by bootstrap over keywords; `changed` is a share of
    image pairs."""

    attribute: str
    raw: Interval
    mapped: Interval
    difference: Interval
    changed: Interval

    @property
    def verdict(self) -> str:
        """ "fell" or "rose" where the interval of the difference, to two decimals, lies to one side of 0, else "did not
        measurably change"."""
        if round(self.difference.high, 2) < 0:
            return "fell"
        return "rose" if round(self.difference.low, 2) > 0 else "did not measurably change"


def share_of(k: int, n: int) -> Interval:
    """k of n with its 95 % Wilson interval; NaN where n is 0."""
    if not n:
        return Interval(np.nan, np.nan, np.nan, 0)
    low, high = metrics.wilson(k, n)
    return Interval(k / n, float(low), float(high), n)


def mean_over_keywords(counts: np.ndarray, measure: metrics.Measure) -> Interval:
    """Mean over keywords. A single one has no keywords to draw anew, so its images are."""
    if len(counts) == 1:
        return metrics.bootstrap_counts(counts, measure)
    return metrics.bootstrap_mean(measure(counts))


def bias_difference(raw: np.ndarray, mapped: np.ndarray, joint: np.ndarray) -> Interval:
    """Mean pairwise bias, mapped minus raw, of counts (N, K) of the same keywords.

    joint (K, K): image pairs by their raw and their mapped group. With a single keyword there are no keywords to draw
    anew, so these pairs are.
    """
    if len(raw) == 1:
        return metrics.bootstrap_counts(joint.reshape(1, -1), _joint_difference)
    return metrics.bootstrap_mean(metrics.pairwise_bias(mapped) - metrics.pairwise_bias(raw))


def named(interval: Interval, name: str) -> dict[str, float]:
    """The interval as columns of a table: its value under `name`, low, high."""
    return {name: interval.value, "low": interval.low, "high": interval.high}


def group_share(index: int, counts: Any) -> Any:
    return metrics.shares(counts)[..., index]


def _joint_difference(joint: Any) -> Any:
    """Pairwise bias, mapped minus raw, of counts (..., K * K) of (raw group, mapped group) pairs."""
    array = np.asarray(joint, float)
    k = math.isqrt(array.shape[-1])
    square = array.reshape(*array.shape[:-1], k, k)
    return metrics.pairwise_bias(square.sum(-2)) - metrics.pairwise_bias(square.sum(-1))
