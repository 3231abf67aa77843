"""Several routes to a map, or several maps, side by side on the same prompts: one table, in a frame or in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from .results import ARMS, Audit

if TYPE_CHECKING:
    from .targets import Targets

__all__ = ["ASSIGNED", "comparison", "figures_of", "markdown"]

ASSIGNED = (
    "Groups were assigned in exact numbers (a quota): the chance floor, which is of independent draws, does not bound "
    "the figure from below, and one below the floor is no error."
)
_ALIKE = ("attributes", "call")  # settings that audits must share, besides the model and the judge


def comparison(
    audits: Mapping[str, Audit], sets: Mapping[str, Sequence[str]], *, targets: Targets | None = None
) -> pd.DataFrame:
    """One row for each set of keywords and route, "raw" first, which is of the first audit that holds it.

    audits: route -> its audit, with a mapped arm. sets: name -> keywords, such as those used in fitting and the others;
    a route that drew none of a set has no row there. Columns: set, route, sampled (a quota assigned the groups in exact
    numbers), keywords, images; then figures, each with ``_low`` and ``_high``, and where it is a measure of bias with
    its ``_floor``: for two groups ``<attribute>_pairwise_bias``, for more ``<attribute>_mean_absolute_deviation``, for
    several attributes ``joint_mean_absolute_deviation`` over all cells (:meth:`fairmapping.results.Audit.joint`), and
    ``<attribute>_as_expected``, what should be kept. With targets, ``<attribute>_target_deviation`` stands in place of
    the measures of bias, for the attributes that they name (:meth:`fairmapping.results.Audit.against`).

    Raises ValueError where there is nothing to compare, a route is called "raw" or has no mapped arm, a keyword was not
    audited, or the audits differ in model, judge, attributes, call arguments or the prompts of a set: such figures say
    nothing of the routes.
    """
    _check(audits, sets)
    lines = []
    for name, keywords in sets.items():
        arms = [("raw", audit, "raw") for audit in audits.values() if "raw" in audit.arms][:1]
        arms += [(route, audit, "mapped") for route, audit in audits.items()]
        asked: dict[str, frozenset[str]] = {}
        for route, audit, arm in arms:
            part = _asked(audit, arm, keywords)
            if not len(part):
                continue
            asked[route] = frozenset(part["prompt"])
            first = next(iter(asked))
            if odd := asked[route] ^ asked[first]:
                raise ValueError(
                    f"{route!r} and {first!r} were not drawn on the same prompts of {name!r}: {min(odd)!r} is in one "
                    "only; audit both on the same ones, or leave those out"
                )
            line = {"set": name, "route": route, "sampled": arm == "mapped" and audit.sampled}
            line |= {"keywords": part["keyword"].nunique(), "images": len(part)}
            lines.append(line | _figures(audit, arm, keywords, targets))
    return pd.DataFrame(lines)


def figures_of(table: pd.DataFrame) -> list[str]:
    """Columns of a comparison that are figures with an interval."""
    return [str(name) for name in table.columns if f"{name}_low" in table.columns]


def markdown(table: pd.DataFrame) -> str:
    """A comparison as a table of Markdown, 95 % intervals in brackets; routes with a quota are marked and explained."""
    figures = figures_of(table)
    head, rows = ["set", "route", "keywords", "images"], []
    for name in figures:
        head += [name.replace("_", " "), *(["chance floor"] if f"{name}_floor" in table else [])]
    for _, line in table.iterrows():
        route = f"{line['route']}{' †' if line['sampled'] else ''}"
        row = [str(line["set"]), route, f"{line['keywords']:,}", f"{line['images']:,}"]
        for name in figures:
            row.append(_cell(*(line[f"{name}{end}"] for end in ("", "_low", "_high")), shares="_as_expected" in name))
            if f"{name}_floor" in table:
                floor = line[f"{name}_floor"]
                row.append("n/a" if math.isnan(floor) else f"{floor:.3f}")
        rows.append(row)
    rule = ["---", "---", *(["--:"] * (len(head) - 2))]
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in (head, rule, *rows)]
    text = "\n".join(f"| {line} |" for line in lines) + "\n"
    return text + (f"\n† {ASSIGNED}\n" if len(table) and table["sampled"].any() else "")


def _figures(audit: Audit, arm: str, keywords: Sequence[str], targets: Targets | None) -> dict[str, float]:
    found: dict[str, float] = {}

    def add(name: str, table: pd.DataFrame, value: str = "value") -> None:
        part = table[table["arm"] == arm] if len(table) else table
        line: Mapping[str, Any] = part.iloc[0] if len(part) else {}
        ends = {"": value, "_low": "low", "_high": "high"} | ({"_floor": "floor"} if value == "value" else {})
        found.update({f"{name}{end}": float(line.get(column, math.nan)) for end, column in ends.items()})

    for attribute, groups in audit.attributes.items():
        if targets is not None:
            if any(attribute not in targets.of(keyword) for keyword in keywords):
                continue  # left as the model draws it
            add(f"{attribute}_target_deviation", audit.against(targets, attribute, keywords=keywords))
            continue
        measure = "pairwise_bias" if len(groups) == 2 else "mean_absolute_deviation"
        summary = audit.summary(attribute, keywords=keywords)
        add(f"{attribute}_{measure}", summary[summary["measure"] == measure])
    if targets is None and len(audit.attributes) > 1:
        add("joint_mean_absolute_deviation", audit.joint(keywords=keywords))
    kept = audit.kept(keywords=keywords)
    if len(kept):
        kept = kept[kept["measure"] == "as expected"]
        for attribute in dict.fromkeys(kept["attribute"]):
            add(f"{attribute}_as_expected", kept[kept["attribute"] == attribute], "share")
    return found


def _asked(audit: Audit, arm: str, keywords: Sequence[str]) -> pd.DataFrame:
    rows = audit.neutral(keywords)
    return rows[rows["arm"] == arm]


def _check(audits: Mapping[str, Audit], sets: Mapping[str, Sequence[str]]) -> None:
    if not audits or not sets:
        raise ValueError("nothing to compare: give one audit a route, and one set of keywords at the least")
    if "raw" in audits:
        raise ValueError(
            '"raw" is the model without a map, and comes from the raw arm of an audit: name routes otherwise'
        )
    first, one = next(iter(audits.items()))
    for route, audit in audits.items():
        if ARMS[1] not in audit.arms:
            raise ValueError(f"{route!r} has no mapped arm to compare: run audit(..., fair_map=...)")
        differs = [name for name in _ALIKE if audit.settings[name] != one.settings[name]]
        differs += [name for name in ("model", "judge") if audit.settings[name]["name"] != one.settings[name]["name"]]
        if differs:
            raise ValueError(f"{route!r} and {first!r} differ in {', '.join(differs)}: compare them apart")
    known = {keyword for audit in audits.values() for keyword in audit.keywords}
    for name, keywords in sets.items():
        if isinstance(keywords, str) or not len(keywords):
            raise ValueError(f"the set {name!r} needs a list of keywords, got {keywords!r}")
        if unknown := [keyword for keyword in keywords if keyword not in known]:
            raise ValueError(f"{unknown[0]!r} of {name!r} was not audited")


def _cell(value: float, low: float, high: float, *, shares: bool) -> str:
    if math.isnan(value):
        return "n/a"
    if shares:
        return f"{100 * value:.1f} %" + ("" if math.isnan(low) else f" [{100 * low:.1f}, {100 * high:.1f}]")
    return f"{value:.3f}" + ("" if math.isnan(low) else f" [{low:.3f}, {high:.3f}]")
