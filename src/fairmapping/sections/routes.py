"""Several routes to a map beside each other, on the same prompts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from .. import charts, portraits
from ..compare import comparison, figures_of
from ..results import Audit
from ..words import bracket, count, listing, number, percent_cell
from .parts import model_name

__all__ = ["routes"]

_WHAT = {  # routes by the name that a map's configuration gives them
    "text": "equal distances to every group in the text encoder, the paper's method",
    "denoiser": "the denoiser's prediction as the mixture of its predictions for the groups",
    "calibrated": "a map adjusted on judged images until their shares met the target",
    "sampled": "every image is assigned a group, and its prompt's embedding moved towards it",
}
_SHORT = {"mean_absolute_deviation": "deviation", "pairwise_bias": "pairwise bias", "as_expected": "as expected"}


def routes(audits: Mapping[str, Audit] | None) -> dict[str, Any] | None:
    """A table for each set of keywords: those that a map was fitted on, the others, and of these the ones that no
    caption of the embedded model named. None without routes.

    Raises ValueError where the audits cannot be compared (:func:`fairmapping.compare.comparison`).
    """
    if not audits:
        return None
    table = comparison(audits, _sets(audits))
    kinds = {name: (audit.settings.get("map") or {}).get("route", "") for name, audit in audits.items()}
    text = [
        "Every route is a way to get a fair map, measured on the same prompts; “raw” is the model without one. "
        "Pairwise bias and deviation (the mean distance of the shares from even, over all groups, or over all cells of "
        "several attributes together, those that nobody was perceived in included) are 0 where all are drawn alike "
        "often."
    ]
    return {
        "text": text,
        "kinds": [(name, _WHAT[kind]) for name, kind in kinds.items() if kind in _WHAT],
        "note": _note(audits),
        "tables": [_plain(name, part) for name, part in table.groupby("set", sort=False)],
    }


def _sets(audits: Mapping[str, Audit]) -> dict[str, list[str]]:
    keywords = list(dict.fromkeys(keyword for audit in audits.values() for keyword in audit.keywords))
    fitted = [keyword for keyword in keywords if any(audit.was_fitted(keyword) for audit in audits.values())]
    others = [keyword for keyword in keywords if keyword not in fitted]
    unnamed: list[str] = []
    if model_name(next(iter(audits.values()))) == "portraits":
        unnamed = [keyword for keyword in others if keyword in portraits.never_captioned()]
    sets = {"used in fitting": fitted, "not used in fitting": others}
    sets["not used in fitting, and never in the model's captions"] = unnamed if unnamed != others else []
    return {name: words for name, words in sets.items() if words}


def _note(audits: Mapping[str, Audit]) -> str | None:
    sampled = [f"“{name}”" for name, audit in audits.items() if audit.sampled]
    if not sampled:
        return None
    return (
        f"† For {listing(sampled)} the groups were assigned in exact numbers (a quota). The chance floor is what "
        "independent draws give on average: it does not bound these figures from below, and one below it is no error."
    )


def _plain(name: str, table: pd.DataFrame) -> dict[str, Any]:
    figures = [figure for figure in figures_of(table) if table[figure].notna().any()]
    head = ["route"]
    for figure in figures:
        head += [_short(figure), *(["chance floor"] if f"{figure}_floor" in table else [])]
    rows = []
    for _, line in table.iterrows():
        cells: list[Any] = [f"{line['route']}{' †' if line['sampled'] else ''}"]
        for figure in figures:
            triple = [float(line[f"{figure}{end}"]) for end in ("", "_low", "_high")]
            if figure.endswith("_as_expected"):
                cells.append(percent_cell(*triple))
                continue
            cells.append(Markup("{} {}").format(number(triple[0]), bracket(*triple[1:])))
            cells.append(number(float(line[f"{figure}_floor"])))
        rows.append([*cells, f"{line['images']:,}"])
    keywords = int(table["keywords"].iloc[0])
    return {
        "title": f"{count(keywords, 'keyword')} {name}",
        "chart": _chart(table, figures),
        "caption": f"Means over {count(keywords, 'keyword')} {name}, with 95 % intervals.",
        "head": [*head, "images"],
        "rows": rows,
    }


def _short(figure: str) -> str:
    for long, short in _SHORT.items():
        if figure.endswith(f"_{long}"):
            return f"{figure.removesuffix(f'_{long}')} {short}"
    return figure.replace("_", " ")


def _chart(table: pd.DataFrame, figures: Sequence[str]) -> list[dict[str, Any]]:
    """A track for each route, of the first measure of bias there is."""
    biases = [figure for figure in figures if f"{figure}_floor" in table]
    if not biases:
        return []
    first = biases[0]
    top = max(float(table[f"{first}{end}"].max()) for end in ("", "_high", "_floor")) or 1.0
    rows = []
    for _, line in table.iterrows():
        value, low, high, floor = (float(line[f"{first}{end}"]) for end in ("", "_low", "_high", "_floor"))
        spoken = f"{line['route']}: {_short(first)} {number(value)}; chance floor {number(floor)}"
        kind = "raw" if line["route"] == "raw" else "mapped"
        ends = [value if math.isnan(end) else end for end in (low, high)]  # no interval: a dot alone
        track = charts.interval_track([(kind, value / top, ends[0] / top, ends[1] / top)], floor / top, spoken)
        rows.append(
            {"name": f"{line['route']}{' †' if line['sampled'] else ''}", "track": track, "value": number(value)}
        )
    return [{"measure": _short(first), "top": number(top), "rows": rows}]
