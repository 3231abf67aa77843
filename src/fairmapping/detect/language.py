"""Whether a prompt is in English, which is the language that maps are fitted in."""

from __future__ import annotations

import unicodedata

from .parsed import Parsed

__all__ = ["why_foreign"]


def why_foreign(text: Parsed) -> str:
    """Why the prompt seems to be in another language, "" where it seems English."""
    letters = "".join(word.raw for word in text.words if word.raw.isalpha())
    strange = 0 if letters.isascii() else sum(not unicodedata.name(c, "").startswith("LATIN") for c in letters)
    if letters and strange > 0.3 * len(letters):
        return "it is not in Latin letters"
    known = {place for match in text.matches for place in range(match.start, match.end)}
    phrases = {place for match in text.matches if len(match) > 1 for place in range(match.start, match.end)}
    words = [(i, word) for i, word in enumerate(text.words) if word.text.isalpha()]
    foreign = [w.text for i, w in words if w.text in text.lexicon.foreign and i not in phrases]  # not "mise en place"
    unknown = [
        w.text
        for i, w in words
        if i not in known
        and len(w.text) > 2
        and w.text not in foreign
        and not text.lexicon.is_word(w.text)
        and not (len(w.text) > 7 and text.lexicon.parts(w.text))  # "whitebackground"
    ]
    english = sum(text.in_class(w.typed or w.text, "english_only") for _, w in words)
    typed = sum(bool(word.typed) for word in text.words)
    strange = len(foreign) + len(unknown) + typed
    if len(foreign) > english and strange >= (0.3 if len(foreign) > 1 else 0.4) * len(words):
        return f"“{foreign[0]}” is no English word"
    typed = typed if len(unknown) > 1 else 0
    if not english and len(words) > 1 and len(unknown) + len(foreign) + typed > (0.7 if typed else 0.5) * len(words):
        return f"“{[*unknown, *foreign][0]}” is no English word"
    return ""
