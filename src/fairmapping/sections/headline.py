"""The head of the page: the finding in a few sentences, and the same figures as cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from .. import charts
from ..pairs import LEAST_CHANGED, Comparison
from ..results import ARMS, Audit
from ..words import bracket, cell, count, noun, number, percent, percent_cell, sentence
from .kept import obeyed_overall
from .parts import card, floor_note, model_name, of_whom

__all__ = ["cards", "headlines"]


def headlines(
    audits: Sequence[Audit], keywords: Sequence[str], language: dict[str, Any] | None, *, unseen: bool
) -> list[Markup]:
    """What stands against the figures, one sentence for each attribute of the first audit, then one on the language
    bias and one on explicit prompts.

    unseen: the map was not fitted on `keywords`."""
    audit = audits[0]
    model = Markup("<code>{}</code>").format(model_name(audit))
    where = (
        Markup("On the embedded model {}").format(model)
        if model_name(audit) == "portraits"
        else Markup("On {}").format(model)
    )
    over = f"over {count(len(keywords), noun(keywords))}"
    if audit.fitted:
        one = len(keywords) == 1
        not_used = f" that {'was' if one else 'were'} not used in fitting"
        over += not_used if unseen else f", {'' if one else 'all of them '}used in fitting"
    sentences: list[Markup] = []
    for attribute in audit.attributes:
        opening = Markup("{}, {}, the mean pairwise bias").format(where, over) if not sentences else Markup("That")
        text = Markup("{} of perceived {} ").format(opening, attribute) + _change(audit, attribute, keywords)
        sentences.append(text)
    note = [Markup.escape(floor_note(audit))] if audit.sampled else []
    return _against(audit) + sentences + note + _also(audits, language)


def _against(audit: Audit) -> list[Markup]:
    """Why the figures may say little: a judge made for other pictures, or hardly any faces."""
    found = []
    judge = audit.settings["judge"]
    if judge["name"] == "portraits" != model_name(audit):
        domain = judge["card"].get("domain", "drawings of the embedded model portraits")
        text = "The judge was made for another model, so the figures below may mean nothing. Its domain: {}"
        found.append(Markup(text).format(sentence(domain)))
    faces = audit.faces()
    images, none = int(faces["images"].sum()), int(faces["no_face"].sum())
    if 2 * none > images:
        found.append(
            Markup("In {} of {} the judge found no face: all figures rest on the few others.").format(
                f"{none:,}", count(images, "image")
            )
        )
    return found


def _change(audit: Audit, attribute: str, keywords: Sequence[str]) -> Markup:
    rows = _bias(audit, attribute, keywords)
    if not _told(audit, attribute, keywords):
        why = "no keyword has judged faces in both arms" if audit.arms == ARMS else "no face was judged"
        return Markup("cannot be told: {}.").format(why)
    floor = number(rows["floor"].iloc[-1])
    if audit.arms != ARMS:
        row = rows.iloc[0]
        value = Markup('<b class="raw">{}</b> {}').format(number(row["value"]), bracket(row["low"], row["high"]))
        return Markup("is {}; chance alone gives {}.").format(value, floor)
    compared = audit.compare(attribute, keywords=keywords)
    before = Markup('<b class="raw">{}</b> {}').format(
        number(compared.raw.value), bracket(compared.raw.low, compared.raw.high)
    )
    after = Markup("<b>{}</b> {}").format(
        number(compared.mapped.value), bracket(compared.mapped.low, compared.mapped.high)
    )
    if compared.verdict == "did not measurably change":
        difference = cell(compared.difference)
        text = Markup("did not measurably change: {} before, {} after (difference {}{})").format(
            before, after, difference, _few(compared)
        )
    else:
        text = Markup("{} from {} to {}").format(compared.verdict, before, after)
    return text + Markup("; chance alone gives {}.").format(floor)


def _few(compared: Comparison) -> str:
    """Why an interval clear of 0 is no verdict."""
    if not compared.changed.n:
        return ""
    changed = round(compared.changed.value * compared.changed.n)
    if changed >= LEAST_CHANGED or compared.difference.low <= 0 <= compared.difference.high:
        return ""
    return f"; only {changed} of {count(compared.changed.n, 'image pair')} changed group, too few to tell"


def _told(audit: Audit, attribute: str, keywords: Sequence[str]) -> bool:
    """Whether some keyword has a judged face in every arm."""
    table = audit.table(attribute, keywords=keywords)
    return bool((table[table["n"] > 0].groupby("keyword").size() == len(audit.arms)).any())


def _also(audits: Sequence[Audit], language: dict[str, Any] | None) -> list[Markup]:
    sentences = [language["headline"]] if language and language["headline"] else []
    obeyed = obeyed_overall(audits)
    if obeyed:
        each = Markup(" and ").join(
            Markup("{}{}").format(
                percent_cell(share.value, share.low, share.high), f" {when}" if len(obeyed) > 1 else ""
            )
            for when, share in obeyed.items()
        )
        sentences.append(Markup("Prompts that name a group themselves are obeyed in {}.").format(each))
    return sentences


def cards(audits: Sequence[Audit], keywords: Sequence[str], language: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The same figures one by one, each with its track."""
    main = audits[0]
    made = []
    for attribute, groups in main.attributes.items():
        rows = _bias(main, attribute, keywords)
        if not _told(main, attribute, keywords):
            continue  # no face judged; the headline says so
        worst = 2 / len(groups)
        intervals = [(r["arm"], r["value"] / worst, r["low"] / worst, r["high"] / worst) for _, r in rows.iterrows()]
        floor = float(rows["floor"].mean())
        values = [number(value) for value in rows["value"]]
        when_of = ("before", "after") if main.arms == ARMS else ("",)
        spoken = " and ".join(f"{value} {when}".rstrip() for value, when in zip(values, when_of, strict=True))
        label = f"Mean pairwise bias of perceived {attribute}: {spoken}; chance floor {number(floor)}"
        faces = " + ".join(f"{n:,}" for n in rows["images"])
        text = Markup("{}, {} judged{}; chance floor {}{}.").format(
            count(len(keywords), noun(keywords)),
            f"{faces} {'face' if faces == '1' else 'faces'}",
            of_whom(main, attribute),
            number(floor),
            ", of independent draws, which does not bound a quota's" if main.sampled else "",
        )
        if main.arms == ARMS:
            compared = main.compare(attribute, keywords=keywords)
            changed = compared.changed
            how = Markup(", paired on the same seeds. {} of the images changed the perceived group").format(
                percent_cell(changed.value, changed.low, changed.high)
            )
            how = how if changed.n else Markup(" of images drawn apart, without seeds in common")
            text = Markup("Difference {}{}. {}").format(cell(compared.difference), how, text)
        chart = charts.interval_track(intervals, floor / worst, label)
        name = f"Mean pairwise bias, perceived {attribute}"
        made.append(card(name, values, text, chart, f"{worst:g}"))
    if language and language["card"]:
        made.append(language["card"])
    obeyed = obeyed_overall(audits)
    if obeyed:
        n = sum(share.n for share in obeyed.values())
        values = [percent(share.value) for share in obeyed.values()]
        of = f"of {count(n, 'image')} whose prompt names the group; see what was kept."
        made.append(card("Explicit prompts obeyed", values, of))
    return made


def _bias(audit: Audit, attribute: str, keywords: Sequence[str]) -> Any:
    rows = audit.summary(attribute, keywords=keywords)
    return rows[rows["measure"] == "pairwise_bias"]
