"""Why somebody who is named is not in the picture: an owner, a thing, a denial, a being that is no human."""

from __future__ import annotations

from .matching import Match
from .parsed import Parsed

__all__ = ["NOT_THERE", "NO_HUMAN", "shows_its_owner", "shows_nobody", "why_absent"]

NOT_THERE = "is said not to be there"
NO_HUMAN = "is no human being"
_PEOPLE = frozenset({"one", "people", "persons", "humans", "figures"})  # "no people"
_WORKS = frozenset(
    ["animation", "collage", "drawing", "engraving", "mural", "painting", "sculpture", "sketch", "woodcut"]
)
_HERE = frozenset({"there", "here", "around", "visible", "present", "shown", "pictured"})


def why_absent(match: Match, start: int, text: Parsed) -> str:
    """The reason, "" where somebody is shown. The noun phrase begins at ``start``, before the title itself."""
    named = text.said(match.start, match.end)
    if _is_lettering(match, text):
        return f"“{named}” is quoted text"
    if text.words[match.end - 1].owns and not shows_its_owner(match.end, text):
        return f"“{named}” only owns what is shown"
    if _is_thing(match, text):
        return f"“{named} {text.words[match.end].raw}” is a thing"
    if shows_nobody(text, match.start, match.end):
        return f"“{named}” {NOT_THERE}"
    return (
        _denied(named, match, start, text)
        or _dressed_up(named, match, text)
        or _in_their_place(named, match, start, text)
        or _no_human(named, match, start, text)
    )


def shows_nobody(text: Parsed, start: int, end_of_name: int) -> bool:
    """Whether the picture is said to show nobody at all: "no one", "not a soul", "nobody"; but "nobody else".

    Somebody is named by the words from ``start`` to ``end_of_name``; both the number of words where nobody is.
    """
    if text.vocabulary.isdisjoint(("no", "not")) and text.lexicon.classes["nobody"].isdisjoint(text.vocabulary):
        return False
    for i, word in enumerate(text.words):
        if not (text.in_class(word.text, "nobody") or word.text in ("no", "not")):
            continue
        pair = (word.text, *text.texts(i + 1, i + 2))
        if pair == ("not", "in") and text.any_in_class(text.texts(i + 2, i + 4), "frame"):
            return True
        found = text.in_class(word.text, "nobody") or (word.text == "no" and pair[-1] in _PEOPLE)
        if not (found or text.texts(i, i + 3) == ["not", "a", "soul"]):
            continue
        end = i + (1 if text.in_class(word.text, "nobody") else 2)
        end += text.texts(end, end + 1) in (["is"], ["was"]) and text.any_in_class(
            text.texts(end + 1, end + 2), "in_sight"
        )
        after = text.next(end)
        if {"except", "but", "save", "besides"} & {text.words[place].text for place in text.phrase_from(end, 8)}:
            continue  # "nobody in the building except the guard"
        everywhere = text.before(i) == "absolutely" or "anywhere" in text.texts(end, end + 1)
        everywhere = everywhere or text.texts(end, end + 2) == ["at", "all"]
        if i < start and len(text.words) > 60 and not everywhere:
            continue  # in a story, who is named afterwards has come since
        others = word.text == "no" and pair[1:] not in (("one",), ("humans",))  # "a chef, no people"
        before = others and i >= end_of_name and not everywhere
        if not before and i != start and (after is None or text.in_class(after.text, "in_sight")):
            return True
    return False


def _is_lettering(match: Match, text: Parsed) -> bool:
    """Whether the words stand in quotes as what is drawn as text: 'a sign that reads "Doctor"'."""
    plain = [word.text for word in text.words if not word.quoted]
    return text.words[match.start].quoted and text.any_in_class(plain, "lettering")


def shows_its_owner(place: int, text: Parsed) -> bool:
    """Whether what is owned is a part or a picture of its owner: "the nurse's tired face"."""
    for i in range(place, min(place + 3, len(text.words))):
        word = text.words[i]
        if word.starts:
            return False
        if text.in_class(word.text, "of_a_person") or text.at(i, "body"):
            return word.text not in _WORKS  # "an engineer's drawing" is by the owner, not of the owner
        if text.lexicon.mostly(word.text) != "a" and not word.text.endswith(("ed", "ing")):
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
    if after.joined and (after.text in ("made", "led", "style", "like") or after.text.endswith(("ed", "ly"))):
        return after.text != "turned"  # "tailor-made", "person-centred"
    if any(m.has("things") and match.start < m.start < match.end < m.end for m in text.matches):
        return True  # "sushi chef knife"
    for thing in text.at(place, "thing_heads"):
        going_on = text.next(thing.end)
        acts = text.words[thing.end - 1].text.endswith("s") and not text.words[match.end - 1].text.endswith("s")
        object_of = going_on is not None and text.is_noun(thing.end) and not going_on.text.endswith("ing")
        if acts and going_on is not None and (object_of or text.in_class(going_on.text, "articles")):
            return False  # "a novelist signs copies"  # "bottle-feeding" is what somebody does, not a bottle
        return going_on is None or not (going_on.joined and going_on.text.endswith(("ing", "ed")))
    return after.text == "s"


def _in_negative_prompt(match: Match, text: Parsed) -> bool:
    """Whether the words stand behind "Negative prompt:", as they are pasted from one tool to another."""
    return ("negative", "prompt") in zip(text.texts(0, match.start), text.texts(1, match.start), strict=False)


def _denied(named: str, match: Match, start: int, text: Parsed) -> str:
    before = text.texts(text.begins(start), start)
    last = [
        text.words[i].text
        for i in range(max(text.begins(start), start - 4), start)
        if not text.in_class(text.words[i].text, "articles") and not text.words[i + 1].joined  # "a no-nonsense judge"
    ]
    following = text.texts(match.end, match.end + 3) if text.next(match.end) else []
    if (
        text.any_in_class(last[-2:], "none")
        or text.any_in_class(last, "denying")
        or last[-1:] == ["not"]
        or last[-2:] in (["not", "real"], ["not", "actual"])
        or before[-2:] == ["not", "one"]
        or _in_negative_prompt(match, text)
        or before[-2:] == ["instead", "of"]
        or (text.any_in_class(following[:1], "being") and text.any_in_class(following[1:], "gone"))
        or (
            text.any_in_class(following[:1], "being")
            and following[1:2] == ["not"]
            and _HERE.issuperset(following[2:])
            and text.texts(match.end + 3, match.end + 4) != ["to"]  # "is not there to please"
        )
        or (text.any_in_class(following[:1], "being") and following[1:2] == ["unseen"])
        or (following[:2] == ["all", "gone"])
        or (last[-1:] in (["before"], ["until"], ["till"]) and text.any_in_class(following[:1], "arriving"))
        or (text.any_in_class(following[:1], "gone") and text.next(match.end + 1) is None)
        or text.any_in_class(following[:1], "not_now")
        or (match.has("generic") and following[:1] in (["went"], ["left"], ["fled"]))
        or (match.has("generic") and following[:2] in (["had", "gone"], ["had", "left"]))
        or (following[:1] in (["has"], ["have"], ["had"]) and following[1:] == ["left"] and len(following) == 2)
        or (text.any_in_class(following[:1], "being") and following[1:] == ["out", "of"])
        or (following[:1] == ["never"] and text.any_in_class(following[1:2], "arriving"))
        or (following[:1] in (["not"], ["isnt"], ["arent"]) and following[1:2] and (following[1] in _HERE | {"in"}))
    ):
        return f"“{named}” {NOT_THERE}"
    shown = text.any_in_class(following[:1], "being") or text.any_in_class(
        text.texts(start, match.start), "of_a_person"
    )
    if last[-1:] == ["for"] and last[-2:-1] not in (["except"], ["but"], ["save"]) and len(before) > 1 and not shown:
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
        near = child.end < match.start <= child.end + 7 and not child.has("titles", "heads")
        near = near and (child.has("people") or child.phrase in ("boy", "boys"))
        if near and text.any_in_class(text.texts(child.end, match.start), "dressed"):
            return f"somebody only plays or dreams of being “{named}”"
    return ""


def _in_their_place(named: str, match: Match, start: int, text: Parsed) -> str:
    """ "A toaster as a news anchor": nobody is named who might be one."""
    first = text.begins(start)
    if text.before(start) == "as" and 1 < start - 1 - first < 4 and text.in_class(text.words[first].text, "articles"):
        start += 1  # "a potato as dj"
    elif text.texts(start - 2, start) not in (["as", "a"], ["as", "an"]) or start - 2 <= first:
        return ""
    after = text.next(match.end)
    if after is not None and (text.lexicon.mostly(after.text) == "v" or after.text.endswith("s")):
        return ""  # "as a worker climbs out"
    somebody = any(
        m.has("people", "generic", "titles", "heads") or any(entry.attribute == "gender" for entry in m.entries)
        for place in range(first, start - 2)
        for m in text.at(place)
    )
    pronoun = {"me", "myself", "us", "you", "them", "who"} & set(text.texts(first, start - 2))
    return "" if somebody or pronoun else f"something stands in for “{named}”"


def _no_human(named: str, match: Match, start: int, text: Parsed) -> str:
    """Whether the one at work is a robot, an animal or a being of fantasy."""
    for being in text.matches:
        if (
            being.has("beings", "worked_with")
            and not being.has("settles", "may settle")
            and _is_being(match, start, being, text)
        ):
            return f"the “{named}” {NO_HUMAN} but “{text.said(being.start, being.end)}”"
    after = [text.before(i) for i, word in enumerate(text.words) if word.text == "human"]
    if not {"not", "non"}.isdisjoint(after):
        return f"the “{named}” is said to be no human being"
    first = text.begins(match.start)
    likened = "as" in text.texts(
        max(first, match.start - 3), match.start
    )  # "a sentient traffic cone working as a guard"
    if not text.vocabulary.isdisjoint(("anthro", "anthropomorphic")):
        return f"the “{named}” {NO_HUMAN} but anthropomorphic"
    near = text.texts(first if likened else max(first, match.start - 4), match.start)
    odd = [word for word in near if text.in_class(word, "creature_adjectives")]
    if not odd and not any(m.has("beings", "worked_with") for m in text.matches):  # nobody else whose they might be
        odd = [f"has {word.raw}" for word in text.words if text.in_class(word.text, "creature_parts")]
    return f"the “{named}” {NO_HUMAN} but {odd[0]}" if odd else ""


def _is_being(match: Match, start: int, being: Match, text: Parsed) -> bool:
    """Whether it is this being that is said to be at work."""
    sure = being.has("beings")
    before = being.end == start and not text.words[start].starts
    if before or (start <= being.start and being.end <= match.start):
        ends = (match.phrase.split()[-1], text.words[match.end - 1].text)
        if being.has("fantasy"):  # "robot doctor", but "robot engineer"
            return len(match) > 1 or not text.any_in_class(ends, "about_beings")
        if any(text.at(i, "thing_heads") for i in range(being.end, match.start)):
            return False  # "crab boat deckhand"
        own = any(text.at(i, "beings", "worked_with") for i in range(match.start, match.end))
        if text.any_in_class(ends, "animal_care") and (own or len(match) == 1 or not sure):
            return False  # "cat chef", but "dog trainer"
        return sure or not text.any_in_class(ends, "work_with")  # "banana doctor", but "mecha pilot"
    if being.start == match.end:  # "barista robot"
        return sure and text.next(being.start) is not None and not text.words[match.end - 1].owns
    if being.end < match.start:
        between = text.texts(being.end, match.start)
        near = text.within_phrase(max(being.end, match.start - 3), match.start)
        if len(between) <= 9 and "as" in between[-3:] and near:
            return True  # "a cat in a tall hat as a chef"
        if len(between) <= 10 and text.any_in_class(between, "dressed"):
            return True
        if not text.within_phrase(being.end, match.start):
            alone = text.words[match.start].starts and text.next(match.end) is None
            return (
                sure and not text.begins(being.start) and alone and not text.in_class(match.phrase, "animal_care")
            )  # "hen, barista"
        if being.has("fantasy") and between in (["of", "a"], ["of", "an"], ["of", "the"]):
            return True  # "the ghost of a stationmaster"
        if text.any_in_class(between[:1], "which") and between[1:2] == ["is"]:
            return True  # "a carrot who is a head chef"
        if between[:1] == ["is"] and between[1:2] in (["a"], ["an"]) and len(between) <= 4:
            return True  # "my cat is a professional wrestler"
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
        and not any(word.endswith("ing") for word in between[:2])  # "a puppet maker is carving a wolf"
    )
