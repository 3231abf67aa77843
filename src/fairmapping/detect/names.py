"""Names of people in a prompt: who is shown by name, and whose name only credits a style."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .matching import Match
from .parsed import Parsed
from .reading import Word

__all__ = ["is_credit", "is_name", "named_in", "places_in"]

# Names after these credit a style or a maker; nobody of that name is shown.
_CREDITS = re.compile(
    r"\b(?:by|inspired by|after|like an?|a la|in the manner of|(?:painted|drawn|shot|lit|rendered|done|framed) like|"
    r"(?:styles?|palette|look|spirit|vein|colou?rs|warmth|touch|flair|hint|dash|echo|energy|humou?r|whimsy) of)"
    r"(?: \w+){0,2}$"
)


def is_credit(match: Match, text: Parsed) -> bool:
    """Whether a name credits a style, a maker or a brand rather than naming who is shown: "by A, B and C", "A
    lighting"."""
    for word in text.words[match.end : match.end + 3]:
        if word.starts and not word.joined:
            break
        if text.in_class(word.text, "styles"):
            return True
    start, after = text.begins(match.start), text.next(match.end)
    surname = after is not None and text.next(match.end + 1) is None and not after.capital
    if start == match.start > 0 and surname and not text.lexicon.is_word(text.words[match.end].text):
        return True  # among tags, "greg rutkowski" is an artist
    for first in range(match.start, max(match.start - 12, 0), -1):  # back over a list of names
        if _CREDITS.search(" ".join(text.texts(max(first - 4, 0), first))):
            return True
        before = text.words[first - 1]
        if not (before.capital or before.text == "and" or text.words[first].starts):
            return False
    return False


def is_name(match: Match, text: Parsed) -> bool:
    """Whether a word that is also a first name ("Rose", "Mark") is one here: written with a capital where nothing else
    asks for it, and not among other capitals."""
    word = text.words[match.start]
    if text.in_class(text.before(match.start), "naming"):
        return True
    if text.lexicon.mostly(word.text) == "s":
        return False  # "Over the shoulder"
    after = text.words[match.end] if match.end < len(text.words) else None
    if not match.start and text.texts(1, 2) == ["the"] and text.at(2, "titles", "heads"):
        return True  # "art the upholsterer"
    if not match.start and text.texts(1, 3) in (["is", "a"], ["is", "an"], ["is", "the"]):
        return True  # "Bill is a furrier"
    if not word.capital or is_credit(match, text):
        return False
    if after is not None and word.first and after.starts and after.text.isdigit():
        return True  # "Hunter, 34, drone pilot"
    if (
        after is not None
        and word.first
        and after.capital
        and not after.starts
        and text.at(match.end, "titles", "heads")
    ):
        return True  # "Mark Baker"
    if after is not None and re.fullmatch(r"[ivx]+|\d+", after.text):
        return False  # "Mark II"
    if after is not None and after.starts and word.first and text.in_class(after.text, "our"):
        return any(m.has("titles", "heads") for i in range(match.end + 1, match.end + 5) for m in text.at(i))
    if after is not None and after.text == "and" and text.at(match.end + 1, "names", "names_and_words"):
        return text.words[match.end + 1].capital  # "Chase and Harper"
    if after is not None and not after.starts and after.text in ("our", "my"):
        return any(text.at(i, "titles", "heads") for i in range(match.end + 1, match.end + 3))  # "Tom our baker"
    if after is not None and not after.starts and (after.text == "the" or (after.capital and word.first)):
        return after.text == "the"  # "Rose the baker"
    if word.first:
        return False
    plain = [other for other in text.words if not other.first and len(other.text) > 3]
    capitals = sum(other.capital for other in plain)
    return capitals <= 0.4 * len(plain) or (capitals <= 2 and len(plain) > 2)


def _is_strange(word: Word, text: Parsed) -> bool:
    """Whether a word with a capital of its own is none in English, so that it must be a name."""
    return word.capital and word.raw.isalpha() and len(word.raw) > 2 and not text.lexicon.is_word(word.text)


def places_in(text: Parsed) -> Iterator[tuple[int, int]]:
    """Places on no list, and peoples: "from Oaxaca", "the Kalasha people"."""
    if text.in_title_case:
        return
    for i, word in enumerate(text.words):
        if not word.first and not word.starts and _is_strange(word, text):
            before, after = text.before(i), text.next(i + 1)
            if text.in_class(before, "at_a_place") or (after is not None and after.text in ("people", "tribe")):
                yield i, i + 1


def named_in(text: Parsed) -> Iterator[tuple[int, int]]:
    """ "named Anything", and a title before a name that is no word: "Dr. Nguyen", "my librarian Mehwish"."""
    title_case = text.in_title_case
    full = len(text.words) > 2 and text.words[0].capital and not text.words[1].starts and text.words[2].starts
    if full and _is_strange(text.words[1], text) and any(text.at(i, "titles", "heads") for i in range(2, 6)):
        yield 0, 2  # "Precious Dlamini, paediatrician"
    strange = text.words and (_is_strange(text.words[0], text) or text.in_class(text.words[0].text, "no_names"))
    if text.texts(1, 2) == ["the"] and text.next(1) and text.at(2, "titles", "heads") and strange:
        yield 0, 1  # "Tupaq the stonemason"
    naming, ranks = text.lexicon.classes["naming"], text.lexicon.classes["ranks"]
    for i, (here, after) in enumerate(zip(text.words, text.words[1:], strict=False)):
        ranked = here.text in ranks
        if not (ranked or after.capital):
            continue
        if here.text in naming and after.capital and not after.quoted:
            yield i + 1, i + 2
        if after.starts or not after.raw.isalpha() or len(after.raw) < 2:
            continue
        known = text.lexicon.is_word(after.text)
        if not after.capital:
            named = ranked and not known and len(after.text) > 3 and not after.text.endswith("ing")
            named = named and not text.any_in_class(text.texts(i + 2, i + 3), "articles")  # "nurse holdng a rabbit"
        elif title_case:
            named = ranked and not known
        elif ranked:  # also "coach Ted" and "Chef Rose"
            named = not known or not here.capital or bool(text.at(i + 1, "names_and_words"))
        else:
            called = not known or (not here.capital and bool(text.at(i + 1, "names_and_words")))  # "farmer Olive"
            named = called and text.ending(i + 1, "titles", "heads", "people")
        if named:
            yield i, i + 2
