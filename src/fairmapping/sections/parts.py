"""What several sections share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from .. import lists
from ..results import Audit

__all__ = ["WHEN", "card", "floor_note", "intervals_of_shares", "model_name", "of_whom", "others", "sd15_women"]

WHEN = {"raw": "before", "mapped": "after"}  # the arms, as a reader knows them


def card(name: str, values: Sequence[str], text: str, track: str = "", worst: str = "") -> dict[str, Any]:
    """One of the figures at the head of the page: values before and after, a sentence, and a track that ends at
    `worst`."""
    arrow = Markup('<span class="arrow" role="img" aria-label="then">→</span>')
    return {
        "name": name,
        "big": Markup(" {} ").format(arrow).join(values),
        "text": text,
        "chart": track,
        "worst": worst,
    }


def floor_note(audit: Audit) -> str:
    """What the chance floor does not say of an audit under a quota; nothing of one without."""
    if not audit.sampled:
        return ""
    return (
        "With the map, groups were assigned in exact numbers (a quota), so the chance floor, which is of independent "
        "draws, does not bound the bias from below, and one below the floor is no error."
    )


def intervals_of_shares(audit: Audit) -> str:
    """What the intervals of shares are."""
    sequences = "95 % confidence sequences, which hold whenever drawing stops"
    return sequences if audit.stopped_early else "95 % Wilson intervals"


def model_name(audit: Audit) -> str:
    """The model as a reader knows it: "portraits", a hub id, or the last folder of a path."""
    name = audit.settings["model"]["name"]
    return Path(name).name if os.path.isabs(name) else name


def of_whom(audit: Audit, attribute: str) -> str:
    """ ", of those perceived as white or black; 3 others are left out" where the judge has groups not asked about."""
    groups = audit.attributes[attribute]
    if set(groups) >= set(audit.settings["judge"]["attributes"][attribute]):
        return ""
    left = int(audit.table(attribute)["other"].sum())
    return f", of those perceived as {' or '.join(groups)}; {others(left)} {'is' if left == 1 else 'are'} left out"


def others(n: int) -> str:
    return f"{n:,} other{'' if n == 1 else 's'}"


def sd15_women() -> dict[str, float]:
    """Share of women among the images of each packaged occupation that Stable Diffusion v1.5 draws."""
    known = {}
    for row in lists.occupation_table():
        women, men = float(row["sd15_woman"]), float(row["sd15_man"])
        known[str(row["occupation"])] = women / (women + men)
    return known
