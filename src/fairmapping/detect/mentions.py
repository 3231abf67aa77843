"""What a prompt says itself about an attribute: "her", "bearded", "Nigerian", "Maria", "a Roman legionary"."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from .absence import shows_its_owner
from .lexicon import Entry
from .matching import Match
from .names import is_credit, is_name, named_in, places_in
from .parsed import Parsed

__all__ = ["Mention", "mentions_in"]

_PEOPLE = ("titles", "heads", "generic", "people", "keyword")
_BOTH = ("gender", "race")


@dataclass(frozen=True)
class Mention:
    """Words of the prompt that settle ``attribute``, for ``group`` where that can be told ("" where not)."""

    attribute: str
    words: str
    group: str = ""


def mentions_in(text: Parsed, attributes: Collection[str]) -> list[Mention]:
    """Whatever settles one of the attributes, in the order of the prompt."""
    found: dict[tuple[str, int, int], Mention] = {}
    for start, end, attribute, group in _settling(text):
        within = any(name == attribute and first <= start and end <= last for name, first, last in found)
        if attribute in attributes and not within:
            found[attribute, start, end] = Mention(attribute, text.said(start, end), group)
    return [found[key] for key in sorted(found, key=lambda key: key[1])]


def _settling(text: Parsed) -> Iterator[tuple[int, int, str, str]]:
    """(start, end, attribute, group) of all words that settle something."""
    for match in text.matches:
        if match.has("things", "protected") or _is_of_nobody(match, text):
            continue
        for entry in match.entries:
            for attribute in _settled_by(entry, match, text):
                yield match.start, match.end, attribute, entry.group
    for start, end in [*named_in(text), *_years(text)]:
        for attribute in _BOTH:
            yield start, end, attribute, ""
    for start, end in places_in(text):
        yield start, end, "race", ""


def _settled_by(entry: Entry, match: Match, text: Parsed) -> tuple[str, ...]:
    """The attributes that a phrase settles as what this entry says it is."""
    if (
        entry.kind == "settles"
        or (entry.kind == "may settle" and _of_a_person(match, text))
        or (entry.kind == "worn" and _is_worn(match, text))
    ):
        return (entry.attribute,)
    if entry.kind == "places":
        past = text.before(match.start) in ("ancient", "feudal")
        return () if is_credit(match, text) else _BOTH if past else ("race",)
    if (entry.kind in ("famous", "characters", "names", "periods") and not is_credit(match, text)) or (
        entry.kind == "names_and_words" and is_name(match, text)
    ):
        return _BOTH
    return ()


def _is_of_nobody(match: Match, text: Parsed) -> bool:
    """ "Bro draw me a cook": whoever is asked is not in the picture. "Its beard" is an animal's."""
    after = text.words[match.end].text if match.end < len(text.words) else ""
    asked = not match.start and match.has("settles") and text.in_class(after, "asking")
    owner = text.words[match.end - 1].owns and match.has("titles", "heads")
    if owner and not shows_its_owner(match.end, text):
        return True  # "a fireman's helmet"
    before = text.before(match.start)
    if match.phrase == "man" and after == "the" and (before in ("who", "to", "they") or before.endswith("s")):
        return True  # "volunteers who man the pumps"
    if match.phrase == "man" and after in ("eating", "made", "hours") and text.words[match.end].joined:
        return True  # "a man-eating plant"
    if match.phrase in ("male", "female") and _is_of_a_thing(match, text):
        return True
    if match.has("settles") and _is_at_home(match, text):
        return True
    if any(entry.attribute == "race" for entry in match.entries) and _is_an_animals(match, text):
        return True
    if match.phrase.endswith(" eyes") and text.in_class(text.before(match.start), "of_an_animal"):
        return text.ending(match.start - 1, "beings")  # "a husky with blue eyes"
    if text.in_class(match.phrase, "vocative") and (not after or text.in_class(after, "asking_kindly")):
        every = text.texts(0, len(text.words))
        asks = text.any_in_class(every, "asking") or text.any_in_class(every, "asking_kindly")
        apart = text.words[match.start].starts or text.ending(match.start, *_PEOPLE)
        return asks and (apart or text.in_class(text.before(match.start), "asking_kindly"))
    if text.in_class(match.phrase, "chess") and any("chess" in word.text for word in text.words):
        return True
    return asked or (text.before(match.start) == "its" and text.in_class(match.phrase, "beards"))


def _is_at_home(match: Match, text: Parsed) -> bool:
    """Whether somebody only wants the picture: "for my wife", "my daughter asked for a pilot", "oh man"."""
    before = text.texts(match.start - 2, match.start)
    if before[-1:] == ["oh"]:
        return True
    if before[-1:] not in (["my"], ["our"]):
        return False
    return before[:-1] == ["for"] or text.any_in_class(text.texts(match.end, match.end + 1), "requesting")


def _is_an_animals(match: Match, text: Parsed) -> bool:
    """Whether a people's name is an animal's: "an Asian elephant", but "an Asian elephant keeper"."""
    if text.next(match.end) is None:
        return False
    animals = [m for m in text.at(match.end, "beings", "worked_with") if not m.has("fantasy", "settles")]
    return bool(animals) and not any(text.at(m.end, *_PEOPLE) and text.next(m.end) for m in animals)


def _is_of_a_thing(match: Match, text: Parsed) -> bool:
    """Whether the word tells animals and plugs apart: "a female german shepherd", "a male USB connector"."""
    for being in text.at(match.end, "beings"):
        return not text.at(being.end, "titles", "heads", "people")  # "a female lion tamer"
    return text.any_in_class(text.texts(match.end, match.end + 2), "connectors")


def _of_a_person(match: Match, text: Parsed) -> bool:
    """Whether a word that may be about a thing ("white", "French", "king") is about a person here.

    For a colour or a nationality: a word for people follows within the noun phrase, or it stands alone between commas,
    or after "is". For what settles gender alone: no other noun follows it at once.
    """
    after = text.next(match.end)
    if {entry.attribute for entry in match.entries if entry.kind == "may settle"} == {"gender"}:
        chewing = after is not None and after.text.endswith("ing") and text.in_class(match.phrase, "beards")
        of_somebody = after is None or len(after.text) < 3 or chewing or not text.is_noun(match.end)
        return of_somebody or bool(text.at(match.end, *_PEOPLE))
    is_colour = text.in_class(match.phrase, "colours") and text.words[match.start].raw != "Polish"
    if after is not None and after.joined and after.text.endswith("ed"):
        return False  # "white-haired"
    proud = (
        after is not None
        and after.text == "and"
        and text.lexicon.mostly(*text.texts(match.end + 1, match.end + 2) or [""]) == "a"
    )
    alone = after is None or (proud and not text.at(match.end + 1, "may settle"))  # "black and proud"
    if text.words[match.start].starts and alone and len(text.words) > len(match):
        return True
    if after is None and text.ending(match.start, *_PEOPLE):
        return True  # "surgeon (Indian)"
    if after is not None and text.in_class(after.text, "institutions"):
        return not is_colour
    if match.phrase.startswith("of "):  # "a journalist of color"
        return text.ending(match.start, *_PEOPLE)
    if text.before(match.start) in ("non", "neither", "nor"):
        return True
    looks = not is_colour and text.before(match.start) in ("look", "looks")  # "must not look American"
    if looks or text.in_class(text.before(match.start), "being"):
        somebody = any(m.has(*_PEOPLE) and match.start - 8 <= m.start < match.start for m in text.matches)
        return somebody and (after is None or not text.is_noun(match.end) or text.in_class(after.text, "asking_kindly"))
    if text.before(match.start) in ("them", "but", "one", "no") and (after is None or not text.is_noun(match.end)):
        return after is None or text.before(match.start) != "one"  # "one of them Nigerian", "anything but Russian"
    going_on = after is not None and (text.is_noun(match.end) or bool(text.at(match.end)))
    if not is_colour and not going_on and text.in_class(text.before(match.start), "counting"):
        return True  # "an American in the rain"
    for place in text.phrase_from(match.end, 4):
        here = text.at(place)
        if any(m.has("beings") and not m.has("settles") for m in here):
            return text.in_class(text.words[place].text, "stock")  # a Welsh lamb farmer, but a Persian cat groomer
        if any(m.has(*_PEOPLE) and not m.has("thing_heads", "things") for m in here):
            end = max(m.end for m in here)
            thing = text.next(end) is not None and bool(text.at(end, "thing_heads"))
            return text.words[end - 1].owns or not thing or bool(text.at(end + 1, "titles", "heads"))
        if any(entry.kind == "settles" and entry.attribute == "gender" for m in here for entry in m.entries):
            return True
        if any(m.has("settles", "may settle") for m in here):
            continue
        if not is_colour and text.in_class(text.words[place].text, "institutions"):
            return True
        odd = place > match.end or match.phrase not in ("black", "white") or text.at(place, "thing_heads", "worn")
        is_thing = text.is_noun(place) and bool(odd)
        if text.in_class(text.words[place].text, "joining") or (is_colour and is_thing):
            return False  # "white coat", but "white stage electrician"
    return False


def _is_worn(match: Match, text: Parsed) -> bool:
    """Whether a garment is worn by somebody: "in a red dress", "red dress" between commas, "bikini model"; not
    "sewing a dress"."""
    after = text.next(match.end)
    if after is not None and text.at(match.end, *_PEOPLE):
        return True
    if after is not None and text.is_noun(match.end) and len(after.text) > 2 and not after.text.endswith("ing"):
        return False  # "lipstick factory"
    if text.in_class(text.before(match.start), "none"):
        return True
    first = text.begins(match.start)
    for place in range(match.start - 1, max(first, match.start - 6) - 1, -1):
        if text.in_class(text.words[place].text, "wearing"):
            return True
        if _is_done(place, text):
            return False
    return match.start - first < 4 and (after is None or after.text in ("and", "with"))


def _is_done(place: int, text: Parsed) -> bool:
    """Whether a word says what somebody does; "smeared" says what something is like."""
    word = text.words[place].text
    return text.lexicon.mostly(word) == "v" and not word.endswith(("ed", "en"))


_CENTURY = re.compile(
    r"(?:\d|1\d)(?:st|nd|rd|th)|(?:first|second|third|fourth|fif|six|seven|eigh|nin|ten|eleven|twelf|\w+teen)(?:th)?"
)


def _years(text: Parsed) -> Iterator[tuple[int, int]]:
    """Years and centuries before 1940: "in 1893", "the 1920s", "18th century"."""
    centuries = "century" in text.vocabulary
    for i, word in enumerate(text.words):
        if not centuries and not word.text.startswith("1"):
            continue
        if year := re.fullmatch(r"(1\d{3})(s?)", word.text):
            alone = word.starts and text.next(i + 1) is None and int(year[1]) > 1400
            if int(year[1]) < 1940 and (
                (year[2] and int(year[1]) > 1300) or alone or text.in_class(text.before(i), "dating")
            ):
                yield i, i + 1
        elif text.texts(i + 1, i + 2) == ["century"] and _CENTURY.fullmatch(word.text):
            yield i, i + 2
