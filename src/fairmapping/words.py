"""Numbers and findings in plain words, for the report and the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from . import lists
from .metrics import Interval

__all__ = ["bracket", "cell", "count", "listing", "noun", "number", "percent", "percent_cell", "sentence"]

_GAP = "\N{NARROW NO-BREAK SPACE}"


def number(value: float) -> str:
    """0.62, \N{MINUS SIGN}0.08, or "n/a" for nan."""
    if math.isnan(value):
        return "n/a"
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """62 %; one decimal where rounding would say 0 or 100 of what is neither; "n/a" for nan."""
    if math.isnan(share):
        return "n/a"
    whole = f"{100 * share:.0f}"
    exact = share in (0, 1) or whole not in ("0", "100")
    text = f"{whole if exact else f'{100 * share:.1f}'}{_GAP}%"
    return text.replace("-", "\N{MINUS SIGN}")


def bracket(low: float, high: float, *, shares: bool = False) -> Markup:
    """A 95 % interval in brackets; nothing where there is none."""
    if math.isnan(low):
        return Markup("")
    text = f"[{100 * low:.0f}, {100 * high:.0f}]" if shares else f"[{number(low)}, {number(high)}]"
    return Markup('<span class="ci">{}</span>').format(text)


def cell(interval: Interval) -> Markup:
    return Markup("{} {}").format(number(interval.value), bracket(interval.low, interval.high))


def percent_cell(share: float, low: float, high: float) -> Markup:
    return Markup("{} {}").format(percent(share), bracket(low, high, shares=True))


def count(n: int, thing: str) -> str:
    """1 image, 1,920 images."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def sentence(text: str) -> str:
    """A card's words may begin small and end without a stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def listing(parts: Sequence[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def noun(keywords: Iterable[str]) -> str:
    """What these keywords are: "occupation" or "emotion" where a packaged list holds them all, else "keyword"."""
    given = set(keywords)
    for name, known in (("occupation", lists.occupations()), ("emotion", lists.emotions())):
        if given and given <= set(known):
            return name
    return "keyword"
