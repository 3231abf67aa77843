"""A card as Markdown: what people answered, what was measured, and where both end."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..sections.keywords import SIGNIFICANT
from ..words import count, listing
from .questions import QUESTIONS, RISK_TIERS

__all__ = ["markdown"]

_WHEN = {"raw": "before", "mapped": "after"}


def markdown(card: Mapping[str, Any]) -> str:
    """The whole card."""
    audits = card["audits"]
    names = listing(list(dict.fromkeys(_plain(audit["strategy"]["model"]["name"]) for audit in audits)))
    parts = [f"# Audit card: {names}", f"{card['made_with']}, {card['created'][:10]}."]
    parts.append(
        "In the manner of the THUMB cards (Luna et al., FAccT 2026, arXiv 2605.13113). Sections 1 and 4 are for people "
        "to answer; 2, 3 and 5 are measured or follow from how it was measured. Bias is assessed here; no figure makes "
        "a model free of it."
    )
    last = ("conclusion", "owner")
    parts += ["## 1. Context and hypotheses", *_answers(card, [name for name in QUESTIONS if name not in last])]
    parts.append("## 2. Audit strategy")
    parts += [part for i, audit in enumerate(audits, 1) for part in _strategy(audit, _number(i, audits))]
    parts.append("## 3. Results")
    parts += [part for i, audit in enumerate(audits, 1) for part in _results(audit, _number(i, audits))]
    parts += ["## 4. Conclusion", *_answers(card, last)]
    parts += ["## 5. Limits", "\n".join(f"- {_plain(text)}" for text in card["limits"])]
    return "\n\n".join(parts) + "\n"


def _number(i: int, audits: Sequence[Any]) -> str:
    return f" of audit {i}" if len(audits) > 1 else ""


def _heading(what: str, of: str) -> list[str]:
    return [f"### {what}{of}"] if of else []


def _answers(card: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    parts = []
    for name in names:
        question, answer = QUESTIONS[name], card["answers"][name]
        if answer is None:
            text = f"*To be answered by {question.who}: {question.asks}*"
        elif name == "risk_tier":
            text = f"{answer}: {RISK_TIERS[answer]}"
        else:
            text = "\n> ".join(_plain(line) for line in answer.splitlines())
        parts.append(f"**{question.title}.** {text}" if answer is None else f"**{question.title}**\n\n> {text}")
    return parts


def _strategy(audit: Mapping[str, Any], of: str) -> list[str]:
    used = audit["strategy"]
    judge, source = used["judge"], used["source"]
    most = "at most " if used["stopped_early"] else ""
    per = f", {most}{used['images_per_prompt']} of each prompt" if used["images_per_prompt"] else ""
    arms = " in two arms, before and after" if len(used["arms"]) > 1 else ""
    rows = [
        ("Model", f"{used['model']['name']} ({used['model']['pipeline']})"),
        ("Images", f"{used['images']:,}{per}{arms}"),
        ("Prompts", f"{used['prompts']:,}, of which {used['neutral_prompts']:,} name no group"),
        ("Stopping", "drawing could stop early; shares have confidence sequences" if used["stopped_early"] else ""),
        ("Templates", "; ".join(used["templates"])),
        (
            "Groups asked about",
            "; ".join(f"{name}: {', '.join(groups)}" for name, groups in used["attributes"].items()),
        ),
        (
            "How it is measured",
            "prediction of perceived attributes by a judge, or by annotators where labels were given",
        ),
        ("Judge", judge["name"]),
        *((f"Judge, {key}", str(judge["card"][key])) for key in ("domain", "caution") if key in judge["card"]),
        *((f"Judge, recall of {name}", _recall(groups)) for name, groups in judge["recall"].items()),
        ("Map", _map(used["map"])),
        ("Seed", "" if used["seed"] is None else str(used["seed"])),
        ("Call", ", ".join(f"{name} {value}" for name, value in used["call"].items())),
        ("Versions", ", ".join(f"{name} {version}" for name, version in used["versions"].items())),
        ("Made", audit["created"]),
        *((("Source", f"{source['kind']} of {_of(source['of'])}"),) if source else ()),
        *((("Source, notes", " ".join(source["notes"])),) if source and source["notes"] else ()),
    ]
    parts = [
        *_heading("Strategy", of),
        _table(["what", "in this audit"], [[name, text] for name, text in rows if text]),
    ]
    parts.append(_keywords("Keywords that the figures are of", used["keywords_reported"]))
    if used["map"]:
        parts.append(_keywords("Keywords that the map was fitted on, among those asked", used["keywords_fitted"]))
    if used["keywords_in_captions"] is not None:
        parts.append(_keywords("Reported keywords that the model's captions named", used["keywords_in_captions"]))
    return parts


def _results(audit: Mapping[str, Any], of: str) -> list[str]:
    found = audit["results"]
    two = len(audit["strategy"]["arms"]) > 1
    parts = _heading("Results", of)
    fitted = audit["strategy"]["keywords_fitted"]
    if not found["attributes"]:
        parts.append("No prompt leaves a group open, so there is no bias to report.")
    elif fitted and set(fitted) >= set(audit["strategy"]["keywords_reported"]):
        parts.append("**Every keyword here was used in fitting the map: expect less on others.**")
    for one in found["attributes"]:
        parts += _attribute(one, two)
    if found["cells"]:
        rows = [
            [_WHEN[line["arm"]] if two else "", _figure(line), line["images"], _float(line["floor"])]
            for line in found["cells"]
        ]
        cells = found["cells"][0]["cells"]
        parts.append(f"Mean absolute deviation from even over all {cells} cells of the attributes together:")
        parts.append(_table(["arm", "value [95 %]", "images", "chance floor"], rows))
    shares = [
        *((line, "no face found", line["images"]) for line in found["faces"]),
        *(
            (line, f"explicit prompts obeyed, {line['attribute']}, {line['group']}", line["n"])
            for line in found["explicit"]
        ),
        *(
            (line, f"assigned group shown, {line['attribute']}, {line['group']}", line["n"])
            for line in found["assigned"]
        ),
        *((line, f"{line['attribute']} {line['measure']}", line["n"]) for line in found["kept"]),
    ]
    rows = [[what, _WHEN[line["arm"]] if two else "", _share(line), n] for line, what, n in shares]
    parts += ["Shares of images, with Wilson's intervals:", _table(["", "arm", "share [95 %]", "n"], rows)]
    return parts


def _attribute(one: Mapping[str, Any], two: bool) -> list[str]:
    name, groups = one["attribute"], one["groups"]
    parts = [f"#### Perceived {name} (K = {len(groups)})"]
    if not one["summary"]:
        return [*parts, "No face was judged as one of the groups, so nothing can be told."]
    if compared := one["comparison"]:
        changed = compared["changed"]
        pairs = f"; {_share(changed, 'value')} of {changed['n']:,} image pairs changed group" if changed["n"] else ""
        parts.append(
            f"The mean pairwise bias {compared['verdict']}: {_figure(compared['raw'])} before, "
            f"{_figure(compared['mapped'])} after, difference {_figure(compared['difference'])}{pairs}."
        )
        tested = [line for line in one["tests"] if line["p_holm"] is not None]
        significant = sum(line["p_holm"] < SIGNIFICANT for line in tested)
        if tested:
            parts.append(
                f"Keyword by keyword, each tested on its image pairs with Holm's correction: {significant} of "
                f"{len(tested)} changed measurably."
            )
    measures = [line["measure"] for line in one["summary"]]
    rows = [
        [
            line["measure"].replace("_", " "),
            _WHEN[line["arm"]] if two else "",
            _figure(line),
            line["keywords"],
            line["images"],
            _float(line["floor"]),
        ]
        for line in sorted(one["summary"], key=lambda line: measures.index(line["measure"]))
    ]
    parts.append(_table(["measure", "arm", "mean [95 %]", "keywords", "images", "chance floor"], rows))
    rows = [
        [line["group"], _WHEN[line["arm"]] if two else "", _share(line), f"{line['count']:,} of {line['n']:,}"]
        for line in one["overall"]
    ]
    parts += ["Shares over all neutral images:", _table(["group", "arm", "share [95 %]", "images"], rows)]
    rows = [
        [
            line["keyword"],
            _WHEN[line["arm"]] if two else "",
            *(_share({"share": line[g], "low": line[f"{g}_low"], "high": line[f"{g}_high"]}) for g in groups),
            line["n"],
            _float(line["pairwise_bias"]),
            _float(line["floor"]),
        ]
        for line in one["most_uneven"]
    ]
    parts.append("The keywords drawn most unevenly:")
    parts.append(_table(["keyword", "arm", *groups, "n", "pairwise bias", "chance floor"], rows))
    if one["other"]:
        parts.append(f"Counted as none of the groups, and in no share: {count(one['other'], 'image')}.")
    return parts


def _keywords(title: str, keywords: Sequence[str]) -> str:
    return f"{title} ({len(keywords):,}): {_plain(', '.join(keywords)) or 'none'}."


def _recall(groups: Mapping[str, Mapping[str, float]]) -> str:
    parts = [f"{g} {one['right'] / one['n']:.1%} of {one['n']:,.0f}" for g, one in groups.items() if one["n"]]
    return ", ".join(parts)


def _map(used: Mapping[str, Any] | None) -> str:
    if used is None:
        return "none"
    parts = [f"{name} {value}" for name, value in used.items() if name not in ("quota", "fitted_on")]
    parts.append(f"fitted on {count(used['fitted_on'], 'keyword')}")
    if used["quota"]:
        parts.append("groups assigned in exact numbers, so the chance floor of independent draws bounds nothing")
    return ", ".join(parts)


def _of(places: Any) -> str:
    if isinstance(places, Mapping):
        return ", ".join(_of(place) for place in places.values())
    return str(places)


def _float(value: float | None) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{value:.3f}"


def _figure(line: Mapping[str, Any]) -> str:
    ends = "" if line["low"] is None else f" [{line['low']:.3f}, {line['high']:.3f}]"
    return f"{_float(line['value'])}{ends}"


def _share(line: Mapping[str, Any], name: str = "share") -> str:
    if line[name] is None:
        return "n/a"
    ends = "" if line["low"] is None else f" [{line['low']:.1%}, {line['high']:.1%}]"
    return f"{line[name]:.1%}{ends}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of GitHub's Markdown; a column without an entry is left out."""
    kept = [i for i, name in enumerate(head) if not rows or any(str(row[i]) for row in rows) or not name]
    lines = [[head[i] for i in kept], ["---"] * len(kept), *([row[i] for i in kept] for row in rows)]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text if text == "---" else _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Words of others as words: no HTML, no emphasis, links or lists of Markdown, on one line."""
    one_line = " ".join(html.escape(text, quote=False).split())
    return re.sub(r"[\\`*~]|\b_|_\b|(?<=\])\(|^(#+|[-+]|\d+[.)])(?=\s)", lambda found: f"\\{found[0]}", one_line)
