"""English enough for prompts: "a" or "an", chosen by sound."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["with_article"]

_OPENING = "\"'“‘«([{¡¿ "
_SILENT_H = ("hour", "honest", "honor", "honour", "heir")
# Written with a vowel, spoken with a consonant: "you" (european, unit, user, utility, urologist) and "won" (one-man).
_CONSONANT_SOUND = re.compile(
    r"eu|ewe|uni(?:c|di|f|l|o|q|s|t|v|x)|unanim|unesco|us(?:[eu]|a\b|ab|ag)|ut[aeio]|ur[aeio]|uk|ubi|ufo|u[iy]gh"
    r"|one\b|onetime|once"
)
_ACRONYMS = {"HVAC": True, "NAACP": True}  # the ones in use as job titles that the rule below gets wrong


def with_article(phrase: str) -> str:
    """The phrase after "a" or "an", chosen by sound: "an hour", "a european", "an IT specialist", "a one-man band".

    Raises ValueError for a phrase without a character to read.
    """
    phrase = " ".join(phrase.split())
    if not phrase:
        raise ValueError("phrase is empty; an article needs a word after it")
    return f"{'an' if _starts_with_vowel_sound(phrase) else 'a'} {phrase}"


def _starts_with_vowel_sound(phrase: str) -> bool:
    phrase = phrase.lstrip(_OPENING)
    word = re.split(r"[\s\-‐‑'’/.]", phrase, maxsplit=1)[0]
    if number := re.match(r"\d+", word):  # eight, eleven, eighteen, and the thousands and millions of the latter two
        digits = number.group()
        return digits[0] == "8" or (digits[:2] in ("11", "18") and len(digits) % 3 == 2)
    if word in _ACRONYMS:
        return _ACRONYMS[word]
    # Letters that are spelled out: x-ray, F1, mri (no vowel to speak it by), IT (capitals, and short)
    letters = re.match(r"[A-Za-z]+(?=\d|$)", word)
    if letters and (not set("aeiouy") & set(word.lower()) or len(word) == 1 or word.isupper() and len(word) <= 3):
        return word[0].upper() in "AEFHILMNORSX"
    sound = "".join(c for c in unicodedata.normalize("NFKD", phrase.casefold()) if not unicodedata.combining(c))
    return sound.startswith(_SILENT_H) or (sound[:1] in tuple("aeiouæœøı") and not _CONSONANT_SOUND.match(sound))
