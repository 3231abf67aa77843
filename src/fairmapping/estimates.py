"""Judged counts to figures with their intervals: shares, means over keywords, and one arm against the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from . import metrics
from .metrics import Interval

__all__ = [
    "Comparison",
    "bias_difference",
    "by_keyword",
    "corrected_bias",
    "mean_over_keywords",
    "mean_share",
    "named",
    "paired",
    "share_of",
]

FEW = 8  # with fewer keywords than these, drawing only the keywords anew says too little of the noise
LEAST_CHANGED = 6  # 2 * 0.5 ** 6 < 0.05: with fewer changed pairs no sign test at 5 % could tell a direction


@dataclass(frozen=True)
class Comparison:
    """Mapped against raw on the same prompts and seeds. Intervals by bootstrap over keywords, and with few of them
    over their images too; `changed` is a share of image pairs."""

    attribute: str
    raw: Interval
    mapped: Interval
    difference: Interval
    changed: Interval

    @property
    def verdict(self) -> str:
        """ "fell" or "rose" where the interval of the difference, to two decimals, lies to one side of 0 and at least 6
        image pairs changed their group, else "did not measurably change"."""
        if not self.changed.n or round(self.changed.value * self.changed.n) < LEAST_CHANGED:
            return "did not measurably change"
        if round(self.difference.high, 2) < 0:
            return "fell"
        return "rose" if round(self.difference.low, 2) > 0 else "did not measurably change"


def by_keyword(
    neutral: pd.DataFrame, attribute: str, groups: Sequence[str], confusion: np.ndarray | None
) -> pd.DataFrame:
    """The table that :meth:`fairmapping.results.Audit.table` describes, of the rows of neutral prompts.

    confusion (K, K): the judge's, where its card has one.
    """
    by = neutral.groupby(["arm", "keyword"], sort=False)
    table = by.agg(
        images=("image", "size"),
        no_face=("faces", lambda faces: int((faces == 0).sum())),
        several=("faces", lambda faces: int((faces > 1).sum())),
        judged=(attribute, "count"),
    )
    counts = np.stack([by[attribute].agg(lambda labels, g=group: int((labels == g).sum())) for group in groups], -1)
    table["n"] = counts.sum(-1)
    table["other"] = table.pop("judged") - table["n"]
    low, high = metrics.wilson(counts, table[["n"]].to_numpy())
    none = table["n"].to_numpy() == 0
    parts = {"_count": counts, "": metrics.shares(counts), "_low": low, "_high": high}
    if confusion is not None:
        total = table[["n"]].to_numpy(float)
        corrected = metrics.correct_counts(counts, confusion)
        parts["_corrected"] = np.divide(corrected, total, out=np.full_like(corrected, np.nan), where=total > 0)
    for index, group in enumerate(groups):
        for suffix, values in parts.items():
            table[f"{group}{suffix}"] = values[:, index]
        table.loc[none, [f"{group}_low", f"{group}_high"]] = np.nan
    table["pairwise_bias"] = metrics.pairwise_bias(counts)
    table["floor"] = metrics.chance_floor(table["n"].to_numpy(), len(groups))
    return table.reset_index()


def paired(rows: pd.DataFrame, attribute: str) -> pd.DataFrame:
    """Labels of both arms side by side, where both arms have a judged face."""
    return rows.pivot(index=["keyword", "prompt", "seed"], columns="arm", values=attribute).dropna()


def share_of(k: int, n: int) -> Interval:
    """k of n with its 95 % Wilson interval; NaN where n is 0."""
    if not n:
        return Interval(np.nan, np.nan, np.nan, 0)
    low, high = metrics.wilson(k, n)
    return Interval(k / n, float(low), float(high), n)


def mean_over_keywords(
    counts: np.ndarray, measure: metrics.Measure, *, within: metrics.Measure | None = None
) -> Interval:
    """Mean of a measure of bias over the keywords of counts (N, K), its interval inside the range of the measure.

    within: the measure whose range that is, by default `measure` itself. Where every keyword shows one group only,
    drawing anew has no spread: Wilson's bound on the share of that group, over all images, is carried to the measure.
    """
    k = counts.shape[-1]
    scored = within or measure
    ends = scored(np.stack([np.eye(k)[0], np.full(k, 1 / k)]))
    found = _clipped(_resampled(counts, measure), float(ends.min()), float(ends.max()))
    if found.n and not found.high > found.low and (counts.max(-1) == counts.sum(-1)).all():
        total = int(counts.sum())
        least = max(float(metrics.wilson(total, total)[0]), 1 / k)
        bound = float(scored(np.append(least, np.full(k - 1, (1 - least) / (k - 1)))))
        return replace(found, low=min(bound, found.value), high=max(bound, found.value))
    return found


def mean_share(counts: np.ndarray, index: int) -> Interval:
    """Mean over keywords of the share of one group of counts (N, K); Wilson's interval where it is 0 or 1 in all."""
    found = _clipped(_resampled(counts, partial(_group_share, index)), 0, 1)
    if found.n and not found.high > found.low and found.value in (0, 1):
        total = int(counts.sum())
        return replace(share_of(int(found.value) * total, total), n=found.n)
    return found


def bias_difference(raw: np.ndarray, mapped: np.ndarray, joint: np.ndarray) -> Interval:
    """Mean pairwise bias, mapped minus raw, of counts (N, K) of the same keywords.

    joint (N, K, K): image pairs by their raw and their mapped group. With few keywords these pairs are drawn anew
    along with the keywords. Without any spread there is no interval (nan).
    """
    values = metrics.pairwise_bias(mapped) - metrics.pairwise_bias(raw)
    found = metrics.bootstrap_mean(values)
    if len(raw) < FEW:
        pairs = metrics.bootstrap_counts(joint.reshape(len(joint), -1), _joint_difference, keywords=True)
        # Around the difference of all judged faces, of which the pairs may be a part.
        shift = found.value - pairs.value
        found = replace(found, low=pairs.low + shift, high=pairs.high + shift)
    if not found.high - found.low > _NOTHING:
        return replace(found, low=np.nan, high=np.nan)
    worst = 2 / raw.shape[-1]
    return _clipped(found, -worst, worst)


def named(interval: Interval, name: str) -> dict[str, float]:
    """The interval as columns of a table: its value under `name`, low, high."""
    return {name: interval.value, "low": interval.low, "high": interval.high}


def corrected_bias(confusion: np.ndarray, counts: Any) -> Any:
    """Pairwise bias of counts (..., K) after the judge's errors are corrected."""
    return metrics.pairwise_bias(metrics.correct_counts(counts, confusion))


_NOTHING = 1e-9  # rounding is no spread


def _resampled(counts: np.ndarray, measure: metrics.Measure) -> Interval:
    """Keywords drawn anew; of few keywords, or where that has no spread, their images too."""
    if len(counts) >= FEW:
        found = metrics.bootstrap_mean(measure(counts))
        if found.high - found.low > _NOTHING:
            return found
    found = metrics.bootstrap_counts(counts, measure, keywords=True)
    return found if found.high - found.low > _NOTHING else replace(found, low=np.nan, high=np.nan)


def _clipped(found: Interval, low: float, high: float) -> Interval:
    return replace(found, low=float(np.clip(found.low, low, high)), high=float(np.clip(found.high, low, high)))


def _group_share(index: int, counts: Any) -> Any:
    return metrics.shares(counts)[..., index]


def _joint_difference(joint: Any) -> Any:
    """Pairwise bias, mapped minus raw, of counts (..., K * K) of (raw group, mapped group) pairs."""
    array = np.asarray(joint, float)
    k = math.isqrt(array.shape[-1])
    square = array.reshape(*array.shape[:-1], k, k)
    return metrics.pairwise_bias(square.sum(-2)) - metrics.pairwise_bias(square.sum(-1))
