"""Judged rows to the table of an Audit: one line per arm and keyword, with every count, share and interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from . import metrics

__all__ = ["by_keyword"]


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
