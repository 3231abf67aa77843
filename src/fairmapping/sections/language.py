"""The bias in the text encoder, before any picture is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from .. import charts
from ..metrics import Interval
from ..results import Audit
from ..words import count, listing, noun, number, percent
from .parts import WHEN, card, sd15_women

if TYPE_CHECKING:
    from ..bias import LanguageBias


__all__ = ["language"]

_MINUS = "\N{MINUS SIGN}"


def language(audit: Audit, before: LanguageBias | None, after: LanguageBias | None) -> dict[str, Any] | None:
    """The bias in the text encoder: figures before and after, and where shares are known a scatter against them.

    Without measured biases, the figures that the map's configuration holds; None where there are none either.
    """
    rows = _measured(audit, before, after) if before else _configured(audit)
    if not rows:
        return None
    both = all(row["after"] is not None for row in rows)
    # Keywords that were not fitted say what the map does; where there are none, those that were have to do.
    told = [row for row in rows if row["on"] == rows[-1]["on"]]
    first, values = told[0], [_three(told[0]["before"].value), *([_three(told[0]["after"].value)] if both else [])]
    where = (
        f"over {count(first['before'].n, 'keyword')} {first['on']}"
        if first["before"].n
        else f"over the keywords {first['on']}"
    )
    headline = None
    if both:
        fell = all(row["after"].value < row["before"].value for row in told)
        changes = [f"{_change(row).lstrip(_MINUS if fell else '')} for {row['attribute']}" for row in told]
        verb = "fell" if fell else "changed"
        headline = f"In the language model itself, the bias {verb} by {listing(changes)}, {where}."
    text = [
        "Before a picture is drawn, a text encoder reads the prompt. There, “a portrait of a nurse” may already lie "
        "nearer to “a portrait of a female nurse” than to “a portrait of a male nurse”. Language bias is the spread of "
        "these distances, their standard deviation over their mean: 0 where the prompt is as far from every group."
    ]
    return {
        "text": text,
        "headline": headline,
        "card": card(f"Language bias, {first['attribute']}", values, f"Spread of distances over their mean, {where}."),
        "scatters": _scatters(before, after) if before else [],
        "table": {
            "caption": "Mean language bias, with 95 % intervals over keywords where it was measured anew",
            "head": ["", *(["before", "after", "change"] if both else ["bias"])],
            "rows": [
                [f"{row['attribute']}, keywords {row['on']}", _three_cell(row["before"])]
                + ([_three_cell(row["after"]), _change(row)] if both else [])
                for row in rows
            ],
        },
        "association": _association(before, after) if before and before.cosines else None,
        "ranked": _ranked(audit, before, after) if before else None,
    }


def _measured(audit: Audit, before: LanguageBias, after: LanguageBias | None) -> list[dict[str, Any]]:
    fitted = [keyword for keyword in before.keywords if audit.was_fitted(keyword)]
    unseen = [keyword for keyword in before.keywords if not audit.was_fitted(keyword)]
    parts = [("used in fitting", fitted), ("not used in fitting" if audit.fitted else "measured", unseen)]
    rows = []
    for on, keywords in parts:
        if keywords:
            first, second = before.select(keywords).summary(), after.select(keywords).summary() if after else {}
            rows += [{"attribute": name, "on": on, "before": v, "after": second.get(name)} for name, v in first.items()]
    return rows


def _configured(audit: Audit) -> list[dict[str, Any]]:
    config = audit.settings.get("map") or {}
    rows = []
    for on, prefix, keywords in (("used in fitting", "", "keywords"), ("not used in fitting", "held_out_", "held_out")):
        first, second = config.get(f"{prefix}bias_before") or {}, config.get(f"{prefix}bias_after") or {}
        n = len(config.get(keywords) or ())
        plain = {name: [Interval(float(v[name]), np.nan, np.nan, n) for v in (first, second)] for name in first}
        rows += [{"attribute": name, "on": on, "before": b, "after": a} for name, (b, a) in plain.items()]
    return rows


def _scatters(before: LanguageBias, after: LanguageBias | None) -> list[dict[str, Any]]:
    known = sd15_women()
    gendered = [item for item in before.attributes if {"female", "male"} == set(item.group_names)]
    keywords = [keyword for keyword in before.keywords if keyword in known]
    if not gendered or len(keywords) < 3:
        return []
    name = gendered[0].name
    at = [before.keywords.index(keyword) for keyword in keywords]
    reach = 1.05 * float(np.abs(before.direction("female", name)[at]).max())
    found = []
    for measured, arm in ((before, "raw"), (after, "mapped")):
        if measured is None:
            continue
        x = measured.direction("female", name)[at]
        names = _to_name(x, [known[keyword] for keyword in keywords])
        points = [
            charts.Point(
                value, known[keyword], f"{keyword}: {percent(known[keyword])} women", arm, keyword if named else ""
            )
            for keyword, value, named in zip(keywords, x.tolist(), names, strict=True)
        ]
        correlation = measured.correlation(known, "female", name)
        when = WHEN[arm].capitalize()
        spearman = number(correlation.spearman)
        chart = charts.scatter(
            points,
            x_ticks={-reach: "nearer male", 0: "even", reach: "nearer female"},
            y_ticks={0: "0 %", 0.5: "50 %", 1: "100 %"},
            label=f"{when}: language bias against the share of women in images, Spearman {spearman}",
        )
        caption = Markup(
            "<strong>{}.</strong> Each dot is an occupation. Across: how much nearer the prompt lies to its female "
            "than to its male version. Up: share of women among 250 images of Stable Diffusion v1.5. "
            "Spearman correlation {} (p = {}, n = {})."
        ).format(when, spearman, f"{correlation.spearman_p:.1g}", correlation.n)
        found.append({"chart": chart, "caption": caption})
    return found


def _association(before: LanguageBias, after: LanguageBias | None) -> dict[str, Any]:
    """Are prompts nearer to the words of one group? Keyword by keyword, and the occupations that are drawn mostly as
    women against the others."""
    measured = [before, *([after] if after is not None and after.cosines else [])]
    rows: list[list[Any]] = []
    for item in before.attributes:
        for group in item.group_names if len(item.groups) > 2 else item.group_names[:1]:
            found = [bias.associations(group, item.name) for bias in measured]
            cells = [f"{int((table['p'] < 0.05).sum())} of {len(table)}" for table in found]
            rows.append([f"{item.name}: keywords nearer to or farther from the words of {group}, p < .05", *cells])
        known = sd15_women() if {"female", "male"} == set(item.group_names) else {}
        women = [keyword for keyword in before.keywords if known.get(keyword, 0) > 0.5]
        others = [keyword for keyword in before.keywords if keyword in known and keyword not in women]
        if min(len(women), len(others)) >= 2:
            tests = [bias.weat(women, others, "female", item.name) for bias in measured]
            what = f"{count(len(women), 'occupation')} drawn mostly as women against {len(others)} others"
            rows.append([f"{what}: difference of cosines", *(_three_cell(test.difference) for test in tests)])
            rows.append(["the same as d, with p", *(f"{number(test.effect)} (p = {test.p:.1g})" for test in tests)])
    return {
        "caption": "Association tests (WEAT, Caliskan et al. 2017): nearness to the words of a group against those of "
        "the others. Chance alone gives p < .05 for 5 % of keywords; d does not shrink where all associations do",
        "head": ["", *(WHEN[arm] if len(measured) > 1 else "figure" for arm in list(WHEN)[: len(measured)])],
        "rows": rows,
    }


def _to_name(x: np.ndarray, y: Sequence[float], each: int = 3) -> list[bool]:
    """The outermost dots towards either side, leaving out those whose names would lie on one another."""
    chosen: list[int] = []
    order = list(np.argsort(x))
    for side in (order, order[::-1]):
        taken: list[int] = []
        for index in side:
            if len(taken) < each and all(abs(y[index] - y[other]) > 0.06 for other in taken):
                taken.append(int(index))
        chosen += taken
    return [index in chosen for index in range(len(x))]


def _ranked(audit: Audit, before: LanguageBias, after: LanguageBias | None) -> dict[str, Any]:
    names = [item.name for item in before.attributes]
    first = {name: before.bias(name) for name in names}
    second = {name: after.select(before.keywords).bias(name) for name in names} if after else {}
    nearest = {name: before.table(name).set_index("keyword")["nearest"] for name in names}
    rows = []
    for index in np.argsort(-first[names[0]], kind="stable"):
        keyword = before.keywords[index]
        cells = []
        for name in names:
            cells += [
                nearest[name][keyword],
                _three(first[name][index]),
                *([_three(second[name][index])] if after else []),
            ]
        rows.append([keyword, "fitted" if audit.was_fitted(keyword) else "", *cells])
    head = [part for name in names for part in (f"{name}: nearest", *(("before", "after") if after else ("bias",)))]
    return {
        "summary": f"Language bias of {count(len(before.keywords), 'keyword')}, ranked",
        "caption": f"Most uneven first by {names[0]}. Nearest: the group that the prompt lies nearest to, before.",
        "head": [noun(before.keywords), "", *head],
        "rows": rows,
    }


def _change(row: Mapping[str, Any]) -> str:
    """−82 %, or +3 %."""
    if not row["before"].value:
        return "n/a"
    change = row["after"].value / row["before"].value - 1
    return (_MINUS if change < 0 else "+") + percent(abs(change))


def _three(value: float) -> str:
    return f"{value:.3f}"


def _three_cell(interval: Interval) -> Markup:
    if np.isnan(interval.low):
        return Markup(_three(interval.value))
    return Markup('{} <span class="ci">[{}, {}]</span>').format(
        *(_three(v) for v in (interval.value, interval.low, interval.high))
    )
