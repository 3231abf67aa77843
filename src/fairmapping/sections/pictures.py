"""Side by side, what the same seeds draw without and with the map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .. import charts
from ..results import ARMS, Audit
from ..store import Place
from ..words import count
from .parts import WHEN, others

_COLUMNS = 6
_SHOWN = 6  # keywords with pictures
_PICTURES = 18  # of each keyword and arm

__all__ = ["most_uneven", "pairs"]


def most_uneven(audit: Audit, keywords: Sequence[str]) -> list[str]:
    """The keywords with the highest bias of the first attribute in the first arm, half of them towards each side
    where K = 2."""
    attribute, groups = next(iter(audit.attributes.items()))
    table = audit.table(attribute, keywords=keywords)
    table = table[(table["arm"] == audit.arms[0]) & (table["n"] > 0)].sort_values(
        "pairwise_bias", ascending=False, kind="stable"
    )
    if len(groups) > 2:
        return list(table["keyword"][:_SHOWN])
    sides = [table[table[groups[0]] > 0.5], table[table[groups[0]] <= 0.5]]
    half = _SHOWN // 2
    taken = [list(side["keyword"]) for side in sides]
    first = taken[0][: max(half, _SHOWN - len(taken[1]))]
    return first + taken[1][: _SHOWN - len(first)]


def pairs(audit: Audit, keywords: Sequence[str]) -> list[dict[str, Any]]:
    """For each keyword a sprite of the same seeds per arm; keywords whose images are gone are left out."""
    if audit.path is None:
        return []
    neutral, place = audit.neutral(), Place(audit.path)
    found = []
    for keyword in keywords:
        figures = []
        for arm in audit.arms:
            rows = neutral[(neutral["arm"] == arm) & (neutral["keyword"] == keyword)]
            # The first image of every template, then the second, ...
            rows = rows.iloc[np.argsort(rows.groupby("prompt").cumcount().to_numpy(), kind="stable")]
            rows = rows.head(min(_PICTURES, max(len(rows) - len(rows) % _COLUMNS, _COLUMNS)))
            made = charts.sprite(place, list(rows["image"]), columns=_COLUMNS)
            if made is None:
                continue
            data, width, height = made
            seen = " · ".join(_tally(rows, attribute, groups) for attribute, groups in audit.attributes.items())
            none = int((rows["faces"] == 0).sum())
            seen += f" · {none} without a face" if none else ""
            name = WHEN[arm].capitalize() if audit.arms == ARMS else ""
            when = f", {name.lower()}" if name else ""
            alt = f"{count(len(rows), 'image')} of “{keyword}”{when}. Perceived: {seen}."
            caption = f"{seen}, of {len(rows)} shown"
            figures.append(
                {
                    "arm": arm,
                    "name": name,
                    "data": data,
                    "width": width,
                    "height": height,
                    "alt": alt,
                    "caption": caption,
                }
            )
        if len(figures) == len(audit.arms):
            found.append({"keyword": keyword, "figures": figures})
    return found


def _tally(rows: pd.DataFrame, attribute: str, groups: Sequence[str]) -> str:
    tally = rows[attribute].value_counts()
    seen = [f"{tally[group]} {group}" for group in groups if tally.get(group)]
    other = int(tally.sum()) - sum(int(tally.get(group, 0)) for group in groups)
    return ", ".join([*seen, *([others(other)] if other else [])]) or "none judged"
