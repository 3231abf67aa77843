"""The shares of every keyword: as a chart that is a table, and as a table of all figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from .. import charts, metrics
from ..pairs import SIGNIFICANT
from ..results import ARMS, Audit
from ..words import bracket, count, noun, number, percent, percent_cell
from .parts import WHEN, floor_note, intervals_of_shares, of_whom

__all__ = ["chart", "figures"]


def chart(audit: Audit, attribute: str) -> dict[str, Any]:
    """The shares of every keyword, one row each with its track: a dumbbell for two groups, stacked bars for more."""
    groups = audit.attributes[attribute]
    table = audit.table(attribute)
    arms = {arm: table[table["arm"] == arm].set_index("keyword") for arm in audit.arms}
    first = arms[audit.arms[0]]
    stacked = len(groups) > 2
    key = "pairwise_bias" if stacked else groups[0]
    order = first.sort_values(key, ascending=False, kind="stable", na_position="last").index
    order = [*order, *(keyword for keyword in audit.keywords if keyword not in order)]  # asked in one arm only
    what = noun(audit.keywords)
    rows = []
    for keyword in order:
        lines = {arm: part.loc[keyword] for arm, part in arms.items() if keyword in part.index}
        track = _stacks(lines, groups) if stacked else _dumbbell(lines, groups)
        cells = {a: number(x["pairwise_bias"]) if stacked else _share_cell(x, groups[0]) for a, x in lines.items()}
        values = [cells.get(arm, "") for arm in arms]
        faces = " / ".join(str(int(lines[arm]["n"])) if arm in lines else "none asked" for arm in arms)
        rows.append(
            {
                "keyword": keyword,
                "track": track,
                "figures": values,
                "faces": faces,
                "fitted": audit.was_fitted(keyword),
                "total": False,
            }
        )
    rows.append(
        _together(audit, attribute, groups, stacked)
        | {"faces": " / ".join(f"{int(p['n'].sum()):,}" for p in arms.values())}
    )
    if stacked:
        axis = charts.axis({0: "0", 50: "share of faces", 100: "100 %"})
        text = "Upper bar before, lower bar after. " if len(arms) == 2 else ""
        text += f"The figures are the pairwise bias: 0 where all {len(groups)} groups are drawn alike often, "
        text += f"{2 / len(groups):g} where only one is{of_whom(audit, attribute)}."
        caption = f"Shares of the perceived groups by {what}, most uneven first. Intervals are in the last section."
    else:
        axis = charts.axis({0: f"all {groups[1]}", 50: "even", 100: f"all {groups[0]}"})
        left_out = of_whom(audit, attribute)
        text = f"Share of faces perceived as {groups[0]}{left_out or f', the rest as {groups[1]}'}."
        by = "the share before" if audit.arms == ARMS else "that share"
        caption = f"Share perceived {groups[0]} by {what}, sorted by {by}, with {intervals_of_shares(audit)}."
    if (tests := _tests(audit, attribute)) is not None:
        changed = int((tests["p_holm"] < SIGNIFICANT).sum())
        text += (
            f" {changed} of {count(len(tests), what)} changed measurably: each was tested on its image pairs of the "
        )
        text += "same prompt and seed, with Holm's correction for so many tests."
    value = "pairwise bias" if stacked else groups[0]
    return {
        "attribute": attribute,
        "groups": groups,
        "stacked": stacked,
        "axis": axis,
        "text": text,
        "caption": caption,
        "value": value,
        "rows": rows,
    }


def _tests(audit: Audit, attribute: str) -> pd.DataFrame | None:
    """The test of every keyword; None for one arm, or arms without an image pair."""
    try:
        return audit.tests(attribute)
    except ValueError:
        return None


def _together(audit: Audit, attribute: str, groups: Sequence[str], stacked: bool) -> dict[str, Any]:
    """The last row of a chart: the mean share over all keywords, its interval by bootstrap over keywords."""
    overall = audit.overall(attribute)
    lines, biases = {}, {}
    for arm, part in overall.groupby("arm", sort=False):
        by = part.set_index("group")
        line = {"n": int(part["n"].iloc[0])}
        for group in groups:
            line |= {
                group: by.loc[group, "share"],
                f"{group}_low": by.loc[group, "low"],
                f"{group}_high": by.loc[group, "high"],
            }
        lines[str(arm)] = pd.Series(line)
        biases[str(arm)] = number(float(metrics.pairwise_bias(part["share"].to_numpy())))
    track = _stacks(lines, groups) if stacked else _dumbbell(lines, groups)
    cells = biases if stacked else {arm: _share_cell(line, groups[0]) for arm, line in lines.items()}
    values = [cells.get(arm, "n/a") for arm in audit.arms]
    return {
        "keyword": f"all {len(audit.keywords)} together" if len(audit.keywords) > 1 else "together",
        "track": track,
        "figures": values,
        "fitted": False,
        "total": True,
    }


def _dumbbell(lines: Mapping[str, pd.Series], groups: Sequence[str]) -> Markup:
    shares = {arm: _triple(line, groups[0]) for arm, line in lines.items() if line["n"]}
    n = min((int(line["n"]) for line in lines.values() if line["n"]), default=0)
    half = min(0.5, 1.96 * np.sqrt(0.25 / n)) if n else 0.5
    when = {arm: f"{WHEN[arm]} " if "mapped" in lines else "" for arm in lines}
    label = ", ".join(f"{when[arm]}{percent(share[0])} {groups[0]}" for arm, share in shares.items())
    label = label or "no face judged"
    return charts.dumbbell(shares.get("raw"), shares.get("mapped"), (0.5 - half, 0.5 + half), label)


def _stacks(lines: Mapping[str, pd.Series], groups: Sequence[str]) -> Markup:
    bars = []
    for arm, line in lines.items():
        if line["n"]:
            shares = [float(line[group]) for group in groups]
            label = (f"{WHEN[arm]}: " if "mapped" in lines else "") + ", ".join(
                f"{group} {percent(share)}" for group, share in zip(groups, shares, strict=True)
            )
            bars.append(charts.stack(shares, groups, label))
    return Markup("").join(bars)


def figures(audit: Audit, attribute: str) -> dict[str, Any]:
    """Every figure of an attribute, one line per keyword and arm."""
    groups = audit.attributes[attribute]
    table = audit.table(attribute)
    corrected = f"{groups[0]}_corrected" in table
    left_out = bool(of_whom(audit, attribute))
    position = {keyword: index for index, keyword in enumerate(audit.keywords)}
    tests = _tests(audit, attribute)
    p_holm = {} if tests is None else dict(zip(tests["keyword"], tests["p_holm"], strict=True))
    rows = []
    for _, line in table.sort_values("keyword", key=lambda names: names.map(position), kind="stable").iterrows():
        told = [name for group in groups for name in (group, *([f"{group}_corrected"] if corrected else []))]
        shares = [percent_cell(*_triple(line, name)) for name in told]
        counted = [line["images"], line["no_face"], line["several"], line["n"], *([line["other"]] if left_out else [])]
        when = [WHEN[line["arm"]]] if len(audit.arms) == 2 else []
        tested = [_p(p_holm.get(line["keyword"])) if line["arm"] == ARMS[1] else ""] if p_holm else []
        bias = [number(line["pairwise_bias"]), number(line["floor"])]
        rows.append([line["keyword"], *when, *counted, *shares, *bias, *tested])
    head = [
        noun(audit.keywords),
        *(["arm"] if len(audit.arms) == 2 else []),
        "images",
        "no face",
        "several",
        "judged",
        *(["others"] if left_out else []),
        *(name for group in groups for name in (group, *([f"{group}, corrected"] if corrected else []))),
    ]
    fixed = " Corrected: for the judge's errors, the interval holding what its card leaves open." if corrected else ""
    return {
        "summary": f"All figures, perceived {attribute}",
        "caption": f"Shares are among judged faces, in percent, with {intervals_of_shares(audit)}.{fixed} "
        f"{floor_note(audit)}",
        "head": [*head, "pairwise bias", "chance floor", *(["p of change (Holm)"] if p_holm else [])],
        "rows": rows,
    }


def _p(value: float | None) -> str:
    return "n/a" if value is None else "< .001" if value < 0.001 else f"{value:.3f}"


def _triple(line: pd.Series, group: str) -> tuple[float, float, float]:
    return float(line[group]), float(line[f"{group}_low"]), float(line[f"{group}_high"])


def _share_cell(line: pd.Series, group: str) -> Markup:
    share, low, high = _triple(line, group)
    return Markup('{} <span class="less">{}</span>').format(percent(share), bracket(low, high, shares=True))
