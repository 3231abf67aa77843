"""A small network beside the rules: how likely a prompt shows somebody at work, and leaves gender and race open.

It reads a prompt as the rules do (:class:`Parsed`), every word as what the first layer makes of its word pieces (of
all-MiniLM-L6-v2, worked out beforehand) and of what the lexicon says of it. Several branches of three convolutions over
words go on from there, each with an answer of its own, and the mean of their logits counts.
training/detector/train.py makes it; it lies in the lexicon's file and takes numpy alone.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .lexicon import Entry, Lexicon
    from .parsed import Parsed

__all__ = ["ATTRIBUTES", "FEATURES", "Judgement", "Tagger", "features", "pieces_of"]

ATTRIBUTES = ("gender", "race")
_KINDS = (
    "titles", "doubtful_titles", "faint", "late_heads", "heads", "people", "generic", "things", "thing_heads",
    "characters", "beings", "fantasy", "body", "worked_with", "famous", "artists", "names", "names_and_words", "places",
    "periods", *((kind, name) for kind in ("settles", "may settle", "worn") for name in ATTRIBUTES),
)  # fmt: skip
_PLACE = {kind: i for i, kind in enumerate(_KINDS)}
_CLASSES = ("n", "v", "a", "s")
_SPELT = 8  # what is told of a word's spelling and place
FEATURES = len(_KINDS) + len(_CLASSES) + 4 + _SPELT
LONGEST = 40  # letters of a word that is read by its pieces
DILATIONS = (1, 1, 3)  # of the three convolutions


@dataclass(frozen=True)
class Judgement:
    """``open`` [attributes] are logits that the prompt shows somebody at work (or a generic person) and leaves the
    attribute open, ``shown`` that it shows one at all, ``named`` [words] that a word names one."""

    open: Mapping[str, float]
    shown: float
    named: np.ndarray


def features(text: Parsed) -> np.ndarray:
    """What the lexicon and the spelling say of every word: [words, FEATURES] of 0 and 1."""
    words = text.words
    found = np.zeros((len(words), FEATURES), np.float32)
    marks = [(i, place) for m in text.matches for place in _places(m.entries) for i in range(m.start, m.end)]
    if marks:
        found[tuple(zip(*marks, strict=True))] = 1
    own = [_of_word(text.lexicon, word.text) for word in words]
    found[:, len(_KINDS) : -_SPELT] = np.concatenate(own).reshape(len(words), -1)
    # One number a word, and its bits apart: a table of truth values takes three times as long to read.
    bits = [
        w.starts << 7 | w.owns << 6 | w.joined << 5 | w.first << 4 | w.capital << 3 | w.quoted << 2
        | bool(w.typed) << 1 | w.shouted
        for w in words
    ]  # fmt: skip
    found[:, -_SPELT:] = np.unpackbits(np.array(bits, np.uint8)[:, None], axis=1)
    return found


@lru_cache(maxsize=32768)
def _of_word(lexicon: Lexicon, word: str) -> np.ndarray:
    kind = lexicon.mostly(word)
    classes = [kind == name for name in _CLASSES]
    classes += [not lexicon.is_word(word), word in lexicon.foreign, not word.isalpha()]
    return np.array([*classes, word in lexicon.classes["prepositions"]], np.float32)


@lru_cache(maxsize=8192)
def _places(entries: tuple[Entry, ...]) -> tuple[int, ...]:
    kinds = (_PLACE.get(entry.kind, _PLACE.get((entry.kind, entry.attribute))) for entry in entries)
    # What a user adds is a title or a thing: the network has no kind of its own for it.
    named = (_PLACE["titles"] for entry in entries if entry.kind == "keyword")
    protected = (_PLACE["things"] for entry in entries if entry.kind == "protected")
    return tuple(place for place in (*kinds, *named, *protected) if place is not None)


def pieces_of(word: str, places: Mapping[str, int]) -> tuple[int, ...]:
    """The longest known pieces that a word is made of, from its beginning; () where a part of it is not known."""
    found: list[int] = []
    start = 0
    while start < len(word):
        for end in range(min(len(word), start + LONGEST), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in places:
                found.append(places[piece])
                start = end
                break
        else:
            return ()
    return tuple(found)


class Tagger:
    """The network, from the table that training/detector/train.py writes. Raises ValueError, KeyError and TypeError for
    another one."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._pieces = {piece: i for i, piece in enumerate(table["pieces"].split(" "))}
        layers = {
            name: np.frombuffer(base64.b64decode(layer["data"]), np.float16).reshape(layer["shape"]).astype(np.float32)
            for name, layer in table["layers"].items()
        }
        vectors = np.frombuffer(base64.b64decode(table["vectors"]), np.int8)
        self._vectors = vectors.reshape(len(self._pieces), -1) * layers["scale"]  # [pieces, H]
        self._of_features, self._bias = layers["features"], layers["bias"]  # [FEATURES, H], [H]
        # Of the B branches: [B, taps * H, H] and [B, 1, H]
        self._convolutions = [(layers[f"conv{i}"], layers[f"conv{i}.bias"]) for i in range(len(DILATIONS))]
        self._named, self._named_bias = layers["named"], layers["named.bias"]  # [B, H, 1], [B, 1, 1]
        self._hidden, self._hidden_bias = layers["hidden"], layers["hidden.bias"]  # [B, 3 * H, H], [B, 1, H]
        self._out, self._out_bias = layers["out"], layers["out.bias"]  # [B, H, 3], [B, 1, 3]
        if self._of_features.shape[0] != FEATURES:
            raise ValueError(f"the network reads {self._of_features.shape[0]} features a word, not {FEATURES}")
        self._word = lru_cache(maxsize=32768)(self._of_word)
        # Refuses layers that do not fit together.
        self._judged(self._of_word("")[None], np.zeros((1, FEATURES), np.float32))

    def judge(self, text: Parsed) -> Judgement:
        """What the network says of a prompt of at least one word."""
        words = np.concatenate([self._word(word.text) for word in text.words]).reshape(len(text.words), -1)
        return self._judged(words, features(text))

    def _judged(self, words: np.ndarray, said: np.ndarray) -> Judgement:
        """``words`` [words, H] from :meth:`_of_word`, ``said`` [words, FEATURES]."""
        first = np.maximum(words + said @ self._of_features + self._bias, 0)
        hidden = np.broadcast_to(first, (len(self._named), *first.shape))  # [B, words, H]
        for (weight, bias), dilation in zip(self._convolutions, DILATIONS, strict=True):
            hidden = hidden + np.maximum(_around(hidden, weight.shape[1], dilation) @ weight + bias, 0)
        named = hidden @ self._named + self._named_bias  # [B, words, 1]
        share = np.exp(named - named.max(1, keepdims=True))
        who = (hidden * share).sum(1) / share.sum(1)  # what the network takes for the person's name
        pooled = np.concatenate([hidden.max(1), hidden.mean(1), who], axis=1)[:, None]
        out = np.maximum(pooled @ self._hidden + self._hidden_bias, 0) @ self._out + self._out_bias
        # Rounded, for the last digits depend on the machine.
        gender, race, shown = (round(float(value), 3) for value in out.mean((0, 1)))
        return Judgement({"gender": gender, "race": race}, shown, named.mean((0, 2)))

    def _of_word(self, word: str) -> np.ndarray:
        """What the first layer makes of a word's pieces, the mean of them, which is the same wherever it stands."""
        places = pieces_of(word[:LONGEST], self._pieces)
        if len(places) == 1:
            return self._vectors[places[0]]
        return self._vectors[list(places)].mean(0) if places else np.zeros(self._vectors.shape[1], np.float32)


def _around(hidden: np.ndarray, width: int, dilation: int) -> np.ndarray:
    """[B, words, H] -> [B, words, width]: every word with as many of those around it as ``width`` holds, nothing beyond
    the ends."""
    branches, n, size = hidden.shape
    taps = width // size
    reach = dilation * (taps // 2)
    padded = np.zeros((branches, n + 2 * reach, size), np.float32)
    padded[:, reach : reach + n] = hidden
    return np.concatenate([padded[:, i * dilation : i * dilation + n] for i in range(taps)], axis=2)
