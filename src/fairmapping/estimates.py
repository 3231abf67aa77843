"""Judged counts to figures with their intervals: shares, means over keywords, and their distance from targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from . import metrics
from .metrics import Interval

__all__ = [
    "by_keyword",
    "cell_counts",
    "clipped",
    "corrected_mean",
    "frame",
    "independent",
    "mean_from_target",
    "mean_over_keywords",
    "mean_share",
    "named",
    "pair_counts",
    "over_keywords",
    "paired",
    "share_of",
    "summed",
    "target_shares",
]

FEW = 8  # with fewer keywords than these, drawing only the keywords anew says too little of the noise
NOTHING = 1e-9  # rounding is no spread


def frame(judged: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Judged rows as the DataFrame of an Audit."""
    judged = list(judged)
    rows = pd.DataFrame(judged)
    for name in ("groups", "assigned"):  # rows that no quota was asked for may lack the latter
        rows[name] = [tuple((attribute, group) for attribute, group in row.get(name) or ()) for row in judged]
    return rows


def by_keyword(
    neutral: pd.DataFrame,
    attribute: str,
    groups: Sequence[str],
    confusion: np.ndarray | None,
    interval: Callable[..., tuple[Any, Any]] = metrics.wilson,
) -> pd.DataFrame:
    """The table that :meth:`fairmapping.results.Audit.table` describes, of the rows of neutral prompts.

    confusion (K, K): the judge's, where its card has one. interval: of k and n, for the shares.
    """
    by = neutral.groupby(["arm", "keyword"], sort=False, observed=True)
    number, faces = by.ngroup().to_numpy(), neutral["faces"].to_numpy()
    table = by.agg(images=("faces", "size"))
    for name, chosen in (("no_face", faces == 0), ("several", faces > 1)):
        table[name] = np.bincount(number[chosen], minlength=len(table))
    judged = np.bincount(number[neutral[attribute].notna().to_numpy()], minlength=len(table))
    counts = _counted(number, len(table), _places(neutral[attribute], groups), len(groups))
    table["n"] = counts.sum(-1)
    table["other"] = judged - table["n"]
    low, high = interval(counts, table[["n"]].to_numpy())
    none = table["n"].to_numpy() == 0
    parts = {"_count": counts, "": metrics.shares(counts), "_low": low, "_high": high}
    if confusion is not None:
        names = ("_corrected", "_corrected_low", "_corrected_high")
        parts |= dict(zip(names, metrics.corrected_shares(counts, confusion, resamples=300), strict=True))
    for index, group in enumerate(groups):
        for suffix, values in parts.items():
            table[f"{group}{suffix}"] = values[:, index]
        table.loc[none, [f"{group}_low", f"{group}_high"]] = np.nan
    table["pairwise_bias"] = metrics.pairwise_bias(counts)
    table["floor"] = metrics.chance_floor(table["n"].to_numpy(), len(groups))
    return table.reset_index()


def cell_counts(neutral: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> dict[str, pd.DataFrame]:
    """Arm -> counts, a row per keyword and a column per cell of the product of the attributes' groups, unseen ones
    too. groups: attribute -> those asked about."""
    cells = list(product(*groups.values()))
    place = np.zeros(len(neutral), int)
    for attribute, names in groups.items():
        found = _places(neutral[attribute], names)
        place = np.where((place >= 0) & (found >= 0), place * len(names) + found, -1)
    by = neutral.groupby(["arm", "keyword"], sort=False, observed=True)
    counts = _counted(by.ngroup().to_numpy(), by.ngroups, place, len(cells))
    table = pd.DataFrame(counts, index=by.size().index, columns=pd.Index(cells, tupleize_cols=False))
    arms = table.index.get_level_values("arm")
    return {str(arm): table[arms == arm].droplevel("arm") for arm in dict.fromkeys(arms)}


def pair_counts(pairs: pd.DataFrame, keywords: Sequence[str], groups: Sequence[str]) -> np.ndarray:
    """(N, K, K): the pairs of :func:`paired` for each of N keywords by their raw and their mapped group. Pairs with a
    group that was not asked about are in none."""
    number = pd.Index(keywords).get_indexer(pairs.index.get_level_values("keyword"))
    raw, mapped = (_places(pairs[arm], groups) for arm in ("raw", "mapped"))
    place = np.where((raw >= 0) & (mapped >= 0) & (number >= 0), raw * len(groups) + mapped, -1)
    return _counted(number, len(keywords), place, len(groups) ** 2).reshape(-1, len(groups), len(groups))


def _places(labels: pd.Series, groups: Sequence[str]) -> np.ndarray:
    """The place of each label among the groups, -1 for none of them."""
    return pd.Index(groups).get_indexer(labels)


def _counted(number: np.ndarray, numbers: int, place: np.ndarray, places: int) -> np.ndarray:
    """(numbers, places): how many rows have both; a place of -1 counts nowhere."""
    known = place >= 0
    both = number[known] * places + place[known]
    return np.bincount(both, minlength=numbers * places).reshape(numbers, places)


def independent(cells: np.ndarray) -> np.ndarray:
    """Shares of the cells of several attributes (K_1, K_2, ...), if these had nothing to do with each other: the
    products of their marginal shares, in the same shape."""
    every = range(cells.ndim)
    sides = [cells.sum(tuple(axis for axis in every if axis != own)) for own in every]
    return np.asarray(reduce(np.multiply, np.ix_(*sides)))


def paired(rows: pd.DataFrame, attribute: str) -> pd.DataFrame:
    """A column's cells in both arms side by side, such as labels where both have a judged face: columns raw and mapped,
    indexed by keyword, prompt and seed. Rows without a seed are in no pair."""
    keys = ["keyword", "prompt", "seed"]
    rows = rows[rows["seed"].notna()]
    raw, mapped = (rows.loc[rows["arm"] == arm, [*keys, attribute]] for arm in ("raw", "mapped"))
    if len(raw) == len(mapped) and all(np.array_equal(raw[key], mapped[key]) for key in keys):  # as audit() has them
        both = raw.rename(columns={attribute: "raw"}).assign(mapped=mapped[attribute].to_numpy())
    else:
        both = raw.merge(mapped, on=keys, suffixes=("_raw", "_mapped"), validate="one_to_one")
        both = both.rename(columns={f"{attribute}_{arm}": arm for arm in ("raw", "mapped")})
    return both.dropna(subset=["raw", "mapped"]).set_index(keys)


def share_of(k: int, n: int) -> Interval:
    """k of n with its 95 % Wilson interval; NaN where n is 0."""
    if not n:
        return Interval(np.nan, np.nan, np.nan, 0)
    low, high = metrics.wilson(k, n)
    return Interval(k / n, float(low), float(high), n)


def mean_over_keywords(counts: np.ndarray, measure: metrics.Measure) -> Interval:
    """Mean of a measure of bias over the keywords of counts (N, K), its interval inside the range of the measure.

    The interval is a bootstrap over keywords and the images within them. The seeds of one prompt are drawn apart from
    those of every other (:func:`fairmapping.generate.image_seed`), so images are nested in keywords, and each
    keyword's score already carries the noise of its images: drawing the keywords anew shows both (Davison and
    Hinkley, Bootstrap Methods, 1997, section 3.8). Of fewer than 8 keywords the images are drawn anew as well. Where
    every keyword shows one group only, drawing anew has no spread: Wilson's bound on the share of that group, over
    all images, is carried to the measure.
    """
    return _in_range(_resampled(counts, measure), counts, measure)


def corrected_mean(counts: np.ndarray, confusion: np.ndarray, *, draws: int = 400, seed: int = 0) -> Interval:
    """Mean over keywords of the pairwise bias of counts (N, K), corrected for the judge's errors by its confusion
    matrix (K, K).

    The interval is that of :func:`mean_over_keywords` with the correction's own uncertainty in it: for each of
    `draws` error rates that the judge's card leaves open (:func:`fairmapping.metrics.judge_draws`) the keywords are
    drawn anew 5 times, and of few of them their shares too, from what the images leave open. Correction makes
    noise larger, and a mean of sizes grows with noise, so the figure lies above its limit for many images by more
    than the uncorrected one does.
    """
    judged = counts[counts.sum(-1) > 0]
    if not len(judged):
        return Interval(np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng(seed)
    means = []
    for rates in metrics.judge_draws(confusion, draws, rng):
        rows = rng.integers(len(judged), size=(5, len(judged)))
        if len(judged) >= FEW:
            means.append(_corrected_bias(judged, rates)[rows].mean(1))
        else:
            means.append(_corrected_bias(metrics.share_draws(judged[rows], rng), rates).mean(1))
    value = float(_corrected_bias(judged, confusion).mean())
    low, high = value + np.quantile(means, (0.025, 0.975)) - np.mean(means)
    found = Interval(value, float(low), float(high), len(judged))
    found = found if found.high - found.low > NOTHING else replace(found, low=np.nan, high=np.nan)
    return _in_range(found, judged, metrics.pairwise_bias)


def _in_range(found: Interval, counts: np.ndarray, measure: metrics.Measure) -> Interval:
    """The interval inside the range of the measure; without any spread, what Wilson's bound allows."""
    k = counts.shape[-1]
    ends = measure(np.stack([np.eye(k)[0], np.full(k, 1 / k)]))
    found = clipped(found, float(ends.min()), float(ends.max()))
    if found.n and not found.high > found.low and (counts.max(-1) == counts.sum(-1)).all():
        total = int(counts.sum())
        least = max(float(metrics.wilson(total, total)[0]), 1 / k)
        bound = float(measure(np.append(least, np.full(k - 1, (1 - least) / (k - 1)))))
        return replace(found, low=min(bound, found.value), high=max(bound, found.value))
    return found


def mean_from_target(counts: np.ndarray, target: np.ndarray) -> Interval:
    """Mean over the keywords of counts (N, K) of the mean |share - target|, for target shares (N, K) of their own.

    Where every keyword shows one group only, drawing anew has no spread: the interval then holds what any share of
    that group above Wilson's bound, over all images, would give.
    """
    k = counts.shape[-1]
    found = _resampled(counts, metrics.target_deviation, target)
    if found.n and not found.high > found.low and (counts.max(-1) == counts.sum(-1)).all():
        total = int(counts.sum())
        least = max(float(metrics.wilson(total, total)[0]), 1 / k)
        possible = []
        for share in np.linspace(least, 1, 101):
            shares = np.where(counts > 0, share, (1 - share) / (k - 1))
            possible.append(float(metrics.target_deviation(shares, target).mean()))
        return replace(found, low=min(possible), high=max(possible))
    return clipped(found, 0, 2 / k)


def mean_share(counts: np.ndarray, index: int) -> Interval:
    """Mean over keywords of the share of one group of counts (N, K); Wilson's interval where it is 0 or 1 in all."""
    found = clipped(_resampled(counts, partial(_group_share, index)), 0, 1)
    if found.n and not found.high > found.low and found.value in (0, 1):
        total = int(counts.sum())
        return replace(share_of(int(found.value) * total, total), n=found.n)
    return found


def over_keywords(values: np.ndarray, errors: np.ndarray, *, resamples: int = 2000, seed: int = 0) -> Interval:
    """Mean of the values (N,) of keywords, with the interval of drawing the keywords anew, each by its own standard
    error (N,) too where they are fewer than 8. No interval where neither is known."""
    n = len(values)
    if n >= FEW or not n:
        return metrics.bootstrap_mean(values)
    rng = np.random.default_rng(seed)
    rows = rng.integers(n, size=(resamples, n))
    known = np.where(np.isnan(errors), errors[~np.isnan(errors)].mean() if (~np.isnan(errors)).any() else 0, errors)
    means = (values[rows] + known[rows] * rng.standard_normal(rows.shape)).mean(1)
    value = float(values.mean())
    low, high = value + np.quantile(means, (0.025, 0.975)) - means.mean()
    found = Interval(value, float(low), float(high), n)
    return found if found.high - found.low > NOTHING else replace(found, low=np.nan, high=np.nan)


def named(interval: Interval, name: str) -> dict[str, float]:
    """The interval as columns of a table: its value under `name`, low, high."""
    return {name: interval.value, "low": interval.low, "high": interval.high}


def summed(interval: Interval, sizes: np.ndarray, floor: Any) -> dict[str, float]:
    """A mean over keywords as columns: value, low, high, keywords, images and the mean of their floors."""
    size = {"keywords": len(sizes), "images": int(sizes.sum()), "floor": float(np.mean(floor))}
    return {**named(interval, "value"), **size}


def target_shares(
    targets: Mapping[str, Mapping[str, float]], keyword: str, attribute: str, groups: Sequence[str]
) -> list[float]:
    """Target shares of one attribute of a keyword, in the order of the `groups` asked about.

    Raises ValueError where there are none, or one is of a group that was not asked about.
    """
    if attribute not in targets:
        raise ValueError(f"the targets name no shares of {attribute} for {keyword!r}; give them, or leave it out")
    shares = targets[attribute]
    if unasked := [group for group, share in shares.items() if share > 0 and group not in groups]:
        raise ValueError(
            f"the target gives {attribute} group {unasked[0]!r} a share, and the audit asked about "
            f"{', '.join(groups)} only"
        )
    return [shares.get(group, 0.0) for group in groups]


def _corrected_bias(counts: Any, confusion: np.ndarray) -> Any:
    return metrics.pairwise_bias(metrics.correct_counts(counts, confusion))


def _resampled(
    counts: np.ndarray, measure: metrics.Measure | metrics.TargetMeasure, target: np.ndarray | None = None
) -> Interval:
    """Keywords drawn anew; of few keywords, or where that has no spread, their images too."""
    if len(counts) >= FEW:
        values = measure(counts) if target is None else measure(counts, target)  # type: ignore[call-arg]
        found = metrics.bootstrap_mean(values)
        if found.high - found.low > NOTHING:
            return found
    found = metrics.bootstrap_counts(counts, measure, keywords=True, target=target)
    return found if found.high - found.low > NOTHING else replace(found, low=np.nan, high=np.nan)


def clipped(found: Interval, low: float, high: float) -> Interval:
    """The interval inside what its value can be."""
    return replace(found, low=float(np.clip(found.low, low, high)), high=float(np.clip(found.high, low, high)))


def _group_share(index: int, counts: Any) -> Any:
    return metrics.shares(counts)[..., index]
