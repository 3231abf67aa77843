"""The pictures themselves, where `fairmapping quality` measured them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ..quality import Quality
from ..results import Audit
from .parts import WHEN

__all__ = ["quality"]

_NAMES = {
    "clip_score": "CLIP-Score with the prompt",
    "human_clip": "Human-CLIP, with “person” in the keyword's place",
    "within_keyword": "distance of two images of one keyword",
    "within_group": "distance of two images of one keyword, perceived",
    "fid": "FID, distance from the reference images",
    "kid": "KID, the same without its bias",
}


def quality(audit: Audit) -> list[dict[str, Any]]:
    """A block for "What was kept"; none where nothing was measured of this audit."""
    if audit.path is None:
        return []
    try:
        found = Quality.load(audit.path)
    except FileNotFoundError:
        return []
    if found.settings["audit"] != audit.settings["created"]:  # of a run that was drawn or judged anew since
        return []
    arms = [arm for arm in (*WHEN, "difference") if (found.table["arm"] == arm).any()]
    rows = []
    for (measure, of), part in found.table.groupby(["measure", "of"], sort=False):
        lines = part.set_index("arm")
        name = f"{_NAMES[measure]} {of.partition(': ')[2]}".strip()
        rows.append([name, *(_cell(lines.loc[arm]) if arm in lines.index else "" for arm in arms)])
    text = f"Features: {found.settings['features']}. Scores of other models or extractors are not comparable."
    caption = "Means over keywords with 95 % intervals, the difference on the same prompts and seeds"
    table = {"caption": caption, "head": ["", *(WHEN.get(arm, arm) for arm in arms)], "rows": rows}
    return [{"title": "The pictures themselves", "text": " ".join([text, *found.notes]), "table": table}]


def _cell(line: pd.Series) -> Markup:
    if np.isnan(line["low"]):
        return Markup(f"{line['value']:.3g}")
    return Markup('{} <span class="ci">[{}, {}]</span>').format(
        *(f"{line[part]:.3g}" for part in ("value", "low", "high"))
    )
