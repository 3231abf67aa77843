"""Which phrases of the lexicon stand in a prompt, misspelt words set right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from string import ascii_lowercase

from rapidfuzz import process
from rapidfuzz.distance import OSA

from .lexicon import Entry, Lexicon, beginnings
from .reading import Word, forms

__all__ = ["Extra", "Match", "matches", "respelt"]


class Extra(dict[str, tuple[Entry, ...]]):
    """Phrases that a user added, by their folded text."""

    @cached_property
    def begun(self) -> frozenset[str]:
        """What they begin with."""
        return beginnings(self)


# What hides what lies within it: "pilot light" is no pilot, and in "white house" nothing is white.
_COVERING = frozenset({"things", "characters", "famous", "artists", "places", "protected", "names"})


@dataclass(eq=False)
class Match:
    """Words ``start`` to ``end`` (exclusive) of a prompt are ``phrase``, which is ``entries``."""

    start: int
    end: int
    phrase: str
    entries: tuple[Entry, ...]

    def has(self, *kinds: str) -> bool:
        for entry in self.entries:  # noqa: SIM110 (twice as fast as any(), and asked some ten times a word)
            if entry.kind in kinds:
                return True
        return False

    def __len__(self) -> int:
        return self.end - self.start


def respelt(words: Sequence[Word], lexicon: Lexicon, extra: Extra) -> list[Word]:
    """The words, those that are none in English as the title or the word for a gender that they are nearest to.

    One letter wrong, missing, too many or two exchanged is forgiven from four letters on, two from eight on (seven
    where the last letter is right). A word of four or five letters must begin alike, and one with a capital of its own
    is taken for a name.
    """
    single = {phrase for phrase in extra if " " not in phrase}
    found = []
    for word in words:
        text = word.text
        known = not text.isalpha() or not 4 <= len(text) <= 60 or lexicon.is_word(text.removesuffix("less"))
        if known or any(form in single for form in forms(text)):
            found.append(word)
        elif meant := "" if word.capital and not word.first else _meant(lexicon, text):
            found.append(replace(word, text=meant, typed=text))  # with a capital it is a name, more likely
        elif parts := [] if lexicon.entries(text) else _parts(lexicon, text):
            first = replace(word, text=parts[0], owns=False, typed=text)
            found += [first, *(replace(first, text=part, starts=False) for part in parts[1:])]
        else:
            found.append(word)
    return found


@lru_cache(maxsize=65536)
def _parts(lexicon: Lexicon, text: str) -> list[str]:
    """The words of a long one written together, where one of them names a person; else []."""
    parts = lexicon.parts(text) if len(text) > 7 else []
    kinds = {entry.kind for part in parts for entry in lexicon.entries(part)}
    return parts if kinds & {"titles", "generic"} else []


@lru_cache(maxsize=65536)
def _meant(lexicon: Lexicon, text: str) -> str:
    """The word that a misspelt one is nearest to, titles before others; "" where none is near enough."""
    if text in lexicon.foreign:
        return ""
    spellings = [text, text.removesuffix("s")] if text.endswith("s") and len(text) > 5 else [text]
    spellings += [form.replace("f", "ph", 1) for form in spellings if form.startswith("f")]
    near: list[tuple[float, bool, str]] = []
    for form in spellings:
        allowed = 1 if len(form) < 7 else 2
        choices = [
            word
            for length in range(-allowed, allowed + 1)
            for word in lexicon.spelt.get((form[0], len(form) + length), ())
        ]
        found = process.extract(form, choices, scorer=OSA.distance, score_cutoff=allowed, limit=8)
        near += [
            (distance, _rank(lexicon, choice), choice)
            for choice, distance, _ in found
            if distance < 2 or len(form) > 7 or choice[-1] == form[-1]
        ]
        if len(form) > 5:  # or the first letter is wrong, missing, too many or exchanged
            starts = [*(letter + form[1:] for letter in ascii_lowercase), form[1:], form[1] + form[0] + form[2:]]
            starts += [letter + form for letter in ascii_lowercase]
            near += [(1, _rank(lexicon, w), w) for w in starts if w in lexicon.spelt.get((w[0], len(w)), ())]
    if len(text) < 6:  # what settles something is looked for in short words only where it is common
        near = [found for found in near if not found[1] or found[2] in lexicon.classes["spelt"]]
    near = [found for found in near if (found[0] < 2 and found[2][0] == text[0]) or not _is_place(lexicon, found[2])]
    best = min(near, default=(0.0, False, ""))
    return "" if best[0] > 1 and _is_compound(lexicon, text) else best[2]


def _rank(lexicon: Lexicon, word: str) -> bool:
    """False, which comes first, for a title or a generic person."""
    return not any(entry.kind in ("titles", "generic") for entry in lexicon.entries(word))


def _is_place(lexicon: Lexicon, word: str) -> bool:
    """Whether a word is a place and nothing else: "kawaii" was not meant for Hawaii, nor "greebles" for Greece."""
    return all(entry.kind == "places" for entry in lexicon.entries(word))


def _is_compound(lexicon: Lexicon, text: str) -> bool:
    """Whether two English words of four letters or more are written together, such as "stockhand"."""
    parts = lexicon.parts(text)
    return (
        len(parts) == 2
        and min(map(len, parts)) > 3
        and not any(entry.kind == "settles" for entry in lexicon.entries(parts[1]))
    )


def matches(words: Sequence[Word], lexicon: Lexicon, extra: Extra) -> list[Match]:
    """Every known phrase, none that lies within a longer one which covers it; the longest first at each place."""
    found: list[Match] = []
    for start, first in enumerate(words):
        entries, written = _opening(lexicon, first.text)
        if extra:
            entries, written = _added(first.text, extra) + entries, _spellings(first.text)
        here = [Match(start, start + 1, first.text, entries)] if entries else []
        end = start + 1
        while written and end < len(words) and not words[end].starts:
            if lexicon.begun.isdisjoint(written) and extra.begun.isdisjoint(written):
                break
            written = tuple(f"{text} {words[end].text}" for text in written)
            end += 1
            for phrase in written:
                entries = _added(phrase, extra) + lexicon.entries(phrase) if extra else lexicon.entries(phrase)
                if phrase is not written[0]:  # a name has no plural within: "doctors who dance" are not "Doctor Who"
                    entries = tuple(entry for entry in entries if entry.kind != "characters")
                if entries:
                    here.append(Match(start, end, phrase, entries))
                    break
        if first.text in lexicon.halves and start + 1 < len(words) and not words[start + 1].starts:
            after = words[start + 1].text
            if not any(len(match) == 2 for match in here) and _is_title(lexicon, first.text, after):
                here.append(Match(start, start + 2, first.text + after, lexicon.entries(first.text + after)))
                here.sort(key=len)  # "bar tender"
        found += reversed(here)
    covers = [m for m in found if len(m) > 1 and m.has(*_COVERING)]
    return [m for m in found if not any(_within(m, cover) for cover in covers)]


@lru_cache(maxsize=65536)
def _opening(lexicon: Lexicon, text: str) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """What a word is by itself, and its spellings where a longer phrase may begin with one of them."""
    spellings = _spellings(text)
    return lexicon.entries(text), () if lexicon.begun.isdisjoint(spellings) else spellings


def _spellings(text: str) -> tuple[str, ...]:
    """How a phrase that a word begins is looked up: "painters tape" as "painter tape", too."""
    one = forms(text)[-1]
    return (text,) if one == text else (text, one)


def _added(phrase: str, extra: Extra) -> tuple[Entry, ...]:
    """What a user says that a phrase is."""
    return tuple(entry for form in forms(phrase) for entry in extra.get(form, ())) if extra else ()


def _is_title(lexicon: Lexicon, first: str, second: str) -> bool:
    """Whether two words are a title when they are written as one."""
    together = first + second
    if min(len(first), len(second)) < 3 or not (
        together in lexicon or (together[-1] in "sne" and any(form in lexicon for form in forms(together)[1:]))
    ):
        return False
    return any(entry.kind in ("titles", "heads") for entry in lexicon.entries(together))


def _within(inner: Match, outer: Match) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end and len(inner) < len(outer)
