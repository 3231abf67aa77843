"""One audit, or several that belong together, as one HTML file that opens offline: pictures, plots, numbers and words
of caution."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from . import __version__, sections
from .results import ARMS, Audit
from .store import write_text
from .words import count, listing, noun

if TYPE_CHECKING:
    from .bias import LanguageBias

__all__ = ["cautions", "report"]

_TEMPLATES = Path(__file__).parent / "templates"


def report(
    audit: Audit | Sequence[Audit],
    path: str | os.PathLike[str],
    *,
    bias: LanguageBias | None = None,
    bias_after: LanguageBias | None = None,
    title: str | None = None,
    notes: Sequence[str] = (),
    show: Sequence[str] | None = None,
    routes: Mapping[str, Audit] | None = None,
) -> Path:
    """Write one self-contained HTML page to `path` and return it.

    audit: the audit to report on. Of several, the first gives the headline and the figures by keyword, and all of
    them what was kept (explicit prompts, cue, expression), so that each question can have prompts and numbers of
    images of its own. bias, bias_after: the language bias of the encoder, without and with the map. show: keywords
    whose pictures are shown; by default the most uneven ones. notes: further words of caution. routes: name -> audit of
    the maps of several routes, set side by side in a section of their own; they may hold the first audit again.

    The headline is about keywords that the map was not fitted on, where the audit holds any. Raises ValueError where
    there is nothing neutral to report on, where an audit is given twice, where `show` names a keyword that was not
    audited, or where the routes cannot be compared (:func:`fairmapping.compare.comparison`).
    """
    audits = [audit] if isinstance(audit, Audit) else list(audit)
    if not audits:
        raise ValueError("no audit to report on")
    main = audits[0]
    for place, one in enumerate(audits):
        if any(one is other or (one.path == other.path and one.rows.equals(other.rows)) for other in audits[:place]):
            raise ValueError(
                f"the audit in {one.path} is given twice: its images would be counted twice, leave one out"
            )
    if not main.keywords:
        raise ValueError(
            "the audit has no neutral prompts, so there is no bias to report: put an audit of neutral prompts first"
        )
    unknown = [keyword for keyword in show or () if keyword not in main.keywords]
    if unknown:
        raise ValueError(f"{unknown[0]!r} was not audited, so it has no pictures to show")

    unseen = [keyword for keyword in main.keywords if not main.was_fitted(keyword)]
    reported = unseen or main.keywords
    model = sections.model_name(main)
    kept = [*sections.kept(audits), *sections.quality(main)]
    language = sections.language(main, bias, bias_after)
    beside = sections.routes(routes)
    pairs = sections.pairs(main, list(show) if show else sections.most_uneven(main, reported))
    both = main.arms == ARMS
    context = {
        "css": Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "title": title or f"What {model} draws{_change(main) if both else ''}",
        "byline": _byline(audits),
        "headlines": sections.headlines(audits, reported, language, unseen=bool(unseen)),
        "cards": sections.cards(audits, reported, language),
        "both": both,
        "by_map": bool(main.settings.get("map")),
        "sections": _contents(bool(pairs), bool(beside), bool(language), noun(main.keywords)),
        "pairs": pairs,
        "pairs_text": _pairs_text(main, chosen=show is None),
        "noun": noun(main.keywords),
        "noun_title": noun(main.keywords).capitalize(),
        "charts": [sections.chart(main, attribute) for attribute in main.attributes],
        "routes": beside,
        "sampled": main.sampled,
        "language": language,
        "kept": kept,
        "moved": sections.moved(main),
        "kept_nothing": "No prompt here names a group, and the judge reads neither cue nor expression.",
        "judge": sections.judge(main, audits, reported),
        "caution": [*cautions(main), *notes],
        "settings": sections.settings(audits),
        "fitted": sorted(main.fitted),
        "fitted_title": f"The {count(len(main.fitted), 'keyword')} that the map was fitted on",
        "all_figures": _figures(main, reported),
        "version": __version__,
    }
    path = Path(path)
    write_text(path, _render(context))
    return path


def _change(audit: Audit) -> str:
    return ", before and after" + (" Fair Mapping" if audit.settings.get("map") else "")


def _byline(audits: Sequence[Audit]) -> str:
    main = audits[0]
    created = datetime.fromisoformat(main.settings["created"])
    images = sum(len(audit.rows) for audit in audits)
    date = f"{created.day} {created:%B %Y}"
    return f"{date} · {count(images, 'image')} judged · judge: {main.settings['judge']['name']}"


def _contents(pairs: bool, routes: bool, language: bool, what: str) -> list[tuple[str, str]]:
    found = [("pictures", "See for yourself")] if pairs else []
    found.append(("keywords", f"{what.capitalize()} by {what}"))
    found += [("routes", "The routes side by side")] if routes else []
    found += [("language", "The language model")] if language else []
    return [
        *found,
        ("kept", "What was kept"),
        ("judge", "The judge"),
        ("caution", "Words of caution"),
        ("settings", "Settings and figures"),
    ]


def _pairs_text(audit: Audit, *, chosen: bool) -> str:
    when = " before" if audit.arms == ARMS else ""
    which = f"The {noun(audit.keywords)}s drawn most unevenly{when}, towards either side. " if chosen else ""
    if audit.arms != ARMS:
        return which + "The first of each template, none picked."
    if not audit.settings.get("map"):  # somebody else's images, of which seeds may not be known
        return which + "Left before, right after. They are the first of each prompt, none picked."
    return (
        which
        + "Left without the map, right with it; what stands in the same place on both sides has the same prompt and "
        "seed, and so the same starting noise. They are the first of each template, none picked."
    )


def _figures(audit: Audit, reported: Sequence[str]) -> list[dict[str, Any]]:
    tables = [sections.measures(audit, attribute, reported) for attribute in audit.attributes]
    cells = sections.cells(audit, reported)
    tables += [cells] if cells else []
    return tables + [sections.figures(audit, attribute) for attribute in audit.attributes]


def cautions(audit: Audit) -> list[str]:
    """What the figures of an audit do not say, one or two sentences each; none for an audit without neutral prompts."""
    if not audit.keywords:
        return []
    unseen = any(not audit.was_fitted(keyword) for keyword in audit.keywords)
    table = audit.table(next(iter(audit.attributes)))
    typical = int(table["n"].median())
    each = " in each arm" if audit.arms == ARMS else ""
    groups = "; ".join(f"{name}: {listing(groups)}" for name, groups in audit.attributes.items())
    words = [
        "Gender and race are as perceived by a judge of images. They say nothing about who anyone is, and people who "
        f"belong to none of the groups asked about ({groups}) are not counted.",
        "No model becomes free of bias by a map. This page assesses how evenly these groups are represented for these "
        "prompts at these settings; other prompts, groups, guidance scales or samplers can give other figures.",
        f"Each {noun(audit.keywords)} rests on about {count(typical, 'judged face')}{each}: its interval is wide, and "
        "a single row proves little. Even a perfectly even generator does not score 0 with so few, hence the chance "
        "floor beside each figure.",
        "Intervals of means are 95 % bootstrap intervals over keywords, and of fewer than 8 over their images too; "
        f"intervals of shares are {sections.intervals_of_shares(audit)}. Neither covers the judge's errors; corrected "
        "figures, where its card allows them, have intervals that do.",
    ]
    words += audit.settings.get("source", {}).get("notes", [])
    if audit.sampled:
        words.append(
            f"{sections.floor_note(audit)} Intervals of shares are made for independent draws, and wider than need be "
            "here. What was assigned is a group for each image, not a judgement of it: the judge saw the pictures only."
        )
    if sections.model_name(audit) == "portraits":
        words.insert(
            1,
            "The embedded model makes small drawings, not photographs, and was given its bias on purpose: gender by "
            "occupation as Stable Diffusion v1.5 shows it, race from US labour statistics, sharpened. What holds on it "
            "need not hold on another model.",
        )
    if audit.fitted:
        words.append(
            "The keywords that the map was fitted on are listed apart; the headline leaves them out."
            if unseen
            else "Every keyword here was used in fitting the map: expect less on others."
        )
    return words


def _render(context: dict[str, Any]) -> str:
    import jinja2

    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2").render(context)
