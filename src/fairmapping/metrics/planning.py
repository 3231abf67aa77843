"""How many images a question needs, before any is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from .intervals import wilson
from .measures import Array

__all__ = ["Advice", "advise"]


@dataclass(frozen=True)
class Advice:
    """Images of each prompt (in each arm) with which a change of `effect` in a share of `base` is seen with `power`, in
    two-sided tests at `alpha`.

    images: of one prompt, the arms drawn apart. paired: the arms drawn on the same seeds, `changed` being the share of
    pairs that change group. each: as `images`, so that every one of `keywords` can be told by itself after Holm's
    correction, whose first step asks for alpha / keywords; each_paired likewise. together: for the mean share over
    all keywords; together_paired likewise. half_width: half the 95 % Wilson interval that a share of
    `base` has with `images`.
    """

    effect: float
    power: float
    alpha: float
    base: float
    groups: int
    keywords: int
    changed: float
    images: int
    paired: int
    each: int
    each_paired: int
    together: int
    together_paired: int
    half_width: float


def advise(
    effect: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    base: float | None = None,
    groups: int = 2,
    keywords: int = 1,
    changed: float | None = None,
) -> Advice:
    """Sample sizes to see a share change by `effect`, from `base` (by default even, which needs the most) towards even.

    The other groups share what is left alike, before and after. Power is that of chi-square with K - 1 degrees of
    freedom and noncentrality n w: w = sum d_c^2 / (p_c + q_c) between the shares p before and q after, for arms drawn
    apart (Cohen 1988, chapter 7), and w = d' V^+ d with V = diag(p + q) - P - P' for pairs of the joint shares P
    (Stuart 1955; for K = 2 this is McNemar's d^2 / changed). changed: the share of pairs on the same seed whose group
    changes. It cannot be less than `effect`; by default it is what independent pairs would show, with which pairing
    gains nothing. An earlier audit's ``compare(...).changed`` tells it. Of K = 2, a change of e in pairwise bias
    is one of e / 2 in a share.

    Raises ValueError for what no share can do.
    """
    _check(effect, power, alpha, groups, keywords)
    share = 1 / groups if base is None else base
    if not 0 <= share <= 1:
        raise ValueError(f"base is {base}; give a share from 0 to 1")
    after = share - effect if share - effect >= 0 and share >= 1 / groups else share + effect
    if not 0 <= after <= 1:
        raise ValueError(f"a share of {share:g} cannot change by {effect:g}; give a smaller effect or another base")
    p, q = (np.append(first, np.full(groups - 1, (1 - first) / (groups - 1))) for first in (share, after))
    some = p + q > 0
    apart = float(((p - q)[some] ** 2 / (p + q)[some]).sum())
    least, most = float(np.abs(p - q).sum() / 2), float(1 - p @ q)
    moves = most if changed is None else changed
    if not least - 1e-12 <= moves <= max(most, least) + 1e-12:
        raise ValueError(
            f"changed is {moves:g}; between the {least:g} that the effect takes and the {most:g} of independent pairs "
            "lies what pairs on the same seeds can show"
        )
    together = _paired_noncentrality(p, q, moves)
    one, first_of_holm = (_noncentrality(level, power, groups - 1) for level in (alpha, alpha / keywords))
    images = math.ceil(one / apart)
    low, high = wilson(share * images, images)
    return Advice(
        effect=effect,
        power=power,
        alpha=alpha,
        base=share,
        groups=groups,
        keywords=keywords,
        changed=moves,
        images=images,
        paired=math.ceil(one / together),
        each=math.ceil(first_of_holm / apart),
        each_paired=math.ceil(first_of_holm / together),
        together=math.ceil(one / apart / keywords),
        together_paired=math.ceil(one / together / keywords),
        half_width=float(high - low) / 2,
    )


def _paired_noncentrality(p: Array, q: Array, changed: float) -> float:
    """d' V^+ d of pairs of which `changed` change group: a mixture of the two couplings of p and q in which as few as
    possible do, and in which the pairs are independent."""
    stay, d = np.minimum(p, q), q - p
    least, most = 1 - stay.sum(), 1 - p @ q
    moved = np.outer(p - stay, q - stay) / least
    part = (changed - least) / (most - least) if most > least else 0.0
    joint = (1 - part) * (np.diag(stay) + moved) + part * np.outer(p, q)
    variance = np.diag(p + q) - joint - joint.T
    return float(d @ np.linalg.pinv(variance, hermitian=True) @ d)


def _noncentrality(alpha: float, power: float, freedom: int) -> float:
    """Of the chi-square distribution that passes the critical value with this probability."""
    critical = stats.chi2.isf(alpha, freedom)
    return float(optimize.brentq(lambda size: stats.ncx2.sf(critical, freedom, size) - power, 0, 1e4))


def _check(effect: float, power: float, alpha: float, groups: int, keywords: int) -> None:
    if not 0 < effect <= 1:
        raise ValueError(f"effect is {effect}; give the change of a share to be seen, such as 0.05")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; give the rate of false alarms, such as 0.05")
    if not alpha < power < 1:
        raise ValueError(f"power is {power}; give a chance above alpha ({alpha:g}) and below 1, such as 0.8")
    for name, value, least in (("groups", groups, 2), ("keywords", keywords, 1)):
        if value < least or value != int(value):
            raise ValueError(f"{name} is {value}; give a whole number of at least {least}")
