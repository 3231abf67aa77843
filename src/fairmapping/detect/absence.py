"""Why somebody who is named is not in the picture: an owner, a thing, a denial, a being that is no human."""

from __future__ import annotations

from .matching import Match
from .parsed import Parsed

__all__ = ["NOT_THERE", "why_absent"]

NOT_THERE = "is said not to be there"


def why_absent(match: Match, start: int, text: Parsed) -> str:
    """The reason, "" where somebody is shown. The noun phrase begins at ``start``, before the title itself."""
    named = text.said(match.start, match.end)
    if _is_lettering(match, text):
        return f"“{named}” is quoted text"
    if text.words[match.end - 1].owns and not _shows_its_owner(match.end, text):
        return f"“{named}” only owns what is shown"
    if _is_thing(match, text):
        return f"“{named} {text.words[match.end].raw}” is a thing"
    return _denied(named, match, start, text) or _dressed_up(named, match, text) or _no_human(named, match, start, text)


def _is_lettering(match: Match, text: Parsed) -> bool:
    """Whether the words stand in quotes as what is drawn as text: 'a sign that reads "Doctor"'."""
    plain = [word.text for word in text.words if not word.quoted]
    return text.words[match.start].quoted and text.any_in_class(plain, "lettering")


def _shows_its_owner(place: int, text: Parsed) -> bool:
    """Whether what is owned is a part or a picture of its owner: "the nurse's tired face"."""
    for i in range(place, min(place + 3, len(text.words))):
        word = text.words[i]
        if word.starts:
            return False
        if text.in_class(word.text, "of_a_person") or text.at(i, "body"):
            return True
        if text.lexicon.mostly(word.text) != "a":
            return False
    return False


def _is_thing(match: Match, text: Parsed) -> bool:
    """Whether the words go on to a thing: "chef knife", "chef s hat", "teacher appreciation mug"."""
    place = match.end
    after = text.next(place)
    if after is None:
        return False
    if text.in_class(after.text, "occasions") and text.next(place + 1) is not None:
        place += 1
    if any(m.has("things") and match.start < m.start < match.end < m.end for m in text.matches):
        return True  # "sushi chef knife"
    for thing in text.at(place, "thing_heads"):
        going_on = text.next(thing.end)
        acts = text.words[thing.end - 1].text.endswith("s") and not text.words[match.end - 1].text.endswith("s")
        if acts and going_on is not None and not text.in_class(going_on.text, "joining"):
            return False  # "a novelist signs copies"  # "bottle-feeding" is what somebody does, not a bottle
        return going_on is None or not (going_on.joined and going_on.text.endswith(("ing", "ed")))
    return after.text == "s"


def _denied(named: str, match: Match, start: int, text: Parsed) -> str:
    before = text.texts(text.begins(start), start)
    last = [word for word in before[-4:] if not text.in_class(word, "articles")]
    following = text.texts(match.end, match.end + 3) if text.next(match.end) else []
    if (
        text.any_in_class(last[-2:], "none")
        or text.any_in_class(last, "denying")
        or last[-1:] == ["not"]
        or before[-2:] == ["instead", "of"]
        or (text.any_in_class(following[:1], "being") and text.any_in_class(following[1:], "gone"))
        or following[:1] in (["gone"], ["missing"], ["absent"])
    ):
        return f"“{named}” {NOT_THERE}"
    if last[-1:] == ["for"] and len(before) > 1:
        return f"what is shown is for “{named}”"
    if last[-1:] == ["of"] and text.any_in_class(last[-2:-1], "things_of"):
        return f"what is shown belongs to “{named}”"
    if last[-1:] == ["by"] and text.any_in_class(before, "made"):
        return f"what is shown was made by “{named}”"
    if text.any_in_class(last[-1:], "supposing"):
        return f"“{named}” is only compared with"
    lettered = text.texts(text.begins(start), match.start)
    if text.any_in_class(before[-5:], "saying") or ("reading" in lettered and text.any_in_class(lettered, "signs")):
        return f"“{named}” is quoted text"
    return ""


def _dressed_up(named: str, match: Match, text: Parsed) -> str:
    for child in text.matches:
        near = child.end < match.start <= child.end + 7 and child.has("people") and not child.has("titles", "heads")
        if near and text.any_in_class(text.texts(child.end, match.start), "dressed"):
            return f"somebody is only dressed up as “{named}”"
    return ""


def _no_human(named: str, match: Match, start: int, text: Parsed) -> str:
    """Whether the one at work is a robot, an animal or a being of fantasy."""
    for being in text.matches:
        if being.has("beings", "worked_with") and not being.has("settles") and _is_being(match, start, being, text):
            return f"the “{named}” is no human being but “{text.said(being.start, being.end)}”"
    near = text.texts(max(text.begins(match.start), match.start - 4), match.start)
    odd = [word for word in near if text.in_class(word, "creature_adjectives")]
    return f"the “{named}” is no human being but {odd[0]}" if odd else ""


def _is_being(match: Match, start: int, being: Match, text: Parsed) -> bool:
    """Whether it is this being that is said to be at work."""
    sure = being.has("beings")
    before = being.end == start and not text.words[start].starts
    if before or (start <= being.start and being.end <= match.start):
        ends = (match.phrase.split()[-1], text.words[match.end - 1].text)
        if being.has("fantasy"):  # "robot doctor", but "robot engineer"
            return len(match) > 1 or not text.any_in_class(ends, "about_beings")
        if text.any_in_class(ends, "animal_care"):
            return False  # "cat chef", but "dog trainer"
        return sure or not text.any_in_class(ends, "work_with")  # "banana doctor", but "mecha pilot"
    if being.start == match.end:  # "barista robot"
        return sure and text.next(being.start) is not None and not text.words[match.end - 1].owns
    if being.end < match.start:
        between = text.texts(being.end, match.start)
        if len(between) <= 9 and "as" in between[-3:] and text.within_phrase(match.start - 3, match.start):
            return True  # "a cat in a tall hat as a chef"
        if len(between) <= 6 and text.any_in_class(between, "dressed"):
            return True
        if not text.within_phrase(being.end, match.start):
            alone = text.words[match.start].starts and text.next(match.end) is None
            return (
                sure and not being.start and alone and not text.in_class(match.phrase, "animal_care")
            )  # "hen, barista"
        if text.any_in_class(between[:1], "which") and between[1:2] == ["is"]:
            return True  # "a carrot who is a head chef"
        likened = all(text.lexicon.mostly(word) == "a" for word in between)  # "robot head waiter"
        return sure and len(between) <= 2 and likened
    between = text.texts(match.end, being.start)
    if between[:1] == ["of"] and len(between) <= 2:
        return sure  # "a brass band of seals"
    if sure and text.before(match.start) == "the" and 0 < len(between) <= 3 and text.words[match.end].starts:
        return between[0] in ("a", "an") and text.within_phrase(
            match.end + 1, being.start
        )  # "the judge, a stag beetle"
    return (  # "a chef who is a frog"
        0 < len(between) <= 4
        and text.within_phrase(match.end, being.start)
        and (text.in_class(between[0], "which") or between[0] in ("is", "as"))
        and ("is" in between or "as" in between)
    )
