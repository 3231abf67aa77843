"""What the detector knows of words: one file, made by training/detector/build.py and train.py, read once.

A phrase has entries, each with its kind: the titles of people at work, names, places, what settles an attribute, and
so on. Looking a prompt up takes a few dictionary look-ups a word.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .reading import folded, forms
from .tagger import Tagger

__all__ = ["Entry", "Lexicon", "bases", "beginnings", "default_lexicon"]

PATH = Path(__file__).with_name("lexicon.json.gz")
LARGEST = 64 * 2**20  # bytes of a lexicon, unpacked

# Lists of the file that are phrases of one kind, as they are.
_KINDS = (
    "titles",
    "doubtful_titles",
    "faint",
    "late_heads",
    "heads",
    "people",
    "generic",
    "things",
    "thing_heads",
    "characters",
    "beings",
    "fantasy",
    "body",
    "worked_with",
    "famous",
    "artists",
    "names",
    "names_and_words",
    "places",
    "periods",
)


@dataclass(frozen=True)
class Entry:
    """What a phrase is. ``kind`` "settles" says that it settles ``attribute``, for ``group`` ("": of none in
    particular), "may settle" that it does so of a person, and "worn" of one who wears it."""

    kind: str
    attribute: str = ""
    group: str = ""


class Lexicon:
    """The packaged word lists, looked up by phrase. Raises ValueError for bytes that hold no lexicon."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        try:
            table: dict[str, Any] = json.loads(_unpacked(content))
            self._index = _indexed(table)
            self.titles: list[str] = table["titles"]
            self._vectors = np.frombuffer(base64.b64decode(table["vectors"]["data"]), np.int8)
            self._vectors = self._vectors.reshape(len(self.titles), table["vectors"]["width"])
            self.english = {kind: frozenset(words.split()) for kind, words in table["english"].items()}
            self.foreign = frozenset(table["foreign"])
            self.classes = {name: frozenset(words) for name, words in table["classes"].items()}
            self.tagger = Tagger(table["tagger"]) if "tagger" in table else None
            self.begun, self.spelt = beginnings(self._index), _spelt(self._index, self.classes["spelt"])
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError) as error:
            raise ValueError(f"this is no lexicon of the detector ({error}); save or fetch the map again") from error

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def __contains__(self, phrase: str) -> bool:
        return phrase in self._index

    def entries(self, phrase: str) -> tuple[Entry, ...]:
        """What a folded phrase is, in singular or plural; () where it is not known."""
        if " " not in phrase:
            return _entries(self, phrase)
        # Most are none, and only these endings have another form.
        return self._entries(phrase) if phrase in self._index or phrase[-1] in "sne" else ()

    def _entries(self, phrase: str) -> tuple[Entry, ...]:
        found = self._index.get(phrase, ())
        for form in forms(phrase)[1:]:
            found += tuple(entry for entry in self._index.get(form, ()) if entry.kind not in _PROPER)
        if " " in phrase or not all(entry.kind == "people" for entry in found):
            return found
        return (*found, Entry("heads")) if any(_AT_WORK.fullmatch(form) for form in forms(phrase)) else found

    def is_word(self, text: str) -> bool:
        """Whether a folded word is English, inflected or not, or otherwise listed."""
        return _is_word(self, text)

    def _is_word(self, text: str) -> bool:
        return (
            any(form in self._index for form in forms(text))
            or any(form in self._all_english for form in bases(text))
            or self._compared(text)
        )

    def _compared(self, text: str) -> bool:
        """Whether the word is an English adjective in a higher degree."""
        return any(
            text.endswith(ending) and base + instead in self.english.get("a", ())
            for ending, instead in (("er", ""), ("er", "e"), ("ier", "y"), ("est", ""), ("est", "e"), ("iest", "y"))
            if not _DOUBLES.fullmatch(base := text.removesuffix(ending))
        )

    def parts(self, text: str) -> list[str]:
        """The known words that a word written together is made of, as few as possible; [] where it is not."""
        best: list[list[str] | None] = [[]] + [None] * len(text)
        for end in range(1, len(text) + 1):
            for start in range(max(0, end - 16), end):
                before, part = best[start], text[start:end]
                if before is None or (best[end] is not None and len(before) + 1 >= len(best[end] or ())):
                    continue
                if part in _SHORT or (len(part) > 2 and (part in self._all_english or self._index.get(part))):
                    best[end] = [*before, part]
        found = best[-1] or []
        return found if 1 < len(found) <= max(2, len(text) // 3) else []

    def mostly(self, text: str) -> str:
        """What an English word mostly is: "n", "v", "a", "s" (a function word); "" for one that is not known."""
        return _mostly(self, text)

    def _mostly(self, text: str) -> str:
        if text in self.classes["prepositions"]:
            return "s"  # "in" and "by", whatever else they are
        for form in bases(text):
            for kind, words in self.english.items():
                if form in words:
                    return kind if form == text or kind != "n" or not text.endswith(("ing", "ed")) else "v"
        return ""

    @cached_property
    def halves(self) -> frozenset[str]:
        """What a title of one word may begin with where it is written in two: "bar tender"."""
        single = [(phrase, self.entries(phrase)) for phrase in self._index if " " not in phrase]
        titles = [phrase for phrase, entries in single if any(e.kind in ("titles", "heads") for e in entries)]
        return frozenset(title[:i] for title in titles for i in range(3, len(title) - 1))

    @cached_property
    def _all_english(self) -> frozenset[str]:
        return frozenset().union(*self.english.values())

    def nearest(self, titles: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """For every title of the lexicon, the place of the one among ``titles`` that is nearest, and their cosine.

        ``titles`` that the lexicon does not know stand for nothing but themselves.
        """
        place = {title: i for i, title in enumerate(self.titles)}
        known = [(i, place[folded(title)]) for i, title in enumerate(titles) if folded(title) in place]
        if not known:
            return np.full(len(self.titles), -1), np.full(len(self.titles), -1.0)
        unit = self._vectors.astype(np.float32)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        cosine = unit @ unit[[j for _, j in known]].T
        best = cosine.argmax(1)
        return np.array([i for i, _ in known])[best], cosine[np.arange(len(best)), best]


def _indexed(table: dict[str, Any]) -> dict[str, tuple[Entry, ...]]:
    index: dict[str, list[Entry]] = {}

    def add(phrases: Iterable[str], entry: Entry) -> None:
        for phrase in phrases:
            index.setdefault(phrase, []).append(entry)

    for kind in _KINDS:
        add(table[kind], Entry(kind))
    for kind, name in (("settles", "settles"), ("may settle", "may_settle"), ("worn", "worn")):
        for attribute, groups in table[name].items():
            if attribute == "both":
                for each in ("gender", "race"):
                    add(groups, Entry(kind, each))
            else:
                for group, phrases in groups.items():
                    add(phrases, Entry(kind, attribute, group))
    return {phrase: tuple(entries) for phrase, entries in index.items()}


def beginnings(phrases: Iterable[str]) -> frozenset[str]:
    """All that phrases of several words begin with: "wind" and "wind turbine" for "wind turbine technician"."""
    return frozenset(phrase[:i] for phrase in phrases for i, character in enumerate(phrase) if character == " ")


def _spelt(index: Mapping[str, tuple[Entry, ...]], more: Iterable[str]) -> dict[tuple[str, int], list[str]]:
    """Single words that a misspelt one may have been meant for, by first letter and length."""
    words = set(more)
    for phrase, entries in index.items():
        kinds = {entry.kind for entry in entries}
        settles = any(entry.attribute for entry in entries) or not kinds.isdisjoint(_MISSPELT)
        settles = settles and len(phrase) > 5 and not phrase.endswith("man")
        if settles or not kinds.isdisjoint(("titles", "heads", "late_heads", "generic")):
            words.add(phrase)
    found: dict[tuple[str, int], list[str]] = {}
    for word in sorted(words):
        if len(word) > 3 and " " not in word and not word.endswith("men"):
            found.setdefault((word[0], len(word)), []).append(word)
    return found


def bases(text: str) -> Iterator[str]:
    """The word and what it may be inflected from."""
    yield text
    for ending, instead in _ENDINGS:
        if text.endswith(ending) and len(text) - len(ending) >= 2:
            base = text.removesuffix(ending) + instead
            yield base
            if not instead and len(base) > 2 and base[-1] == base[-2]:  # sitting
                yield base[:-1]


_ENDINGS = (
    ("ies", "y"), ("es", ""), ("s", ""), ("ied", "y"), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"), ("ly", ""),
    ("ily", "y"), ("ves", "f"),
)  # fmt: skip
_MISSPELT = ("places", "periods", "fantasy", "thing_heads")
_PROPER = frozenset(
    {"places", "names", "names_and_words", "famous", "artists"}
)  # no plurals: louvres are not the Louvre
# Endings of those who know or make something, for words that are on no list.
_AT_WORK = re.compile(
    r"(?!pace|coffee|ice|bread|noise|space|guess|rain|book)[a-z]{3,}"
    r"(?:ologist|ographer|ician|onomist|onomer|ometrist|iatrist|smith|wright|monger|keeper|maker|worker)"
)
_DOUBLES = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")  # "big" is compared as "bigger": "biger" would be misspelt
_SHORT = frozenset(["a", "an", "at", "by", "in", "of", "on", "the", "to"])


def _unpacked(content: bytes) -> bytes:
    import io

    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ValueError(f"it unpacks to more than {LARGEST >> 20} MiB")
    return text


# The same few thousand words make most prompts.
@lru_cache(maxsize=65536)
def _entries(lexicon: Lexicon, word: str) -> tuple[Entry, ...]:
    return lexicon._entries(word)


@lru_cache(maxsize=65536)
def _is_word(lexicon: Lexicon, word: str) -> bool:
    return lexicon._is_word(word)


@lru_cache(maxsize=65536)
def _mostly(lexicon: Lexicon, word: str) -> str:
    return lexicon._mostly(word)


@lru_cache(maxsize=1)
def default_lexicon() -> Lexicon:
    """The packaged one, read once."""
    return Lexicon(PATH.read_bytes())
