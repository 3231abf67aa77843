"""Stopping early without fooling oneself: intervals that hold at every number of images at once.

A 95 % Wilson interval holds at the one n that was fixed beforehand. Who looks after every block of images and stops
once the interval is narrow, or clear of a value, takes many looks, and misses more often than 5 %. A *confidence
sequence* holds, with 95 %, at all n together, so that any rule may stop it. It costs width: nearly twice Wilson's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .intervals import tails
from .measures import Array, checked

__all__ = ["confidence_sequence", "enough"]

PRIOR = 0.5  # Beta(1/2, 1/2): no n for which the sequence was tuned


def confidence_sequence(k: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Array, Array]:
    """(low, high) of a share of k in n, element by element; (0, 1) where n is 0.

    All p whose mixture likelihood ratio B(k + 1/2, n - k + 1/2) / (B(1/2, 1/2) p^k (1 - p)^(n - k)) stays below
    1 / (1 - confidence): it is a martingale under p, so by Ville's inequality the sequence misses p at any n at all
    with that probability at the most (Robbins, Annals of Mathematical Statistics 1970; Waudby-Smith and Ramdas,
    NeurIPS 2020). It holds also for the mean share of several prompts that are drawn equally often, at the
    ends of such blocks: a sum of unlike coins varies less than one of like coins (Hoeffding 1956).

    Raises ValueError unless 0 <= k <= n, all finite.
    """
    tails(confidence)  # refuses what is no confidence
    found, total = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float))
    if not (np.isfinite(found).all() and np.isfinite(total).all() and (found >= 0).all() and (found <= total).all()):
        raise ValueError("confidence_sequence needs 0 <= k <= n, all finite")
    mixture = special.betaln(found + PRIOR, total - found + PRIOR) - special.betaln(PRIOR, PRIOR)
    limit = -np.log1p(-confidence)
    share = np.divide(found, total, out=np.full(found.shape, 0.5), where=total > 0)

    def holds(p: Array) -> Array:
        return mixture - special.xlogy(found, p) - special.xlog1py(total - found, -p) < limit

    ends = []
    for end in (0.0, 1.0):  # the ratio rises from `share` outwards: halve the way to its crossing
        inside, outside = share.copy(), np.full(share.shape, end)
        for _ in range(50):
            middle = (inside + outside) / 2
            within = holds(middle)
            inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
        ends.append(np.where(holds(np.full(share.shape, end)), end, outside))
    return ends[0][()], ends[1][()]


def enough(counts: ArrayLike, width: float, confidence: float = 0.95) -> Array:
    """Counts so far (..., K) to bool (...): whether the sequence of every group's share is within +- `width`.

    With K > 2 groups each has its part of 1 - confidence, so that all of them hold together. Raises ValueError for a
    width outside (0, 1/2).
    """
    if not 0 < width < 0.5:
        raise ValueError(f"width is {width}; give the half-width to stop at, between 0 and 0.5, such as 0.1")
    array = checked(counts)
    k = array.shape[-1]
    each = confidence if k == 2 else 1 - (1 - confidence) / k
    low, high = confidence_sequence(array, array.sum(-1, keepdims=True), each)
    return np.asarray(((high - low) / 2 <= width).all(-1))
