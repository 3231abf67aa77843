"""One arm against the other: the same keywords, prompts and seeds, without and with the map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from . import metrics
from .estimates import FEW, NOTHING, clipped, mean_over_keywords, pair_counts, paired, share_of
from .metrics import Interval

__all__ = ["LEAST_CHANGED", "SIGNIFICANT", "Comparison", "bias_difference", "compared", "tested"]

SIGNIFICANT = 0.05
LEAST_CHANGED = 6  # 2 * 0.5 ** 6 < 0.05: with fewer changed pairs no sign test at 5 % could tell a direction


@dataclass(frozen=True)
class Comparison:
    """Mapped against raw on the same prompts and seeds. Intervals by bootstrap over keywords, and with few of them
    over their images too; `changed` is a share of image pairs, with n 0 where the arms share no seed (images that
    somebody else drew): they are then compared as independent."""

    attribute: str
    raw: Interval
    mapped: Interval
    difference: Interval
    changed: Interval

    @property
    def verdict(self) -> str:
        """ "fell" or "rose" where the interval of the difference, to two decimals, lies to one side of 0 and, where
        there are image pairs, at least 6 changed their group, else "did not measurably change"."""
        if self.changed.n and round(self.changed.value * self.changed.n) < LEAST_CHANGED:
            return "did not measurably change"
        if round(self.difference.high, 2) < 0:
            return "fell"
        return "rose" if round(self.difference.low, 2) > 0 else "did not measurably change"


def compared(table: pd.DataFrame, neutral: pd.DataFrame, attribute: str, groups: Sequence[str]) -> Comparison:
    """Of the table of :meth:`fairmapping.results.Audit.table` and the rows of the neutral prompts, both with both arms.

    Raises ValueError where no keyword has judged faces in both arms.
    """
    arms = ("raw", "mapped")
    by_arm = {arm: part.set_index("keyword") for arm, part in table[table["n"] > 0].groupby("arm", sort=False)}
    order = neutral["keyword"].unique()
    common = [keyword for keyword in order if all(keyword in part.index for part in by_arm.values())]
    if len(by_arm) < 2 or not common:
        raise ValueError(f"no keyword has judged faces in both arms, so {attribute} cannot be compared")
    raw, mapped = (by_arm[arm].loc[common, [f"{group}_count" for group in groups]].to_numpy() for arm in arms)
    pairs = paired(neutral[neutral["keyword"].isin(common)], attribute)
    joint = pair_counts(pairs, common, groups)
    return Comparison(
        attribute=attribute,
        raw=mean_over_keywords(raw, metrics.pairwise_bias),
        mapped=mean_over_keywords(mapped, metrics.pairwise_bias),
        difference=bias_difference(raw, mapped, joint),
        changed=share_of(int((pairs["raw"] != pairs["mapped"]).sum()), len(pairs)),
    )


def tested(pairs: pd.DataFrame, attribute: str, groups: Sequence[str]) -> pd.DataFrame:
    """The table that :meth:`fairmapping.results.Audit.tests` describes, of the pairs of neutral prompts."""
    from statsmodels.stats.multitest import multipletests  # here: half a second that only this needs

    keywords = list(pairs.index.unique("keyword"))
    tables = pair_counts(pairs, keywords, groups)
    told = tables.sum((1, 2)) > 0
    keywords, tables = [keyword for keyword, some in zip(keywords, told, strict=True) if some], tables[told]
    if not keywords:
        raise ValueError(f"no keyword has image pairs with judged faces in both arms, so {attribute} cannot be tested")
    n, moved = tables.sum((1, 2)), tables * (1 - np.eye(len(groups), dtype=int))
    gained, lost = moved.sum(1), moved.sum(2)
    # Of two groups the first tells all; of more, the one whose share changed most, with an interval that holds for all.
    index = np.abs(gained - lost).argmax(1) if len(groups) > 2 else np.zeros(len(n), int)
    rows = np.arange(len(n))
    up, down = gained[rows, index], lost[rows, index]
    effect, low, high = metrics.matched_difference(up, down, n, 0.95 if len(groups) == 2 else 1 - 0.05 / len(groups))
    p = metrics.matched_p(tables)
    return pd.DataFrame(
        {
            "keyword": keywords,
            "n": n,
            "changed": moved.sum((1, 2)),
            "group": np.array(groups)[index],
            "gained": up,
            "lost": down,
            "effect": effect,
            "low": low,
            "high": high,
            "p": p,
            "p_holm": multipletests(p, method="holm")[1],
        }
    )


def bias_difference(raw: np.ndarray, mapped: np.ndarray, joint: np.ndarray) -> Interval:
    """Mean pairwise bias, mapped minus raw, of counts (N, K) of the same keywords.

    joint (N, K, K): image pairs by their raw and their mapped group. With few keywords these pairs are drawn anew
    along with the keywords, and where there are none, the images of both arms, with any number of keywords: no count of
    changed pairs guards the verdict then. Without any spread there is no interval (nan).
    """
    values = metrics.pairwise_bias(mapped) - metrics.pairwise_bias(raw)
    found = metrics.bootstrap_mean(values)
    if not joint.any():
        found = metrics.bootstrap_counts(np.hstack([raw, mapped]), _separate_difference, keywords=True)
    elif len(raw) < FEW:
        pairs = metrics.bootstrap_counts(joint.reshape(len(joint), -1), _joint_difference, keywords=True)
        # Around the difference of all judged faces, of which the pairs may be a part.
        shift = found.value - pairs.value
        found = replace(found, low=pairs.low + shift, high=pairs.high + shift)
    if not found.high - found.low > NOTHING:
        return replace(found, low=np.nan, high=np.nan)
    worst = 2 / raw.shape[-1]
    return clipped(found, -worst, worst)


def _joint_difference(joint: Any) -> Any:
    """Pairwise bias, mapped minus raw, of counts (..., K * K) of (raw group, mapped group) pairs."""
    array = np.asarray(joint, float)
    k = math.isqrt(array.shape[-1])
    square = array.reshape(*array.shape[:-1], k, k)
    return metrics.pairwise_bias(square.sum(-2)) - metrics.pairwise_bias(square.sum(-1))


def _separate_difference(both: Any) -> Any:
    """Pairwise bias, mapped minus raw, of counts (..., 2 * K): the raw groups, then the mapped ones."""
    raw, mapped = np.split(np.asarray(both, float), 2, axis=-1)
    return metrics.pairwise_bias(mapped) - metrics.pairwise_bias(raw)
