"""Shares of images that show what they should: the group a prompt names, what a keyword means, what the same seed
showed without the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from .estimates import named, paired, share_of
from .metrics import Interval

__all__ = ["as_named", "same_as_before", "shown_as_expected", "without_faces"]

Groups = Mapping[str, Sequence[str]]  # attribute -> its groups


def as_named(rows: pd.DataFrame, arms: Sequence[str], attributes: Groups, column: str = "groups") -> pd.DataFrame:
    """Per arm and attribute, how many judged images show the group that `column` (cells) names for them.

    Columns: arm, attribute, group ("all" first, then each named group), images, no_face, n (judged), share, low, high
    (Wilson). Rows that name no group of an attribute count nowhere in it.
    """
    explicit = rows[rows[column].map(len) > 0]
    lines = []
    for arm in arms:
        part = explicit[explicit["arm"] == arm]
        number, cells = pd.factorize(part[column].to_numpy())  # few cells, and many rows
        for attribute, groups in attributes.items():
            asked = pd.array([dict(cell).get(attribute) for cell in cells], dtype=object)
            wanted = pd.Series(asked.take(number), index=part.index)
            for group in ["all", *(name for name in groups if (wanted == name).any())]:
                chosen = wanted.notna() if group == "all" else wanted == group
                images = part[chosen]
                if not len(images):
                    continue
                seen = images[attribute].notna()
                share = share_of(int((images[attribute] == wanted[chosen])[seen].sum()), int(seen.sum()))
                line = {"arm": arm, "attribute": attribute, "group": group, "images": len(images)}
                line |= {"no_face": int((images["faces"] == 0).sum()), "n": share.n}
                lines.append(line | named(share, "share"))
    return pd.DataFrame(lines)


def shown_as_expected(
    neutral: pd.DataFrame, arms: Sequence[str], expected: Mapping[str, Mapping[str, str]], attributes: Groups
) -> list[dict[str, Any]]:
    """Per attribute and arm, images of the neutral prompts whose judged group is the one known for the keyword."""
    lines = []
    for attribute, known in expected.items():
        for arm in arms:
            part = neutral[(neutral["arm"] == arm) & neutral["keyword"].isin(known) & neutral[attribute].notna()]
            if len(part):
                hits = int((part[attribute] == part["keyword"].map(known)).sum())
                lines.append(_kept(arm, attribute, "as expected", share_of(hits, len(part)), attributes))
    return lines


def same_as_before(neutral: pd.DataFrame, asked: Groups, attributes: Groups) -> list[dict[str, Any]]:
    """Per attribute not `asked` about, image pairs on the same seed that the judge reads alike in both arms."""
    lines = []
    for attribute in attributes:
        pairs = paired(neutral, attribute)
        if attribute not in asked and len(pairs):
            alike = int((pairs["raw"] == pairs["mapped"]).sum())
            lines.append(_kept("mapped", attribute, "same as raw", share_of(alike, len(pairs)), attributes))
    return lines


def without_faces(rows: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Per arm: images, no_face, several, and the share without a face with its Wilson interval (share, low, high)."""
    lines = []
    for arm in arms:
        found = rows.loc[rows["arm"] == arm, "faces"]
        none = int((found == 0).sum())
        line = {"arm": arm, "images": len(found), "no_face": none, "several": int((found > 1).sum())}
        lines.append(line | named(share_of(none, len(found)), "share"))
    return pd.DataFrame(lines)


def _kept(arm: str, attribute: str, measure: str, share: Interval, attributes: Groups) -> dict[str, Any]:
    line = {"arm": arm, "attribute": attribute, "measure": measure, "n": share.n, **named(share, "share")}
    return line | {"chance": 1 / len(attributes[attribute])}
