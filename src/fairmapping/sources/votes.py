"""Labels of several annotators: how far they agree, and what the majority of them says."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from ..metrics import Interval
from ..progress import progress_bar

__all__ = ["NO_AGREEMENT", "NO_LABEL", "Votes", "agreement", "majority", "votes_of"]

NO_AGREEMENT = "no agreement"
NO_LABEL = "no label"
_MANY = 20_000  # images from which an interval takes seconds
_DRAWN = 20_000_000  # images drawn anew in all, which bounds the seconds that an interval may take


class Votes(NamedTuple):
    """counts (N, V): how many annotators gave each of the V values to each of N images."""

    counts: np.ndarray
    values: tuple[str, ...]


def votes_of(images: np.ndarray, labels: pd.Series, n: int) -> Votes:
    """images (rows,): which of the `n` images each label is of. Empty labels (None) are no votes."""
    given = labels.notna().to_numpy()
    codes, values = pd.factorize(labels[given], sort=True)
    counts = np.zeros((n, len(values)), int)
    np.add.at(counts, (images[given], codes), 1)
    return Votes(counts, tuple(str(value) for value in values))


def majority(votes: Votes) -> np.ndarray:
    """(N,) what more annotators say than say anything else; "no agreement" where there is a tie, "no label" where
    nobody gave one."""
    counts = votes.counts
    if not counts.shape[1]:
        return np.full(len(counts), NO_LABEL, dtype=object)
    most = counts.max(1)
    found = np.asarray(votes.values, dtype=object)[counts.argmax(1)]
    found[(counts == most[:, None]).sum(1) > 1] = NO_AGREEMENT
    found[most == 0] = NO_LABEL
    return found


def agreement(votes: Votes, *, resamples: int = 1000, seed: int = 0, progress: bool = False) -> Interval:
    """Krippendorff's alpha of nominal labels, by the package krippendorff, with the 95 % percentile interval of drawing
    the images anew; n is how many images have two labels or more.

    Of many images fewer draws are made, at least 200. alpha is nan where there is nothing to tell apart: no image with
    two labels, or one value throughout. Raises ModuleNotFoundError without the package.
    """
    several = votes.counts[votes.counts.sum(1) > 1]
    if not len(several) or (several.sum(0) > 0).sum() < 2:
        return Interval(np.nan, np.nan, np.nan, len(several))
    rng = np.random.default_rng(seed)
    draws = int(np.clip(_DRAWN // len(several), min(200, resamples), resamples))
    again = []
    bar = progress_bar("agreement of annotators", draws, "draws", shown=progress and len(several) > _MANY)
    with bar as advance:
        for _ in range(draws):
            again.append(_alpha(several[rng.integers(len(several), size=len(several))]))
            advance(1)
    low, high = np.nanquantile(again, (0.025, 0.975)) if len(several) > 1 else (np.nan, np.nan)
    return Interval(_alpha(several), float(low), float(high), len(several))


def _alpha(counts: np.ndarray) -> float:
    if (counts.sum(0) > 0).sum() < 2:  # one value alone, which a draw of few images can give
        return np.nan
    try:
        import krippendorff
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "labels of several annotators need the package krippendorff: pip install 'fairmapping[annotators]'"
        ) from error
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))
