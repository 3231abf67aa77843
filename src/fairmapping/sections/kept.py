"""What a map should leave alone: explicit prompts, what a keyword shows, what the same seed shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from .. import metrics
from ..metrics import Interval
from ..results import ARMS, Audit
from ..words import percent, percent_cell
from .parts import WHEN

__all__ = ["kept", "moved", "obeyed_overall"]


def kept(audits: Sequence[Audit]) -> list[dict[str, Any]]:
    """Explicit prompts, what keywords should show, and what the same seeds went on showing: blocks of a title, a text
    and a table."""
    blocks = []
    tables = [table for table in (audit.obeyed() for audit in audits) if len(table)]
    if tables:
        rows = _by_arm(
            pd.concat(tables),
            ["attribute", "group"],
            lambda row: f"{row['attribute']}, {'every group' if row['group'] == 'all' else row['group']}",
        )
        blocks.append(
            {
                "title": "Prompts that name a group",
                "text": "Where the prompt itself says who is to be drawn, the picture should show it.",
                "table": {"caption": "Share judged as asked, with 95 % Wilson intervals", **rows},
            }
        )
    found = [table for table in (audit.kept() for audit in audits) if len(table)]
    if not found:
        return blocks
    table = pd.concat(found)
    expected = table[table["measure"] == "as expected"]
    if len(expected):
        names = {
            "cue": "cue of the occupation's sector (dress, headwear, backdrop)",
            "expression": "expression of the emotion",
        }
        rows = _by_arm(
            expected,
            ["attribute"],
            lambda row: f"{names.get(row['attribute'], row['attribute'])}; chance gives {percent(row['chance'])}",
        )
        blocks.append(
            {
                "title": "What the keyword means",
                "text": "A firefighter should still look like a firefighter, and a happy person happy.",
                "table": {"caption": "Share of judged faces that show what the keyword asks for", **rows},
            }
        )
    same = table[table["measure"] == "same as raw"]
    if len(same):
        pooled = same.assign(k=same["share"] * same["n"]).groupby("attribute", sort=False)[["k", "n"]].sum()
        lines = []
        for attribute, line in pooled.iterrows():
            low, high = metrics.wilson(round(line["k"]), int(line["n"]))
            lines.append(
                [attribute, percent_cell(line["k"] / line["n"], float(low), float(high)), f"{int(line['n']):,}"]
            )
        blocks.append(
            {
                "title": "What the same seed went on showing",
                "text": "Pictures from the same prompt and seed, before and after, read alike by the judge.",
                "table": {"caption": "Share of pairs read alike", "head": ["", "alike", "pairs"], "rows": lines},
            }
        )
    return blocks


def _by_arm(table: pd.DataFrame, by: list[str], name: Any) -> dict[str, Any]:
    """Head and rows of a table with one line for each of `by` and the arms side by side."""
    arms = [arm for arm in ARMS if (table["arm"] == arm).any()]
    rows = []
    for _, part in table.groupby(by, sort=False):
        lines = part.drop_duplicates("arm").set_index("arm")
        cells = [percent_cell(*lines.loc[arm, ["share", "low", "high"]]) if arm in lines.index else "" for arm in arms]
        sizes = " / ".join(str(int(lines.loc[arm, "n"])) for arm in arms if arm in lines.index)
        none = (
            [" / ".join(str(int(lines.loc[arm, "no_face"])) for arm in arms if arm in lines.index)]
            if "no_face" in lines
            else []
        )
        rows.append([name(part.iloc[0]), *cells, sizes, *none])
    head = [
        "",
        *(WHEN[arm] if len(arms) > 1 else "share" for arm in arms),
        "faces judged",
        *(["no face"] if "no_face" in table else []),
    ]
    return {"head": head, "rows": rows}


def obeyed_overall(audits: Iterable[Audit]) -> dict[str, Interval]:
    """Share of the judged attributes of explicit prompts that are as asked: "before" and "after" -> Interval. Empty
    without such prompts."""
    tables = [table for table in (audit.obeyed() for audit in audits) if len(table)]
    found: dict[str, Interval] = {}
    for arm in ARMS:
        parts = [table[(table["arm"] == arm) & (table["group"] == "all")] for table in tables]
        n = int(sum(part["n"].sum() for part in parts))
        if n:
            k = round(sum((part["share"] * part["n"]).sum() for part in parts))
            low, high = metrics.wilson(k, n)
            found[WHEN[arm]] = Interval(k / n, float(low), float(high), n)
    return found


def moved(audit: Audit) -> str | None:
    """How far the map moved the embeddings, where its configuration tells."""
    config = audit.settings.get("map") or {}
    parts = [
        ("relative_change", "keywords used in fitting"),
        ("held_out_relative_change", "keywords not used in fitting"),
    ]
    told = [
        f"{100 * config[key]:.1f} % of their length on {what}" for key, what in parts if config.get(key) is not None
    ]
    return f"The map moved the prompts' embeddings by {' and by '.join(told)}." if told else None
