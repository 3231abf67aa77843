"""Which people at work a prompt shows: an occupation's word may be there and nobody of that occupation."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .absence import NO_HUMAN, NOT_THERE, why_absent
from .matching import Match
from .parsed import Parsed

__all__ = ["Person", "people_in"]


_NAMING = ("titles", "heads", "late_heads", "generic", "keyword", "faint")


@dataclass(frozen=True)
class Person:
    """Somebody named by work, or a generic person: the words of ``match`` and of those before it that belong to it.

    ``certainty`` is how sure the name is; ``absent`` says why the person is not in the picture, "" where it is.
    """

    match: Match
    start: int
    certainty: float
    absent: str = ""


def people_in(text: Parsed) -> list[Person]:
    """Everybody named by work and every generic person, in their order, shown or not."""
    people: list[Person] = []
    taken = 0
    for match in text.matches:
        certainty = _certainty(match, text)
        if not certainty or match.start < taken:
            continue
        taken = match.end
        if not _title_follows(match, text):  # "doctor" of "doctor surgeon" is spoken for by the next
            start = _beginning(match, text)
            people.append(Person(match, start, certainty, why_absent(match, start, text)))
    beings = {person.match.phrase: person.absent for person in people if NO_HUMAN in person.absent}
    people = [replace(person, absent=person.absent or beings.get(person.match.phrase, "")) for person in people]
    denied = [person.absent for person in people if person.match.has("generic") and person.absent.endswith(NOT_THERE)]
    if denied:  # "no people": then somebody further on is nobody either
        people = [replace(person, absent=denied[0]) if person.match.has("generic") else person for person in people]
    return people


def _certainty(match: Match, text: Parsed) -> float:
    """How sure it is that the phrase names somebody, where nothing around it speaks against it; 0: it does not."""
    if not match.has(*_NAMING) or match.has("things", "characters", "protected") or _is_surname(match, text):
        return 0.0
    respelt = 0.9 if any(word.typed for word in text.words[match.start : match.end]) else 1.0
    if match.has("keyword"):
        return respelt
    after = text.next(match.end)
    if match.phrase == "human" and after is not None and text.at(match.end, "people", "titles", "heads"):
        return 0.0  # "human customers"
    if match.has("generic"):
        joined = after is not None and (
            after.joined or any(word.joined for word in text.words[match.start : match.end])
        )
        return 0.0 if joined else 0.9 * respelt  # "person-hours", "a one-person tent"
    if match.has("faint"):
        alone = not match.start and after is None and len(text.words) > 1  # "quant, six monitors"
        return 0.75 if alone or _in_capitals(match, text) or (after is not None and after.text.endswith("ing")) else 0.0
    if match.has("late_heads"):
        before = text.lexicon.mostly(text.before(match.start))
        follows = match.start and not text.words[match.start].starts and before in ("n", "")
        if follows and (text.next(match.end) is None or not text.is_noun(match.end)):
            return 0.85 * respelt
        if not (match.has("titles") and text.in_class(text.before(match.start), "articles")):
            return 0.0  # "a guard", but not "guard" among tags
    if match.has("titles"):
        return (0.75 if match.has("doubtful_titles") else 0.95) * respelt
    return 0.9 * respelt if match.has("heads") else 0.0


def _in_capitals(match: Match, text: Parsed) -> bool:
    """Whether it is written as an abbreviation where other words are not: "a TA grading papers", but not "3 PM"."""
    said = text.said(match.start, match.end)
    others = [word.raw for word in text.words if word.raw.isalpha() and len(word.raw) > 1]
    return said.isupper() and not all(map(str.isupper, others)) and not text.before(match.start).isdigit()


def _is_surname(match: Match, text: Parsed) -> bool:
    """ "Beatrix Potter", "Mark Baker" """
    word = text.words[match.start]
    before = [m for m in text.matches if m.end == match.start and not word.starts]
    capitals = match.start and word.capital and text.words[match.start - 1].capital
    return any(m.has("names") or (capitals and m.has("names_and_words")) for m in before)


def _title_follows(match: Match, text: Parsed) -> bool:
    if text.next(match.end) is None or text.words[match.end - 1].owns:
        return False
    return any(not following.has("things") for following in text.at(match.end, "titles", "heads", "keyword"))


def _beginning(match: Match, text: Parsed) -> int:
    """Where the noun phrase begins: "wind turbine" belongs to "technician"."""
    start = match.start
    while start and not text.words[start].starts and match.start - start < 2:
        before = text.words[start - 1]
        joins = before.text in ("or", "nor", "of")  # "without surgeons or nurses"
        if before.text in ("not", "one"):
            break
        if before.owns or not (joins or text.is_noun(start - 1)) or text.at(start - 1, "settles"):
            break
        if text.in_class(before.text, "articles") or text.in_class(before.text, "none"):
            break
        start -= 1
    return start
