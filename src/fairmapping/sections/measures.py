"""The bias of every attribute under the names that other papers gave it, and the shares of intersectional cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from .. import metrics
from ..results import Audit
from ..words import bracket, noun, number, percent, percent_cell
from .parts import WHEN, floor_note

__all__ = ["cells", "measures"]


def measures(audit: Audit, attribute: str, keywords: Sequence[str]) -> dict[str, Any]:
    """Every measure in use, over these keywords, so that figures can be held against those of other papers."""
    summary = audit.summary(attribute, keywords=keywords)
    groups = audit.attributes[attribute]
    rows = []
    for name, known_as in metrics.SOURCES.items():
        part = summary[summary["measure"] == name].set_index("arm")
        cells = [_cell(part.loc[arm]) if arm in part.index else "n/a" for arm in audit.arms]
        floor = number(float(part["floor"].iloc[-1])) if len(part) else "n/a"
        even = number(float(metrics.MEASURES[name]([1] * len(groups))))
        rows.append([known_as, *cells, floor, even])
    return {
        "summary": f"Every measure in use, perceived {attribute}",
        "caption": f"Means over the {noun(keywords)}s of the headline, with 95 % intervals; K = {len(groups)}, the "
        f"groups asked about. {floor_note(audit)}",
        "head": ["measure", *_arms(audit), "chance gives", "even is"],
        "rows": rows,
    }


def cells(audit: Audit, keywords: Sequence[str]) -> dict[str, Any] | None:
    """The shares of the cells of all attributes together; None for a single attribute."""
    if len(audit.attributes) < 2:
        return None
    names = list(audit.attributes)
    rows = []
    table = audit.cells(keywords=keywords)
    for cell, part in table.groupby(names, sort=False):
        lines = part.set_index("arm")
        rows.append([", ".join(cell), *(_share(lines.loc[arm]) if arm in lines.index else "" for arm in audit.arms)])
    sizes = table.groupby("arm", sort=False)["n"].first()
    counted = " and ".join(f"{n:,}{f' {WHEN[str(arm)]}' if len(sizes) > 1 else ''}" for arm, n in sizes.items())
    return {
        "summary": f"Cells of {' and '.join(names)}",
        "caption": f"Mean share over the {noun(keywords)}s of the headline, with 95 % intervals over them; {counted} "
        f"images in any cell. Evenly, each would have {percent(1 / max(len(rows), 1))}; in parentheses, what shares "
        "of the attributes alone would give, had they nothing to do with each other.",
        "head": ["cell", *_arms(audit)],
        "rows": rows,
    }


def _arms(audit: Audit) -> list[str]:
    return [WHEN[arm] if len(audit.arms) > 1 else "figure" for arm in audit.arms]


def _cell(line: pd.Series) -> Markup:
    return Markup("{} {}").format(number(line["value"]), bracket(line["low"], line["high"]))


def _share(line: pd.Series) -> Markup:
    return Markup("{} ({})").format(percent_cell(line["share"], line["low"], line["high"]), percent(line["apart"]))
