"""A prompt as the detector's rules see it: its words, what they are, and how to move among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from .lexicon import Lexicon
from .matching import Extra, Match, matches, respelt
from .reading import Word, words_of

__all__ = ["Parsed", "parsed"]


@dataclass(frozen=True)
class Parsed:
    """``words`` of a prompt and the ``matches`` among them. A *phrase* is what stands between commas and the like."""

    words: Sequence[Word]
    matches: Sequence[Match]
    lexicon: Lexicon

    @cached_property
    def _starting(self) -> dict[int, list[Match]]:
        found: dict[int, list[Match]] = {}
        for match in self.matches:
            found.setdefault(match.start, []).append(match)
        return found

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """The texts of all words."""
        return frozenset(word.text for word in self.words)

    @cached_property
    def in_title_case(self) -> bool:
        """Whether most words are written with a capital, which says nothing then."""
        plain = [word for word in self.words if not word.first]
        return len(plain) > 3 and sum(word.capital for word in plain) > 0.6 * len(plain)

    def at(self, place: int, *kinds: str) -> list[Match]:
        """The matches that begin at a word and are of one of these kinds."""
        return [match for match in self._starting.get(place, ()) if not kinds or match.has(*kinds)]

    def ending(self, place: int, *kinds: str) -> bool:
        """Whether a match of one of these kinds ends right before a word."""
        return any(match.end == place and match.has(*kinds) for match in self.matches)

    def next(self, place: int) -> Word | None:
        """The word at ``place`` if it goes on with the phrase of the word before."""
        return self.words[place] if place < len(self.words) and not self.words[place].starts else None

    def before(self, place: int) -> str:
        """The text of the word before, "" at the beginning."""
        return self.words[place - 1].text if place else ""

    def begins(self, place: int) -> int:
        """The place of the first word of the phrase that the word at ``place`` stands in."""
        while place and not self.words[place].starts:
            place -= 1
        return place

    def texts(self, start: int, end: int) -> list[str]:
        return [word.text for word in self.words[max(start, 0) : max(end, 0)]]

    def said(self, start: int, end: int) -> str:
        """The words as they were typed."""
        return " ".join(word.raw for word in self.words[start:end])

    def within_phrase(self, start: int, end: int) -> bool:
        """Whether no comma or the like stands before any of these words."""
        return not any(word.starts for word in self.words[start:end])

    def is_noun(self, place: int) -> bool:
        return self.lexicon.mostly(self.words[place].text) == "n"

    def in_class(self, text: str, name: str) -> bool:
        """Whether a word is of one of the lexicon's small classes."""
        return text in self.lexicon.classes[name]

    def any_in_class(self, texts: Sequence[str], name: str) -> bool:
        return not self.lexicon.classes[name].isdisjoint(texts)

    def phrase_from(self, place: int, most: int) -> Iterator[int]:
        """The places from ``place`` on that go on with the phrase, ``most`` at the most; the first may begin one."""
        for i in range(place, min(place + most, len(self.words))):
            if self.words[i].starts and i > place:
                return
            yield i


def parsed(prompt: str, lexicon: Lexicon, extra: Extra) -> Parsed:
    words = respelt(words_of(prompt), lexicon, extra)
    return Parsed(words, matches(words, lexicon, extra), lexicon)
