"""A prompt as its words: notation of prompt tools taken off, every word with what stood before it.

What the tools of users write around words is no language: weights "(doctor:1.3)", "doctor++", "[nurse|teacher]", tags
"<lora:x:0.8>", options "--ar 16:9", quality tags "score_9_up". Emoji that show people are read as words.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from ..wordfiles import singular

__all__ = ["Word", "folded", "forms", "words_of"]

LONGEST = 20_000  # characters that are read; what lies behind is past the window of any encoder by far

_TAGS = re.compile(
    r"<(?![^\W\d_]+:[\d.]+>)[^<>]{0,200}>"  # <lora:add_detail:0.8>, <1.2>, but not <cheesemonger:1.5>, a weight
    r"|\b(?:Steps|Sampler|Schedule type|CFG scale|Seed|Model hash|VAE hash|Clip skip|Denoising strength):[^,\n]{1,60}"
    r"|\s--(?:ar|aspect|v|s|q|c|w|iw|seed|style|stylize|chaos|niji|tile|stop|quality|weird|cfg|steps|profile|sref|cref|p)"
    r"(?:\s+[\d:.a-z]*\d[\d:.a-z]*|\s+raw)?(?!\w)"
    r"|\b(?:score|source|rating)_\w+|\bBREAK\b|\bembedding:\S+|https?://\S+|www\.\S+"
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*['’]?|\d(?:[\w.]*\w)?|[^\w\s]|_")
_BREAKS = frozenset(",.;:!?|\n\r/\\•·—–(){}[]=")
_NEW_LINE = re.compile(r"[^\S\n]{0,40}\n")
_POSSESSIVE = ("'s", "'S", "’s", "’S")
_QUOTES = frozenset('"“”„«»')
_ABBREVIATIONS = frozenset(
    ["dr", "prof", "st", "mr", "mrs", "ms", "sgt", "capt", "lt", "col", "gen", "cpl", "rev", "jr", "sr", "vs"]
)
_SOMEONE = re.compile(r"(?<=\bsome)1\b|(?<=\bany)1\b|(?<=\bevery)1\b", re.IGNORECASE)
_SPACED = re.compile(r"(?<!\S)(?:[^\W\d_] ){3,}[^\W\d_](?!\S)")
_PEOPLE_EMOJI = re.compile(
    r"\b(?:WOMAN|MAN|GIRL|BOY|WOMEN|MEN|BRIDE|PRINCESS|PRINCE|ADULT|PERSON|POLICE OFFICER|CONSTRUCTION WORKER|"
    r"FEMALE SIGN|MALE SIGN|GUARDSMAN|SLEUTH OR SPY|ROBOT|FITZPATRICK|FAMILY|FATHER CHRISTMAS|MOTHER CHRISTMAS|BABY|"
    r"CHILD)\b"
)


@dataclass(eq=False)  # not frozen, which would make reading a long prompt a third slower
class Word:
    """One word: ``text`` as it is looked up (lower case, no accents, no possessive), ``raw`` as it stands.

    ``starts``: a comma or the like, or nothing, stands before it. ``owns``: it is a possessive ("the doctor's").
    ``joined``: a hyphen stands before it. ``first``: it begins a sentence, where a capital says nothing.
    ``quoted``: it stands in double quotes. ``typed``: the word that was typed where ``text`` is a correction of it.
    """

    text: str
    raw: str
    starts: bool = False
    owns: bool = False
    joined: bool = False
    first: bool = False
    quoted: bool = False
    typed: str = ""

    @property  # a cached one takes longer than this does
    def capital(self) -> bool:
        return self.raw[:1].isupper() and not self.shouted

    @property
    def shouted(self) -> bool:
        """Whether it is written in capitals altogether."""
        return self.raw.isupper() and len(self.raw) > 1


@lru_cache(maxsize=65536)
def folded(text: str) -> str:
    """Lower case, without accents, hyphens and underscores as spaces: how words are compared."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text.replace("’", "'")) if not unicodedata.combining(c))
    text = text.casefold().replace("-", " ").replace("_", " ").replace("'s ", " ").removesuffix("'s").replace("'", "")
    return " ".join(text.split())


@lru_cache(maxsize=65536)
def forms(text: str) -> tuple[str, ...]:
    """A phrase as it stands, and with its last word in the singular, which comes last where it might be two."""
    if not text.endswith(("s", "men", "people")) or text.endswith("robotics"):
        return (text,)  # no plural of "robotic"
    one = f"{text.removesuffix('people')}person" if text.endswith("people") and text != "people" else singular(text)
    if text.endswith("ies"):
        return text, text[:-1], one  # "goalies"
    return (text,) if one == text else (text, one)


def words_of(prompt: str) -> list[Word]:
    """The words of a prompt, its notation left out."""
    text = _TAGS.sub(" , ", prompt[:LONGEST])
    text = _SOMEONE.sub("one", text)
    text = _SPACED.sub(lambda match: match[0].replace(" ", ""), text)
    if not text.isascii():
        text = _emoji_as_words(text)
    found: list[Word] = []
    starts = first = True
    joined = quoting = False
    lines = "\n" in text
    for match in _WORD.finditer(text):
        token = match[0]
        if token[0].isalpha():
            raw = token.rstrip("'’")
            plain = raw[:-2] if raw[-2:] in _POSSESSIVE else raw
            owns = plain != raw or (raw != token and raw[-1:] in "sS")
            found.append(Word(folded(plain), raw, starts, owns, joined, first, quoting))
            starts = first = joined = False
        elif token in _QUOTES:
            quoting = not quoting
            starts = True
        elif token == "." and found and found[-1].text in _ABBREVIATIONS:
            pass
        elif token == ":" and text[match.end() : match.end() + 1].isdigit():
            pass  # a weight
        elif token in _BREAKS:
            if token in "([{" and text[: match.start()].rstrip()[-1:] in (")", "]", "}"):
                starts = True
            elif token not in "(){}[]\\":  # brackets weigh words, and do not part them
                starts = True
                first = first or token in ".!?"
        elif token == "-":
            joined = bool(found) and text[match.start() - 1 : match.start()].isalnum()
            starts = starts or not joined
        elif token[0].isdigit():
            if not (found and found[-1].text and text[match.start() - 1 : match.start()] in ":+"):  # a weight
                found.append(Word(token.casefold(), token, starts, first=first, quoted=quoting))
                starts = first = False
            joined = False
        elif token == "&":
            found.append(Word("and", token, starts))
            starts = False
        elif token == "+":  # "pilot + crew", but "doctor++" is a weight
            starts = starts or text[match.start() - 1 : match.start()].isspace()
        if lines and _NEW_LINE.match(text, match.end()):
            starts = first = True
    return found


def _emoji_as_words(text: str) -> str:
    """Emoji of people as words ("woman", "police officer"); others part what stands around them."""
    parts = []
    for character in text:
        if unicodedata.category(character) in ("So", "Sk") and ord(character) > 0x2000:
            name = unicodedata.name(character, "")
            if "FITZPATRICK" in name:
                parts.append(" skin tone ")
            elif "SIGN" in name and name not in ("FEMALE SIGN", "MALE SIGN"):
                parts.append(" , ")
            elif _PEOPLE_EMOJI.search(name):
                parts.append(f" , {name.lower().replace(' sign', '').replace(' face', '')} ")
            else:
                parts.append(" , ")
        else:
            parts.append(" " if character in "\u200d\ufe0f" else character)
    return "".join(parts)
