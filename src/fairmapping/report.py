"""One audit, or several that belong together, as one HTML file that opens offline: pictures, plots, numbers and words
of caution."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from . import __version__, charts, sections
from .metrics import Interval
from .results import ARMS, Audit
from .words import bracket, cell, count, listing, noun, number, percent, percent_cell

if TYPE_CHECKING:
    from .bias import LanguageBias

__all__ = ["report"]

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
) -> Path:
    """Write one self-contained HTML page to `path` and return it.

    audit: the audit to report on. Of several, the first gives the headline and the figures by keyword, and all of
    them what was kept (explicit prompts, cue, expression), so that each question can have prompts and numbers of
    images of its own. bias, bias_after: the language bias of the encoder, without and with the map. show: keywords
    whose pictures are shown; by default the most uneven ones. notes: further words of caution.

    The headline is about keywords that the map was not fitted on, where the audit holds any. Raises ValueError where
    there is nothing neutral to report on, or where `show` names a keyword that was not audited.
    """
    audits = [audit] if isinstance(audit, Audit) else list(audit)
    if not audits:
        raise ValueError("no audit to report on")
    main = audits[0]
    if not main.keywords:
        raise ValueError(
            "the audit has no neutral prompts, so there is no bias to report: put an audit of neutral prompts first"
        )
    unknown = [keyword for keyword in show or () if keyword not in main.keywords]
    if unknown:
        raise ValueError(f"{unknown[0]!r} was not audited, so it has no pictures to show")

    unseen = [keyword for keyword in main.keywords if keyword not in main.fitted]
    reported = unseen or main.keywords
    model = model_name(main)
    kept = sections.kept(audits)
    language = sections.language(main, bias, bias_after)
    pairs = sections.pairs(main, list(show) if show else sections.most_uneven(main, reported))
    both = main.arms == ARMS
    context = {
        "css": Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "title": title or f"What {model} draws{', before and after Fair Mapping' if both else ''}",
        "byline": _byline(audits),
        "headlines": [*_headlines(main, reported, bool(unseen)), *_also(audits, language)],
        "cards": _cards(main, audits, reported, language),
        "both": both,
        "sections": _contents(bool(pairs), bool(language), noun(main.keywords)),
        "pairs": pairs,
        "pairs_text": _pairs_text(main, chosen=show is None),
        "noun": noun(main.keywords),
        "noun_title": noun(main.keywords).capitalize(),
        "charts": [sections.chart(main, attribute) for attribute in main.attributes],
        "language": language,
        "kept": kept,
        "moved": sections.moved(main),
        "kept_nothing": "No prompt here names a group, and the judge reads neither cue nor expression.",
        "judge": sections.judge(main, audits, reported),
        "caution": [*_caution(main, bool(unseen)), *notes],
        "settings": _settings(audits),
        "fitted": sorted(main.fitted),
        "all_figures": [sections.figures(main, attribute) for attribute in main.attributes],
        "version": __version__,
    }
    return _write(Path(path), context)


def model_name(audit: Audit) -> str:
    """The model as a reader knows it: "portraits", a hub id, or the last folder of a path."""
    name = audit.settings["model"]["name"]
    return Path(name).name if os.path.isabs(name) else name


def _headlines(audit: Audit, keywords: Sequence[str], unseen: bool) -> list[Markup]:
    model = Markup("<code>{}</code>").format(model_name(audit))
    where = (
        Markup("On the embedded model {}").format(model)
        if model_name(audit) == "portraits"
        else Markup("On {}").format(model)
    )
    over = f"over {count(len(keywords), noun(keywords))}"
    if audit.fitted:
        over += " that were not used in fitting" if unseen else ", all of them used in fitting"
    sentences: list[Markup] = []
    for attribute in audit.attributes:
        opening = Markup("{}, {}, the mean pairwise bias").format(where, over) if not sentences else Markup("That")
        text = Markup("{} of perceived {} ").format(opening, attribute) + _change(audit, attribute, keywords)
        sentences.append(text)
    return sentences


def _change(audit: Audit, attribute: str, keywords: Sequence[str]) -> Markup:
    floor = number(_bias(audit, attribute, keywords)["floor"].iloc[-1])
    if audit.arms != ARMS:
        row = _bias(audit, attribute, keywords).iloc[0]
        value = Markup('<b class="raw">{}</b> {}').format(number(row["value"]), bracket(row["low"], row["high"]))
        return Markup("is {}; chance alone gives {}.").format(value, floor)
    compared = audit.compare(attribute, keywords=keywords)
    before = Markup('<b class="raw">{}</b> {}').format(number(compared.raw.value), _ci(compared.raw))
    after = Markup("<b>{}</b> {}").format(number(compared.mapped.value), _ci(compared.mapped))
    if compared.verdict == "did not measurably change":
        difference = cell(compared.difference)
        text = Markup("did not measurably change: {} before, {} after (difference {})").format(
            before, after, difference
        )
    else:
        text = Markup("{} from {} to {}").format(compared.verdict, before, after)
    return text + Markup("; chance alone gives {}.").format(floor)


def _also(audits: Sequence[Audit], language: dict[str, Any] | None) -> list[Markup]:
    sentences = [language["headline"]] if language and language["headline"] else []
    obeyed = sections.obeyed_overall(audits)
    if obeyed:
        each = Markup(" and ").join(
            Markup("{} {}").format(percent_cell(share.value, share.low, share.high), when)
            for when, share in obeyed.items()
        )
        sentences.append(Markup("Prompts that name a group themselves are obeyed in {}.").format(each))
    return sentences


def _cards(
    main: Audit, audits: Sequence[Audit], keywords: Sequence[str], language: dict[str, Any] | None
) -> list[dict[str, Any]]:
    cards = []
    for attribute, groups in main.attributes.items():
        rows = _bias(main, attribute, keywords)
        worst = 2 / len(groups)
        intervals = [(r["arm"], r["value"] / worst, r["low"] / worst, r["high"] / worst) for _, r in rows.iterrows()]
        floor = float(rows["floor"].mean())
        values = [number(value) for value in rows["value"]]
        spoken = " and ".join(f"{value} {when}" for value, when in zip(values, ("before", "after"), strict=False))
        label = f"Mean pairwise bias of perceived {attribute}: {spoken}; chance floor {number(floor)}"
        faces = " + ".join(f"{n:,}" for n in rows["images"])
        text = Markup("{}, {} faces judged; chance floor {}.").format(
            count(len(keywords), noun(keywords)), faces, number(floor)
        )
        if main.arms == ARMS:
            compared = main.compare(attribute, keywords=keywords)
            text = Markup(
                "Difference {}, paired on the same seeds. {} of the images changed the perceived group. {}"
            ).format(
                cell(compared.difference),
                percent_cell(compared.changed.value, compared.changed.low, compared.changed.high),
                text,
            )
        chart = charts.interval_track(intervals, floor / worst, label)
        name = f"Mean pairwise bias, perceived {attribute}"
        cards.append(sections.card(name, values, text, chart, f"{worst:g}"))
    if language and language["card"]:
        cards.append(language["card"])
    obeyed = sections.obeyed_overall(audits)
    if obeyed:
        n = sum(share.n for share in obeyed.values())
        values = [percent(share.value) for share in obeyed.values()]
        of = f"of {count(n, 'image')} whose prompt names the group; see what was kept."
        cards.append(sections.card("Explicit prompts obeyed", values, of))
    return cards


def _bias(audit: Audit, attribute: str, keywords: Sequence[str]) -> Any:
    rows = audit.summary(attribute, keywords=keywords)
    return rows[rows["measure"] == "pairwise_bias"]


def _ci(interval: Interval) -> Markup:
    return bracket(interval.low, interval.high)


def _byline(audits: Sequence[Audit]) -> str:
    main = audits[0]
    created = datetime.fromisoformat(main.settings["created"])
    images = sum(len(audit.rows) for audit in audits)
    date = f"{created.day} {created:%B %Y}"
    return f"{date} · {count(images, 'image')} drawn and judged · judge: {main.settings['judge']['name']}"


def _contents(pairs: bool, language: bool, what: str) -> list[tuple[str, str]]:
    found = [("pictures", "See for yourself")] if pairs else []
    found.append(("keywords", f"{what.capitalize()} by {what}"))
    found += [("language", "The language model")] if language else []
    return [
        *found,
        ("kept", "What was kept"),
        ("judge", "The judge"),
        ("caution", "Words of caution"),
        ("settings", "Settings and figures"),
    ]


def _pairs_text(audit: Audit, *, chosen: bool) -> str:
    which = f"The {noun(audit.keywords)}s drawn most unevenly before, towards either side. " if chosen else ""
    if audit.arms != ARMS:
        return which + "The first of each template, none picked."
    return (
        which
        + "Left without the map, right with it; what stands in the same place on both sides has the same prompt and "
        "seed, and so the same starting noise. They are the first of each template, none picked."
    )


def _caution(audit: Audit, unseen: bool) -> list[str]:
    table = audit.table(next(iter(audit.attributes)))
    typical = int(table["n"].median())
    groups = "; ".join(f"{name}: {listing(groups)}" for name, groups in audit.attributes.items())
    words = [
        "Gender and race are as perceived by a judge of images. They say nothing about who anyone is, and people who "
        f"belong to none of the groups asked about ({groups}) are not counted.",
        "No model becomes free of bias by a map. This page assesses how evenly these groups are represented for these "
        "prompts at these settings; other prompts, groups, guidance scales or samplers can give other figures.",
        f"Each {noun(audit.keywords)} rests on about {typical} judged faces in each arm: its interval is wide, and a "
        "single row proves little. Even a perfectly even generator does not score 0 with so few, hence the chance "
        "floor beside each figure.",
        "Intervals of means are 95 % bootstrap intervals over keywords, intervals of shares are Wilson's. Neither "
        "covers the judge's errors, which are corrected for apart, where its card allows.",
    ]
    if model_name(audit) == "portraits":
        words.insert(
            1,
            "The embedded model makes small drawings, not photographs, and was given its bias on purpose: gender by "
            "occupation as Stable Diffusion v1.5 shows it, race from US labour statistics, sharpened. What holds on it "
            "need not hold on another model.",
        )
    if audit.fitted:
        words.append(
            "The keywords that the map was fitted on are listed below; the headline leaves them out."
            if unseen
            else "Every keyword here was used in fitting the map: expect less on others."
        )
    return words


def _settings(audits: Sequence[Audit]) -> list[tuple[str, str]]:
    main = audits[0]
    settings = main.settings
    rows = [("Model", f"{settings['model']['name']} ({settings['model']['pipeline']})")]
    for part in audits:
        prompts = part.rows.drop_duplicates("prompt")
        templates = [template for template in dict.fromkeys(prompts["template"]) if template]
        images = count(part.settings["images_per_prompt"], "image")
        text = f"{count(len(prompts), 'prompt')} × {images} in {count(len(part.arms), 'arm')}"
        text += f", from {listing([repr(template) for template in templates])}" if templates else ""
        rows.append(("Prompts" if part.keywords else "Prompts that name a group", text))
    rows += [(name.replace("_", " ").capitalize(), str(value)) for name, value in settings["call"].items()]
    rows += [("Seed", str(settings["seed"])), ("Judge", settings["judge"]["name"])]
    if settings.get("map"):
        rows += [(f"Map: {name.replace('_', ' ')}", text) for name, text in _map_settings(settings["map"])]
    seconds = {stage: sum(part.settings["seconds"][stage] for part in audits) for stage in ("generate", "judge")}
    rows.append(
        ("Time", f"{seconds['generate']:.0f} s to draw and {seconds['judge']:.0f} s to judge, in the last call")
    )
    rows.append(("Versions", ", ".join(f"{name} {version}" for name, version in settings["versions"].items())))
    return rows


def _map_settings(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plain values of a map's configuration, keywords and encoder left out."""
    left_out = {"keywords", "encoder", "schema_version", "versions"}
    rows = []
    for name, value in config.items():
        if name not in left_out and isinstance(value, (str, int, float)):
            rows.append((name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows


def _write(path: Path, context: dict[str, Any]) -> Path:
    import jinja2

    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.get_template("report.html.j2").render(context)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.write_text(html, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
